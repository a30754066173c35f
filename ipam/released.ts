/**
 * Leases whose release was refused, for their endpoint is alive. They end with it, or with the next request for the
 * address. In memory only: after a restart of the daemon the engine's list of endpoints ends them, see evidence.ts.
 */
import type { Pool } from './pool.ts'
import type { Lease } from './records.ts'
import type { Ip } from '../native/value/ip.ts'

export interface HeldAddress {
  readonly pool: Pool
  readonly address: Ip
  readonly lease: Lease
}

export class Released {
  readonly #held = new Map<Lease, HeldAddress>()
  readonly #isCurrent: (pool: Pool) => boolean

  /** `isCurrent`: a pool that ended may have a successor of the same id. */
  constructor(isCurrent: (pool: Pool) => boolean) {
    this.#isCurrent = isCurrent
  }

  add(held: HeldAddress): void {
    this.#held.set(held.lease, held)
  }

  has(lease: Lease | undefined): boolean {
    return lease !== undefined && this.#held.has(lease)
  }

  /** Undefined when it was none of these. */
  remove(lease: Lease): HeldAddress | undefined {
    const held = this.#held.get(lease)
    this.#held.delete(lease)
    return held
  }

  in(pool: Pool): readonly HeldAddress[] {
    return this.#current().filter(held => held.pool === pool)
  }

  among(addresses: readonly Ip[]): readonly HeldAddress[] {
    return this.#current().filter(({ address }) => addresses.includes(address))
  }

  /** Leases that ended by another way, or with their pool, are forgotten. */
  #current(): readonly HeldAddress[] {
    for (const [lease, { pool, address }] of this.#held) {
      if (!this.#isCurrent(pool) || pool.leases.get(address) !== lease) this.#held.delete(lease)
    }
    return [...this.#held.values()]
  }
}
