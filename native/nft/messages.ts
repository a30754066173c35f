/**
 * nf_tables over nfnetlink: what weft sends or reads.
 * Source: include/uapi/linux/netfilter/nf_tables.h, nfnetlink.h. Integers are in network order, packet data is not.
 */
import { attrs, be32, be64, bytes, dispatch, list, message, str, type AttrTable, type Infer } from '../netlink/codec.ts'
import { messagesOf, nfgenmsg } from '../netlink/nfnetlink.ts'

const subsystem = 10
/** NFPROTO_*: the header's family. */
export const families = { unspec: 0, inet: 1, ip: 2, bridge: 7, ip6: 10 } as const

const nothing = attrs({})
const generation = attrs({ id: [1, be32] })

/** All attributes as bytes, for what is passed on without being understood. */
export const verbatim: AttrTable<Uint8Array> = {
  nested: true,
  names: new Map(),
  write(to, value) {
    to.put(value)
  },
  read: (view, at, length) => new Uint8Array(view.buffer, view.byteOffset + at, length),
  encode: value => value,
  decode: value => value,
}

export const tableFlags = { dormant: 1, owner: 2, persist: 4 } as const
export const table = attrs({
  name: [1, str],
  flags: [2, be32],
  userdata: [6, bytes], // type, length, value; type 0 is the comment
  owner: [7, be32], // port id of the socket that alone may change the table
})

export const hook = attrs({ number: [1, be32], priority: [2, be32] })
export const chain = attrs({
  table: [1, str],
  name: [3, str],
  hook: [4, hook], // absent: not called by the kernel itself
  policy: [5, be32], // 0 drop, 1 accept
  type: [7, str],
})

export const set = attrs({
  table: [1, str],
  name: [2, str],
  flags: [3, be32],
  keyType: [4, be32], // nft's own numbers, 6 bits for each field of a concatenation
  keyLength: [5, be32],
  dataType: [6, be32],
  dataLength: [7, be32],
  id: [10, be32], // needed for a new set, never shown
})

export const verdict = attrs({ code: [1, be32], chain: [2, str] })
/** Of a register: either plain bytes or a verdict. */
export const data = attrs({ value: [1, bytes], verdict: [2, verdict] })

export const elementFlags = { intervalEnd: 1 } as const
export const element = attrs({
  key: [1, data],
  data: [2, data],
  flags: [3, be32],
  keyEnd: [10, data], // of an interval in a concatenated key; the key is where it begins
})
export const elements = attrs({ table: [1, str], set: [2, str], elements: [3, list(1, element)] })

export const expression = attrs({
  name: [1, str],
  data: [
    2,
    dispatch('name', {
      meta: attrs({ dreg: [1, be32], metaKey: [2, be32] }),
      bitwise: attrs({ sreg: [1, be32], dreg: [2, be32], length: [3, be32], mask: [4, data], xor: [5, data] }),
      cmp: attrs({ sreg: [1, be32], operator: [2, be32], data: [3, data] }),
      immediate: attrs({ dreg: [1, be32], data: [2, data] }),
      // Old iptables' matches, as iptables-nft puts them into its rules.
      match: attrs({ match: [1, str], revision: [2, be32], info: [3, bytes] }),
      counter: attrs({ bytes: [1, be64], packets: [2, be64] }),
    }),
  ],
})
export type Expression = Infer<typeof expression>

export const rule = attrs({
  table: [1, str],
  chain: [2, str],
  handle: [3, be64],
  expressions: [4, list(1, expression)],
  position: [6, be64], // handle of the rule before which it is put, or after which with NLM_F_APPEND
  userdata: [7, bytes], // as of a table
})

const nft = messagesOf(subsystem)

export const newTable = nft('newtable', 0, table)
export const getTable = nft('gettable', 1, table, 0)
export const delTable = nft('deltable', 2, table)
/** Since 6.3: as delTable, but a missing table is no error. */
export const destroyTable = nft('destroytable', 26, table)
export const newChain = nft('newchain', 3, chain)
export const getChain = nft('getchain', 4, chain, 3)
export const newRule = nft('newrule', 6, rule)
export const getRule = nft('getrule', 7, rule, 6)
export const delRule = nft('delrule', 8, rule)
export const newSet = nft('newset', 9, set)
export const getSet = nft('getset', 10, set, 9)
export const newElements = nft('newsetelem', 12, elements)
export const getElements = nft('getsetelem', 13, elements, 12)
export const delElements = nft('delsetelem', 14, elements)
/** Since 6.3: as delElements, but a missing element is no error. */
export const destroyElements = nft('destroysetelem', 30, elements)

export const getGeneration = nft('getgen', 16, generation, 15)

/**
 * A batch stands between these two; the header's `resource` names the subsystem. With a generation it is refused with
 * ERESTART when somebody has changed a table since.
 */
export const batchBegin = message({
  name: 'batch begin',
  type: 0x10,
  header: nfgenmsg,
  attrs: attrs({ generation: [1, be32] }),
})
export const batchEnd = message({ name: 'batch end', type: 0x11, header: nfgenmsg, attrs: nothing })
export const batchHeader = { resource: subsystem } as const
