/** Link kind "veth". Source: include/uapi/linux/veth.h: the other end is a whole link message below VETH_INFO_PEER. */
import { attrs, prefixed, type Infer } from '../netlink/codec.ts'
import { birth, ifinfomsg } from './ifinfomsg.ts'

export const veth = attrs({
  peer: [1, prefixed(ifinfomsg, attrs(birth))],
})
export type Veth = Infer<typeof veth>
