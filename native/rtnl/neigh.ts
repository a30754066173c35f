/** Neighbours (ARP, ND) and, with family AF_BRIDGE, forwarding entries. Source: include/uapi/linux/neighbour.h. */
import { attrs, be16, i32, ip, mac, message, struct, u16, u32, u8, type Infer } from '../netlink/codec.ts'
import { flags } from '../netlink/message.ts'
import { request, type Request } from '../netlink/socket.ts'
import { familyOf, type Ip } from '../value/ip.ts'
import type { Mac } from '../value/mac.ts'

export const ndmsg = struct(12, {
  family: [0, u8],
  index: [4, i32],
  state: [8, u16],
  flags: [10, u8],
  type: [11, u8],
})
const NUD_NOARP = 0x40
const NUD_PERMANENT = 0x80
/** Of the device's own table (vxlan), not its bridge's. */
const NTF_SELF = 2
const NTF_MASTER = 4
/** Of the table of addresses that this host answers for. */
const NTF_PROXY = 8
/** NDA_PROTOCOL of what weft answers for. */
export const NEIGHBOUR_PROTOCOL = 0x57
const families = { 4: 2, 6: 10, bridge: 7 } as const

export const neighbourAttributes = attrs({
  /** The neighbour, or where a vxlan sends frames for the MAC. */
  destination: [1, ip],
  mac: [2, mac],
  vlan: [5, u16],
  port: [6, be16],
  vni: [7, u32],
  outInterface: [8, u32],
  master: [9, u32],
  /** Who put it there. */
  protocol: [12, u8],
})
export type NeighbourAttributes = Infer<typeof neighbourAttributes>

export const newNeighbour = message({ name: 'newneigh', type: 28, header: ndmsg, attrs: neighbourAttributes })
export const delNeighbour = message({ name: 'delneigh', type: 29, header: ndmsg, attrs: neighbourAttributes })
export const getNeighbour = message({
  name: 'getneigh',
  type: 30,
  reply: 28,
  header: ndmsg,
  attrs: neighbourAttributes,
})

/** An address that this host answers for on a link. */
export interface ProxyInfo {
  readonly linkIndex: number
  readonly address: Ip
  /** 0 when nobody put their mark on it. */
  readonly protocol: number
}

export function proxyInfoOf(header: Infer<typeof ndmsg>, attributes: NeighbourAttributes): ProxyInfo | undefined {
  const { destination: address, protocol = 0 } = attributes
  return address === undefined ? undefined : { linkIndex: header.index, address, protocol }
}

/** Header of a dump of them. */
export function proxiesOf(family: number): { readonly family: number; readonly flags: number } {
  return { family, flags: NTF_PROXY }
}

/** `set` makes or replaces an entry, `remove` takes it away. Entries never age. */
export type NeighbourOp = { readonly op: 'set' | 'remove'; readonly linkIndex: number } & (
  | { readonly type: 'neighbour'; readonly address: Ip; readonly mac: Mac }
  | { readonly type: 'proxy'; readonly address: Ip }
  | {
      readonly type: 'fdb'
      readonly mac: Mac
      /** `self`: the link's own table, as a vxlan's; `master`: its bridge's. */
      readonly table: 'self' | 'master'
      /** Where a vxlan sends the frames. */
      readonly destination?: Ip
    }
)

export function neighbourRequest(entry: NeighbourOp): Request {
  const about = {
    op: entry.op,
    object: `${entry.type} ${entry.type === 'proxy' ? entry.address : entry.mac} on link ${entry.linkIndex}`,
    flags: entry.op === 'set' ? flags.create | flags.replace : 0,
  }
  const of = entry.op === 'set' ? newNeighbour : delNeighbour
  if (entry.type === 'neighbour') {
    const header = { family: families[familyOf(entry.address)], index: entry.linkIndex, state: NUD_PERMANENT }
    return request(of, header, { destination: entry.address, mac: entry.mac }, about)
  }
  if (entry.type === 'proxy') {
    // Permanent: one that is not goes when the link loses its carrier.
    const header = {
      family: families[familyOf(entry.address)],
      index: entry.linkIndex,
      state: NUD_PERMANENT,
      flags: NTF_PROXY,
    }
    return request(of, header, { protocol: NEIGHBOUR_PROTOCOL, destination: entry.address }, about)
  }
  const header = {
    family: families.bridge,
    index: entry.linkIndex,
    state: NUD_NOARP | (entry.table === 'self' ? NUD_PERMANENT : 0),
    flags: entry.table === 'self' ? NTF_SELF : NTF_MASTER,
  }
  return request(of, header, { mac: entry.mac, destination: entry.destination }, about)
}
