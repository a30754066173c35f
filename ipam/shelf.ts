/** Records of one sort about the addresses of a pool. */
import type { Ip } from '../native/value/ip.ts'
import type { Mac } from '../native/value/mac.ts'

/** By address. What is put as undefined is gone. */
export interface Shelf<T> {
  get(address: Ip): T | undefined
  put(address: Ip, value: T | undefined): void
}

export class PlainShelf<T> implements Shelf<T> {
  readonly values: ReadonlyMap<Ip, T>
  readonly #values = new Map<Ip, T>()

  constructor() {
    this.values = this.#values
  }

  get(address: Ip): T | undefined {
    return this.#values.get(address)
  }

  put(address: Ip, value: T | undefined): void {
    if (value === undefined) this.#values.delete(address)
    else this.#values.set(address, value)
  }
}

/** Also by hardware address: of several addresses the one that was put last. */
export class MacShelf<T extends { readonly mac?: Mac }> extends PlainShelf<T> {
  readonly #byMac = new Map<Mac, Ip>()

  addressOf(mac: Mac): Ip | undefined {
    return this.#byMac.get(mac)
  }

  override put(address: Ip, value: T | undefined): void {
    const before = this.get(address)?.mac
    if (before !== undefined && this.#byMac.get(before) === address) this.#byMac.delete(before)
    super.put(address, value)
    if (value?.mac !== undefined) this.#byMac.set(value.mac, address)
  }
}
