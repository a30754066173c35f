/** The addresses of one pool in memory: who holds which, and which comes next. Pure; ipam.ts keeps the promise. */
import type { Change, Chosen, Kept, Lease, Past, PoolEntry, PoolRecord, Purpose, Reservation, Sort } from './records.ts'
import type { Cidr, Ip } from '../native/value/ip.ts'
import type { Mac } from '../native/value/mac.ts'
import type { PoolId } from '../plugin-api/ids.ts'
import { cidrOf, familyOf, ipFromBigint, ipToBigint, lengthOf, rangeOf } from '../native/value/ip.ts'
import { Bitmap, maxWindow } from './bitmap.ts'
import { PastLeases } from './past.ts'
import { MacShelf, PlainShelf, type Shelf } from './shelf.ts'

/** Why an address cannot be granted. */
export type Obstacle =
  'outside' | 'network address' | 'broadcast address' | 'subnet-router anycast address' | 'leased' | 'reserved'

/** How many addresses there are to choose from, and what became of them. */
export interface Usage {
  readonly size: bigint
  readonly free: bigint
  readonly leased: number
  /** Once chosen by name, and reserved, without a lease. */
  readonly chosen: number
  readonly reserved: number
  /** Among the free ones: not given out yet, unless there is no other. */
  readonly resting: number
  /** Leases by name outside of the range; nothing else here counts what is outside. */
  readonly outside: number
}

type Shelves = { readonly [S in Sort]: Shelf<Kept[S]> }

export class Pool {
  readonly id: PoolId
  record: PoolRecord
  readonly #restMs: number
  readonly #bounds: ReturnType<typeof rangeOf>
  readonly #range: ReturnType<typeof rangeOf>
  readonly #leases = new PlainShelf<Lease>()
  readonly #chosen = new PlainShelf<Chosen>()
  readonly #reservations = new MacShelf<Reservation>()
  readonly #past = new PastLeases()
  readonly #shelves: Shelves = {
    lease: this.#leases,
    chosen: this.#chosen,
    reservation: this.#reservations,
    past: this.#past,
  }
  readonly #special: ReadonlyMap<Ip, Obstacle>
  /**
   * What `choose` does not find is taken: leases, and addresses that are kept or rest. It is as large as the range, or
   * its first 2^53. Those outside are known from their records only.
   */
  readonly #window: Bitmap
  readonly #base: bigint
  readonly #size: bigint

  /** `restMs`: for how long an address is not given out after its endpoint let go of it, while there are others. */
  constructor(id: PoolId, record: PoolRecord, restMs: number) {
    this.id = id
    this.record = record
    this.#restMs = restMs
    const { first, last } = rangeOf(record.range ?? record.subnet)
    const size = last - first + 1n
    this.#bounds = rangeOf(record.subnet)
    this.#range = { first, last }
    this.#base = first
    this.#window = new Bitmap(size > maxWindow ? maxWindow : Number(size))
    this.#special = specialAddresses(record.subnet)
    for (const address of this.#special.keys()) this.#mark(address)
    this.#size = size - BigInt(this.#window.taken)
  }

  get entry(): PoolEntry {
    return { id: this.id, ...this.record }
  }

  get leases(): ReadonlyMap<Ip, Lease> {
    return this.#leases.values
  }

  get chosen(): ReadonlyMap<Ip, Chosen> {
    return this.#chosen.values
  }

  get reservations(): ReadonlyMap<Ip, Reservation> {
    return this.#reservations.values
  }

  get past(): ReadonlyMap<Ip, Past> {
    return this.#past.values
  }

  /** Past leases that are forgotten when one more is put. */
  get surplusPast(): readonly Ip[] {
    return this.#past.surplus
  }

  /** The address that is reserved for this MAC. */
  reservedFor(mac: Mac): Ip | undefined {
    return this.#reservations.addressOf(mac)
  }

  overlaps(subnet: Cidr): boolean {
    const { first, last } = rangeOf(subnet)
    return familyOf(subnet) === this.record.family && first <= this.#bounds.last && this.#bounds.first <= last
  }

  /** What stands in the way of granting this very address, to this MAC. */
  obstacle(address: Ip, mac?: Mac): Obstacle | undefined {
    if (!this.#holds(address)) return 'outside'
    const special = this.#special.get(address)
    if (special) return special
    const reserved = this.#reservations.get(address)?.mac
    if (reserved !== undefined && reserved !== mac) return 'reserved'
    return this.#leases.get(address) ? 'leased' : undefined
  }

  /**
   * An address to grant. To an endpoint the one that is reserved for its MAC, or that this MAC had before; else the next
   * free one after the last; else the one that has rested longest. A gateway is the one that was granted before, for a
   * pool has only one, or else the first that is free. Undefined: none is left. `now`: milliseconds since 1970.
   */
  choose(purpose: Purpose, now: number, mac?: Mac): Ip | undefined {
    this.#wake(now)
    const isGateway = purpose === 'gateway'
    const own = isGateway ? this.#gateway() : mac && this.#ownAddress(mac)
    if (own !== undefined) return own
    const offset = isGateway ? this.#window.firstFree() : this.#window.nextFree()
    if (offset !== undefined) return ipFromBigint(this.#base + BigInt(offset), this.record.family)
    return this.#past.resting.find(address => this.#isForAnybody(address))
  }

  /** Puts one record; gives what undoes it. A lease must be free of obstacles. */
  put(change: Change): Change {
    const { sort, address, value } = change
    if (sort === 'lease' && value && this.obstacle(address, value.mac)) {
      throw new Error(`${address} granted in ${this.id}: ${this.obstacle(address, value.mac)}`)
    }
    const shelf: Shelf<unknown> = this.#shelves[sort]
    const before = shelf.get(address)
    shelf.put(address, value)
    this.#mark(address)
    return { sort, address, value: before } as Change
  }

  /** `choose` goes on behind this address. */
  resumeAfter(address: Ip): void {
    const offset = this.#offsetOf(address)
    if (offset !== undefined) this.#window.resumeAfter(offset)
  }

  /** The address with the prefix length of the subnet, as the engine wants it. */
  withLength(address: Ip): Cidr {
    return cidrOf(address, lengthOf(this.record.subnet))
  }

  usage(now: number): Usage {
    this.#wake(now)
    const inside = (addresses: Iterable<Ip>): readonly Ip[] => [...addresses].filter(address => this.isInRange(address))
    const idle = (addresses: Iterable<Ip>): number =>
      inside(addresses).filter(address => !this.#leases.get(address)).length
    const leased = inside(this.leases.keys()).length
    const chosen = idle([...this.chosen.keys()].filter(address => !this.#reservations.get(address)))
    const reserved = idle(this.reservations.keys())
    return {
      size: this.#size,
      free: this.#size - BigInt(leased + chosen + reserved),
      ...{ leased, chosen, reserved },
      resting: this.#past.resting.filter(address => this.#isForAnybody(address)).length,
      outside: this.leases.size - leased,
    }
  }

  /** Is it among those that are chosen from, when nobody names one? */
  isInRange(address: Ip): boolean {
    const number = ipToBigint(address)
    return this.#range.first <= number && number <= this.#range.last
  }

  /** Why it is granted to nobody. */
  specialOf(address: Ip): Obstacle | undefined {
    return this.#special.get(address)
  }

  /** When its rest ends, in milliseconds since 1970. Undefined: it does not rest. */
  restsUntil(address: Ip, now: number): number | undefined {
    this.#wake(now)
    const past = this.#past.isResting(address) ? this.#past.get(address) : undefined
    return past && past.endedAt + this.#restMs
  }

  #gateway(): Ip | undefined {
    for (const [address, lease] of this.leases) if (lease.purpose === 'gateway') return address
    return undefined
  }

  #ownAddress(mac: Mac): Ip | undefined {
    const reserved = this.#reservations.addressOf(mac)
    if (reserved !== undefined && this.obstacle(reserved, mac) === undefined) return reserved
    const before = this.#past.addressOf(mac)
    return before !== undefined && this.#isForAnybody(before) ? before : undefined
  }

  /** For who names no address, if it does not rest. */
  #isForAnybody(address: Ip): boolean {
    return this.isInRange(address) && !this.#isKept(address)
  }

  /** Not for who names no address, whether it rests or not. */
  #isKept(address: Ip): boolean {
    return (
      this.#special.has(address) ||
      this.leases.has(address) ||
      this.chosen.has(address) ||
      this.reservations.has(address)
    )
  }

  #holds(address: Ip): boolean {
    if (familyOf(address) !== this.record.family) return false
    const number = ipToBigint(address)
    return this.#bounds.first <= number && number <= this.#bounds.last
  }

  #wake(now: number): void {
    for (const address of this.#past.wake(now - this.#restMs)) this.#mark(address)
  }

  #mark(address: Ip): void {
    const offset = this.#offsetOf(address)
    if (offset === undefined) return
    if (this.#past.isResting(address) || this.#isKept(address)) this.#window.set(offset)
    else this.#window.clear(offset)
  }

  #offsetOf(address: Ip): number | undefined {
    const offset = ipToBigint(address) - this.#base
    return offset >= 0n && offset < BigInt(this.#window.size) ? Number(offset) : undefined
  }
}

/**
 * Network and broadcast address of an IPv4 subnet, except in /31 (RFC 3021) and /32; the first address of an IPv6
 * subnet (RFC 4291, 2.6.1), which a forwarding host answers itself, except in /127 (RFC 6164) and /128.
 */
function specialAddresses(subnet: Cidr): ReadonlyMap<Ip, Obstacle> {
  const family = familyOf(subnet)
  const { first, last } = rangeOf(subnet)
  if (last - first < 2n) return new Map()
  if (family === 6) return new Map<Ip, Obstacle>([[ipFromBigint(first, family), 'subnet-router anycast address']])
  return new Map<Ip, Obstacle>([
    [ipFromBigint(first, family), 'network address'],
    [ipFromBigint(last, family), 'broadcast address'],
  ])
}
