/**
 * Link kind "bridge", and what its ports add to their own links. Source: include/uapi/linux/if_link.h, IFLA_BR_* and
 * IFLA_BRPORT_*. Only what weft sets or compares is listed.
 */
import { attrs, bool8, u16, u32, u8, type Infer } from '../netlink/codec.ts'

export const bridge = attrs({
  stpState: [5, u32],
  vlanFiltering: [7, bool8],
  mcastSnooping: [23, bool8],
})
export type Bridge = Infer<typeof bridge>

export const bridgePort = attrs({
  state: [1, u8],
  priority: [2, u16],
  /** Frames may go back out of the port on which they came. */
  hairpin: [4, bool8],
  learning: [8, bool8],
  unicastFlood: [9, bool8],
  mcastFlood: [27, bool8],
  bcastFlood: [30, bool8],
  neighSuppress: [32, bool8],
  /** No frames between two isolated ports. */
  isolated: [33, bool8],
})
export type BridgePort = Infer<typeof bridgePort>
