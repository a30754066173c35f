/** What a pool should do, written so that it is plainly right and plainly slow: lists, and looking through all of them. */
import type { Ip } from '../../native/value/ip.ts'
import type { Mac } from '../../native/value/mac.ts'

export interface NaiveLease {
  readonly mac: Mac | undefined
  readonly purpose: 'gateway' | 'endpoint'
  readonly order: number
}

interface NaivePast {
  readonly address: Ip
  readonly mac: Mac | undefined
  readonly endedAt: number
}

export class NaivePool {
  readonly leases = new Map<Ip, NaiveLease>()
  readonly chosen = new Set<Ip>()
  readonly reservations = new Map<Ip, Mac | undefined>()
  /** Oldest first. */
  past: NaivePast[] = []
  #last = new Map<Mac, Ip>()
  #cursor = 0
  #order = 0
  readonly #range: readonly Ip[]
  readonly #special: ReadonlySet<Ip>
  readonly #restMs: number

  /** `range`: addresses to choose from, in order; `special` ones among them are for nobody. */
  constructor(range: readonly Ip[], special: readonly Ip[], restMs: number) {
    this.#range = range
    this.#special = new Set(special)
    this.#restMs = restMs
  }

  gateway(now: number): Ip | undefined {
    const before = [...this.leases].find(([, { purpose }]) => purpose === 'gateway')?.[0]
    const address = before ?? this.#range.find(one => this.#isFree(one, now)) ?? this.#eldest(now)
    if (address !== undefined && before === undefined) this.#begin(address, 'gateway', undefined)
    return address
  }

  dynamic(now: number, mac: Mac): Ip | undefined {
    const address = this.#own(mac) ?? this.#next(now) ?? this.#eldest(now)
    if (address !== undefined) this.#begin(address, 'endpoint', mac)
    return address
  }

  /** False: refused. */
  named(address: Ip, mac: Mac): boolean {
    const held = this.leases.get(address)
    if (held?.purpose === 'endpoint' && held.mac === mac) return true
    if (held || this.#special.has(address) || this.#isReservedFromOthers(address, mac)) return false
    this.#begin(address, 'endpoint', mac)
    this.chosen.add(address)
    return true
  }

  /** False: there was nothing to release. */
  release(address: Ip, now: number): boolean {
    const lease = this.leases.get(address)
    if (!lease) return false
    this.leases.delete(address)
    if (lease.purpose === 'endpoint' && !this.chosen.has(address)) {
      this.past.push({ address, mac: lease.mac, endedAt: now })
      if (lease.mac !== undefined) this.#last.set(lease.mac, address)
    }
    return true
  }

  /** Undefined: done. */
  reserve(address: Ip, mac: Mac | undefined): 'ADDRESS_IN_USE' | 'MAC_RESERVED' | undefined {
    const held = this.leases.get(address)
    const isHolders = held?.purpose === 'endpoint' && (mac === undefined || mac === held.mac)
    if (this.#special.has(address) || (held && !isHolders)) return 'ADDRESS_IN_USE'
    const before = this.reservations.get(address)
    if (before !== undefined && before !== mac) return 'ADDRESS_IN_USE'
    for (const [other, owner] of this.reservations) {
      if (mac !== undefined && owner === mac && other !== address) return 'MAC_RESERVED'
    }
    this.reservations.set(address, mac)
    return undefined
  }

  /** By an operator, everything that is kept. False: there was nothing. */
  free(address: Ip): boolean {
    const before = this.past.length
    this.past = this.past.filter(one => one.address !== address)
    const gone = [this.leases, this.chosen, this.reservations].map(some => some.delete(address))
    return gone.includes(true) || this.past.length < before
  }

  /** What a daemon knows that starts again. */
  restart(): void {
    this.#last = new Map(this.past.flatMap(({ mac, address }) => (mac === undefined ? [] : [[mac, address]])))
    const latest = [...this.leases]
      .filter(([address, { purpose }]) => purpose === 'endpoint' && this.#range.includes(address))
      .sort(([, one], [, other]) => one.order - other.order)
      .at(-1)?.[0]
    this.#cursor = latest === undefined ? 0 : (this.#range.indexOf(latest) + 1) % this.#range.length
  }

  #begin(address: Ip, purpose: NaiveLease['purpose'], mac: Mac | undefined): void {
    this.past = this.past.filter(one => one.address !== address)
    this.leases.set(address, { mac, purpose, order: (this.#order += 1) })
  }

  #own(mac: Mac): Ip | undefined {
    for (const [address, owner] of this.reservations) {
      if (owner === mac && !this.leases.has(address)) return address
    }
    const last = this.#last.get(mac)
    const isPast = this.past.some(one => one.address === last && one.mac === mac)
    return last !== undefined && isPast && !this.chosen.has(last) && !this.reservations.has(last) ? last : undefined
  }

  #next(now: number): Ip | undefined {
    for (let step = 0; step < this.#range.length; step += 1) {
      const index = (this.#cursor + step) % this.#range.length
      const address = this.#range[index]
      if (address === undefined || !this.#isFree(address, now)) continue
      this.#cursor = (index + 1) % this.#range.length
      return address
    }
    return undefined
  }

  #eldest(now: number): Ip | undefined {
    return this.past.find(
      ({ address, endedAt }) =>
        this.#range.includes(address) &&
        endedAt > now - this.#restMs &&
        !this.chosen.has(address) &&
        !this.reservations.has(address),
    )?.address
  }

  #isFree(address: Ip, now: number): boolean {
    const rests = this.past.some(one => one.address === address && one.endedAt > now - this.#restMs)
    const kept = this.leases.has(address) || this.chosen.has(address) || this.reservations.has(address)
    return !rests && !kept && !this.#special.has(address)
  }

  #isReservedFromOthers(address: Ip, mac: Mac): boolean {
    const owner = this.reservations.get(address)
    return owner !== undefined && owner !== mac
  }
}
