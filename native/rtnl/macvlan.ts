/** Link kind "macvlan". Source: include/uapi/linux/if_link.h, IFLA_MACVLAN_*. Only what weft sets or compares is listed. */
import { attrs, i32, named, u32, type Infer } from '../netlink/codec.ts'

const modes = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const
export type MacvlanMode = keyof typeof modes

export const macvlan = attrs({
  mode: [1, named(u32, modes)],
  /** Broadcasts that may wait for this link, in packets. */
  queueLength: [7, u32],
  /** Shown only when it is not 1. */
  cutoff: [9, i32],
})
export type Macvlan = Infer<typeof macvlan>
