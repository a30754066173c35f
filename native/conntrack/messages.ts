/**
 * The flows that the kernel tracks, over nfnetlink: what weft sends or reads.
 * Source: include/uapi/linux/netfilter/nfnetlink_conntrack.h. Integers are in network order, but for filters.
 */
import { attrs, be16, be32, bytes, u32, u8, type Infer } from '../netlink/codec.ts'
import { messagesOf } from '../netlink/nfnetlink.ts'

const subsystem = 1

/** As bytes: most flows of a dump are looked at by their ports alone. */
const addresses = attrs({
  source4: [1, bytes],
  destination4: [2, bytes],
  source6: [3, bytes],
  destination6: [4, bytes],
})
/** What tells flows of one protocol apart: ports, or what ICMP has in their place. */
const ports = attrs({
  protocol: [1, u8],
  source: [2, be16],
  destination: [3, be16],
  icmpId: [4, be16],
  icmpType: [5, u8],
  icmpCode: [6, u8],
  icmp6Id: [7, be16],
  icmp6Type: [8, u8],
  icmp6Code: [9, u8],
})

/** One direction: who sends, and to whom. */
export const tuple = attrs({
  ip: [1, addresses],
  proto: [2, ports],
  zone: [3, be16], // of this direction alone
})
export type Tuple = Infer<typeof tuple>

/** Which fields of the original tuple a dump is to compare: since 5.8; older kernels pass over it. */
export const filterFlags = { protocol: 1 << 3, destinationPort: 1 << 5 } as const

export const flow = attrs({
  original: [1, tuple], // as the first packet came
  reply: [2, tuple], // as answers come: its source is where the first packet was sent on to
  status: [3, be32], // bits: what has happened to it
  id: [12, be32], // tells a flow from a later one with the same tuple
  zone: [18, be16],
  filter: [25, attrs({ original: [1, u32], reply: [2, u32] })],
})
export type Flow = Infer<typeof flow>

const conntrack = messagesOf(subsystem)

export const newFlow = conntrack('ctnew', 0, flow)
export const getFlow = conntrack('ctget', 1, flow, 0)
export const delFlow = conntrack('ctdelete', 2, flow)
