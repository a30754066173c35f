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
  /** One bit for each of 01:80:c2:00:00:00 to 0f: what comes for it is bridged as any other frame. */
  groupForwardMask: [31, u16],
  neighSuppress: [32, bool8],
  /** No frames between two isolated ports. */
  isolated: [33, bool8],
})
export type BridgePort = Infer<typeof bridgePort>

/**
 * All of the link-local group but pause frames, which the kernel always drops. Without its bit such a frame goes past
 * all rules of the bridge to the host, as if the host had a place at the other end of the port, and its sender is learned.
 */
export const BRIDGED_GROUP = 0xfffd
