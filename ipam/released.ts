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
  readonly #leases = new WeakSet<Lease>()

  add(lease: Lease): void {
    this.#leases.add(lease)
  }

  has(lease: Lease | undefined): boolean {
    return lease !== undefined && this.#leases.has(lease)
  }

  /** False when it was none of these. */
  remove(lease: Lease): boolean {
    return this.#leases.delete(lease)
  }

  addressesIn(pool: Pool): readonly Ip[] {
    return [...pool.leases].flatMap(([address, lease]) => (this.has(lease) ? [address] : []))
  }

  among(pools: Iterable<Pool>, addresses: readonly Ip[]): readonly HeldAddress[] {
    return [...pools].flatMap(pool =>
      [...new Set(addresses)].flatMap(address => {
        const lease = pool.leases.get(address)
        return lease && this.has(lease) ? [{ pool, address, lease }] : []
      }),
    )
  }
}
