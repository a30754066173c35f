/** Addresses of links. Source: include/uapi/linux/if_addr.h. */
import { attrs, ip, message, struct, u32, u8, type Infer } from '../netlink/codec.ts'
import { cidrOf, type Cidr } from '../value/ip.ts'

export const ifaddrmsg = struct(8, {
  family: [0, u8],
  prefixLength: [1, u8],
  flags: [2, u8],
  scope: [3, u8],
  index: [4, u32],
})

/** Usable at once: no search for a duplicate. */
export const IFA_F_NODAD = 2

export const addressAttributes = attrs({
  /** The other end of a point-to-point link; else the same as `local`. IPv6 has only this one. */
  address: [1, ip],
  local: [2, ip],
  broadcast: [4, ip],
  /** All 32 bits; the header has 8 of them. */
  flags: [8, u32],
  /** Who put it there. Kernels before 5.18 neither keep nor show it. */
  protocol: [11, u8],
})
export type AddressAttributes = Infer<typeof addressAttributes>

export const newAddress = message({ name: 'newaddr', type: 20, header: ifaddrmsg, attrs: addressAttributes })
export const delAddress = message({ name: 'deladdr', type: 21, header: ifaddrmsg, attrs: addressAttributes })
export const getAddress = message({ name: 'getaddr', type: 22, reply: 20, header: ifaddrmsg, attrs: addressAttributes })

export interface AddressInfo {
  readonly linkIndex: number
  /** With its host bits: `10.0.0.1/24`. */
  readonly cidr: Cidr
  /** 0 when nobody put their mark on it. */
  readonly protocol: number
}

export function addressInfoOf(header: Infer<typeof ifaddrmsg>, attributes: AddressAttributes): AddressInfo | undefined {
  const address = attributes.local ?? attributes.address
  if (address === undefined) return undefined
  return {
    linkIndex: header.index,
    cidr: cidrOf(address, header.prefixLength),
    protocol: attributes.protocol ?? 0,
  }
}
