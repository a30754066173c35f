/** What all frames have in common, and who is heard in them. */
import { be16, fixedBytes, type FixedField } from '../netlink/field.ts'
import { ipFromBytes, ipToBytes, type Ip } from '../value/ip.ts'
import { macFromBytes, macToBytes, type Mac } from '../value/mac.ts'

/** Somebody who says that an address is theirs, or is about to be. */
export interface Holder {
  readonly address: Ip
  readonly mac: Mac
}

function mapped<T>(
  size: number,
  toBytes: (value: T) => Uint8Array,
  fromBytes: (bytes: Uint8Array) => T,
): FixedField<T> {
  const raw = fixedBytes(size)
  const get = (view: DataView, at: number): T => fromBytes(raw.get(view, at))
  return {
    get,
    set(view, at, value) {
      raw.set(view, at, toBytes(value))
    },
    read: get,
    write(to, value, siblings) {
      raw.write(to, toBytes(value), siblings)
    },
  }
}

export const mac6 = mapped<Mac>(6, macToBytes, macFromBytes)
export const ip4 = mapped<Ip>(4, ipToBytes, ipFromBytes)
export const ip16 = mapped<Ip>(16, ipToBytes, ipFromBytes)

/** The first 14 bytes. */
export const header = { to: [0, mac6], from: [6, mac6], type: [12, be16] } as const
export const types = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const
export const broadcast = 'ff:ff:ff:ff:ff:ff' as Mac
