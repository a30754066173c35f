/**
 * The accept rule in another firewall's chain. Made of plain expressions only: `iptables -S` of the nft variant shows
 * it as `-m mark --mark 0x100000/0x100000 -j ACCEPT`. A look-up of a set would be shown as no condition at all, and a
 * save and restore would open that firewall. Its comment tells it from rules of others, whatever the bits; iptables
 * shows that as well, and keeps it.
 */
import type { Infer } from '../netlink/codec.ts'
import type { Expression, rule } from './messages.ts'
import { userChain, type Part } from './placing.ts'
import { commentInUserdata } from './program.ts'

export const acceptComment = 'weft'

const register = 1
const verdictRegister = 0
const metaMark = 3
const cmpEqual = 0
const accept = 1
/** NFT_RETURN is -5. */
const back = 0xfffffffb

export function acceptExpressions(mark: number): readonly Expression[] {
  const value = word(mark)
  return [
    { name: 'meta', data: { metaKey: metaMark, dreg: register } },
    {
      name: 'bitwise',
      data: { sreg: register, dreg: register, length: 4, mask: { value }, xor: { value: word(0) } },
    },
    { name: 'cmp', data: { sreg: register, operator: cmpEqual, data: { value } } },
    { name: 'counter', data: {} },
    { name: 'immediate', data: { dreg: verdictRegister, data: { verdict: { code: accept } } } },
  ]
}

/** The bits of weft's rule, also as iptables-nft writes it when it saves and restores. Undefined: it is another rule. */
export function acceptedMark({ expressions = [], userdata }: Infer<typeof rule>): number | undefined {
  const comments = [...(userdata ? [commentInUserdata(userdata)] : []), ...expressions.flatMap(commentsIn)]
  if (comments.length !== 1 || comments[0] !== acceptComment) return undefined
  const rest = expressions.filter(item => item.name !== 'counter' && commentsIn(item).length === 0)
  const [first, second] = rest
  const bytes = first?.name === 'match' ? first.data?.info : second?.name === 'bitwise' && second.data?.mask?.value
  if (!bytes || bytes.length < 4) return undefined
  const mark = Buffer.from(bytes).readUInt32LE()
  return isAccept(rest, mark) ? mark : undefined
}

/** What a rule is to the place of weft's. */
export function partOf(found: Infer<typeof rule>): Part {
  if (acceptedMark(found) !== undefined) return 'own'
  const [last, ...conditions] = (found.expressions ?? [])
    .filter(item => item.name !== 'counter' && commentsIn(item).length === 0)
    .toReversed()
  const { code, chain } = (last?.name === 'immediate' && last.data?.data?.verdict) || {}
  if (chain === userChain) return 'jump'
  return code === back && conditions.length === 0 ? 'end' : 'other'
}

/** struct xt_comment_info is a text that ends with a NUL. */
function commentsIn({ name, data }: Expression): readonly string[] {
  if (name !== 'match' || data?.match !== 'comment') return []
  return Buffer.from(data.info ?? [])
    .toString()
    .split('\0', 1)
}

function isAccept(expressions: readonly Expression[], mark: number): boolean {
  const [first, ...rest] = expressions
  const verdict = rest.at(-1)
  if (verdict?.name !== 'immediate' || verdict.data?.data?.verdict?.code !== accept) return false
  if (first?.name === 'match') {
    return rest.length === 1 && first.data?.match === 'mark' && equal(first.data.info?.subarray(0, 9), matchInfo(mark))
  }
  const [bitwise, cmp] = rest
  return (
    rest.length === 3 &&
    first?.name === 'meta' &&
    first.data?.metaKey === metaMark &&
    bitwise?.name === 'bitwise' &&
    equal(bitwise.data?.mask?.value, word(mark)) &&
    equal(bitwise.data?.xor?.value, word(0)) &&
    cmp?.name === 'cmp' &&
    cmp.data?.operator === cmpEqual &&
    equal(cmp.data.data?.value, word(mark))
  )
}

/** struct xt_mark_mtinfo1: mark, mask, not inverted. */
function matchInfo(mark: number): Buffer {
  return Buffer.concat([word(mark), word(mark), Buffer.alloc(1)])
}

/** Registers hold packet marks in host order. */
function word(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value >>> 0)
  return bytes
}

function equal(one: Uint8Array | undefined, other: Uint8Array): boolean {
  return one !== undefined && Buffer.compare(one, other) === 0
}
