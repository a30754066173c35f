/** Link kind "vlan". Source: include/uapi/linux/if_link.h, IFLA_VLAN_*, and if_vlan.h. Only what weft sets or compares. */
import { attrs, be16, named, u16, u64, type Infer } from '../netlink/codec.ts'

/** ETH_P_8021Q and ETH_P_8021AD. */
const protocols = { '802.1Q': 0x8100, '802.1ad': 0x88a8 } as const
export type VlanProtocol = keyof typeof protocols

/**
 * VLAN_FLAG_LOOSE_BINDING, below the mask of the flags that are meant: it is not set down with its parent, nor refused
 * as long as that is down. It follows the parent's carrier all the same.
 */
export const looseBinding = (4n << 32n) | 4n

export const vlan = attrs({
  id: [1, u16],
  /** struct ifla_vlan_flags: the flags, then the mask. */
  binding: [2, u64],
  protocol: [5, named(be16, protocols)],
})
export type Vlan = Infer<typeof vlan>
