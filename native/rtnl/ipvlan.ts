/** Link kind "ipvlan". Source: include/uapi/linux/if_link.h, IFLA_IPVLAN_* and IPVLAN_F_*. Both belong to the parent. */
import { attrs, named, u16, type Infer } from '../netlink/codec.ts'

const modes = { l2: 0, l3: 1, l3s: 2 } as const
const flags = { bridge: 0, private: 1, vepa: 2 } as const
export type IpvlanMode = keyof typeof modes
export type IpvlanFlag = keyof typeof flags

export const ipvlan = attrs({
  mode: [1, named(u16, modes)],
  flag: [2, named(u16, flags)],
})
export type Ipvlan = Infer<typeof ipvlan>
