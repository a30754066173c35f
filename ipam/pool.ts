/** The addresses of one pool in memory: who holds which, and which comes next. Pure; ipam.ts keeps the promise. */
import type { Lease, PoolRecord, Purpose } from './records.ts'
import type { Cidr, Ip } from '../native/value/ip.ts'
import type { PoolId } from '../plugin-api/ids.ts'
import { cidrOf, contains, familyOf, ipFromBigint, ipToBigint, lengthOf, rangeOf } from '../native/value/ip.ts'
import { Bitmap, maxWindow } from './bitmap.ts'

/** Why an address cannot be granted. */
export type Obstacle = 'outside' | 'network address' | 'broadcast address' | 'subnet-router anycast address' | 'leased'

export class Pool {
  readonly id: PoolId
  record: PoolRecord
  readonly #bounds: ReturnType<typeof rangeOf>
  readonly #leases = new Map<Ip, Lease>()
  readonly #special: ReadonlyMap<Ip, Obstacle>
  /** Addresses that `choose` finds: the range, or its first 2^24. Those outside are known from their leases only. */
  readonly #window: Bitmap
  readonly #base: bigint

  constructor(id: PoolId, record: PoolRecord) {
    this.id = id
    this.record = record
    const { first, last } = rangeOf(record.range ?? record.subnet)
    const size = last - first + 1n
    this.#bounds = rangeOf(record.subnet)
    this.#base = first
    this.#window = new Bitmap(size > maxWindow ? maxWindow : Number(size))
    this.#special = specialAddresses(record.subnet)
    for (const address of this.#special.keys()) this.#mark(address)
  }

  get leases(): ReadonlyMap<Ip, Lease> {
    return this.#leases
  }

  overlaps(subnet: Cidr): boolean {
    const { first, last } = rangeOf(subnet)
    return familyOf(subnet) === this.record.family && first <= this.#bounds.last && this.#bounds.first <= last
  }

  /** What stands in the way of granting this very address. */
  obstacle(address: Ip): Obstacle | undefined {
    if (!contains(this.record.subnet, address)) return 'outside'
    return this.#special.get(address) ?? (this.#leases.has(address) ? 'leased' : undefined)
  }

  /**
   * An address to grant: the next free one after the last. A gateway is the one that was granted before, for a pool has
   * only one, or else the first that is free. Undefined: none is left.
   */
  choose(purpose: Purpose): Ip | undefined {
    if (purpose === 'gateway') {
      for (const [address, lease] of this.#leases) if (lease.purpose === 'gateway') return address
    }
    const offset = purpose === 'gateway' ? this.#window.firstFree() : this.#window.nextFree()
    return offset === undefined ? undefined : ipFromBigint(this.#base + BigInt(offset), this.record.family)
  }

  /** The address must be free of obstacles. */
  grant(address: Ip, lease: Lease): void {
    const obstacle = this.obstacle(address)
    if (obstacle) throw new Error(`${address} granted in ${this.id}: ${obstacle}`)
    this.#leases.set(address, lease)
    this.#mark(address)
  }

  revoke(address: Ip): void {
    if (!this.#leases.delete(address)) return
    const offset = this.#offsetOf(address)
    if (offset !== undefined) this.#window.clear(offset)
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

  #mark(address: Ip): void {
    const offset = this.#offsetOf(address)
    if (offset !== undefined) this.#window.set(offset)
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
