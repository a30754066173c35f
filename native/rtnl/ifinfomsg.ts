/** Header of link messages. Source: include/uapi/linux/rtnetlink.h, struct ifinfomsg. */
import { i32, mac, str, struct, u16, u32, u8 } from '../netlink/codec.ts'

export const IFF_UP = 1
export const IFF_PROMISC = 0x100
export const IFF_ALLMULTI = 0x200

export const ifinfomsg = struct(16, {
  family: [0, u8],
  type: [2, u16],
  index: [4, i32],
  flags: [8, u32],
  /** Which bits of `flags` are meant. */
  change: [12, u32],
})

/** Attributes that either end of a veth pair may be born with. Source: include/uapi/linux/if_link.h. */
export const birth = {
  address: [1, mac],
  ifname: [3, str],
  mtu: [4, u32],
  numTxQueues: [31, u32],
  numRxQueues: [32, u32],
  /** A descriptor of the namespace in which it is to be born. */
  netNsFd: [28, u32],
} as const
