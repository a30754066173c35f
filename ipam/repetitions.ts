/**
 * An engine that begins repeats each pool, and then each address in it once, before it does anything else. In memory only:
 * after a restart of the daemon nothing is taken for a repetition. For engines that were told to send no MACs; those of
 * others show by their words what is new.
 */
import type { Pool } from './pool.ts'
import type { Ip } from '../native/value/ip.ts'
import type { PoolId } from '../plugin-api/ids.ts'

export class Repetitions {
  /** By client the pools that were repeated, with the addresses that were asked for in them. */
  readonly #pools = new Map<string, Map<PoolId, Set<Ip>>>()

  addPool({ id, record }: Pool): void {
    const pools = this.#pools.get(record.client) ?? new Map<PoolId, Set<Ip>>()
    this.#pools.set(record.client, pools.set(id, new Set()))
  }

  /** An engine begins, or has asked for something that it would not repeat. */
  end(client: string): void {
    this.#pools.delete(client)
  }

  /** Is this request perhaps a repetition? Once for each address: the second request shows that the engine has begun. */
  take({ id, record }: Pool, address: Ip): boolean {
    const asked = this.#pools.get(record.client)?.get(id)
    if (asked?.has(address)) this.end(record.client)
    if (!asked || asked.has(address)) return false
    asked.add(address)
    return true
  }
}
