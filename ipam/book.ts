/** All that the IPAM knows, in memory: pools with their addresses, lives of engines, the clock. */
import type { DefaultPool } from './defaults.ts'
import type { Change, LeaseEntry, PoolEntry, PoolRecord } from './records.ts'
import type { Store } from './store.ts'
import type { Cidr, Ip } from '../native/value/ip.ts'
import type { PoolId } from '../plugin-api/ids.ts'
import { Pool } from './pool.ts'
import { Released } from './released.ts'
import { keyOf, readRecords } from './records.ts'
import { Repetitions } from './repetitions.ts'

export interface IpamOptions {
  readonly store: Store
  readonly defaultPools: readonly DefaultPool[]
  /** Networks of the host that automatic pools keep clear of; a default route is none. */
  readonly avoid?: () => readonly Cidr[]
  /** Is this the address of an endpoint that is joined and alive? Then its release is a late one, by an owner before. */
  readonly inUse?: (pool: PoolEntry, address: Ip) => boolean
  /** Was a network made on it, as far as the records and the engine tell? */
  readonly isMade?: (pool: PoolEntry) => boolean
  /** Are engines told to send this client no MACs? */
  readonly macless?: (client: string) => boolean
  /** Who has it, for people: `network web` of a pool, `container www` of an address. Undefined: not known. */
  readonly nameOf?: (pool: PoolEntry, address?: Ip) => string | undefined
  /** Longest wait for the end of an endpoint whose address was released and is requested again. Default 3000. */
  readonly patienceMs?: number
  /** How long an address that an endpoint let go of is not given to another one, while there are others. Default 60,000. */
  readonly restMs?: number
  /** Milliseconds since 1970. */
  readonly now?: () => number
}

export class Book {
  readonly options: IpamOptions
  readonly pools = new Map<PoolId, Pool>()
  /** Lives of the engine that each client has seen begin. */
  readonly sessions = new Map<string, number>()
  readonly released = new Released(pool => this.pools.get(pool.id) === pool)
  readonly repetitions = new Repetitions()
  /** The unique local /48 that automatic IPv6 pools are cut from. */
  ula: DefaultPool | undefined
  /** The pool that was written last before the daemon ended, if nothing followed: its requester may not know of it. */
  unanswered: PoolId | undefined
  #latest = 0

  private constructor(options: IpamOptions) {
    this.options = options
  }

  static async load(options: IpamOptions): Promise<Book> {
    const book = new Book(options)
    const { pools, changes, sessions, ula } = await readRecords(options.store)
    book.ula = ula
    for (const [client, session] of sessions) book.sessions.set(client, session)
    for (const { id, ...record } of pools) {
      book.pools.set(id, book.newPool(id, record))
      if (record.at > book.#latest) book.unanswered = id
      book.#latest = Math.max(book.#latest, record.at)
    }
    // What is kept of an address ends with its pool, in one commit; without a pool it is nobody's.
    const lost = changes.filter(({ pool }) => !book.pools.has(pool))
    if (lost.length > 0) {
      await options.store.commit(lost.map(({ pool, change }) => ({ key: keyOf(change.sort, pool, change.address) })))
    }
    const timed = changes.map(({ pool, change }) => ({ pool, change, at: timeOf(change.value) }))
    for (const { pool, change, at } of timed.toSorted((one, other) => one.at - other.at)) {
      if (change.sort === 'lease') book.#noteLease(at)
      book.pools.get(pool)?.put(notAhead(change, book.now))
      if (change.sort === 'lease' && change.value?.purpose === 'endpoint') {
        book.pools.get(pool)?.resumeAfter(change.address)
      }
    }
    return book
  }

  newPool(id: PoolId, record: PoolRecord): Pool {
    return new Pool(id, record, this.options.restMs ?? 60_000)
  }

  sessionOf(client: string): number {
    return this.sessions.get(client) ?? 0
  }

  get now(): number {
    return (this.options.now ?? Date.now)()
  }

  /** Now, but later than any time given before: it tells two leases of one address apart. */
  time(): number {
    this.#latest = Math.max(this.#latest + 1, this.now)
    return this.#latest
  }

  inUse(pool: Pool, address: Ip): boolean {
    return this.options.inUse?.(pool.entry, address) ?? false
  }

  /** Was a network made on it? A container's address shows it as well. */
  isMade(pool: Pool): boolean {
    const isUsed = [...pool.leases.values()].some(({ purpose }) => purpose === 'endpoint')
    return isUsed || (this.options.isMade?.(pool.entry) ?? false)
  }

  isMacless(client: string): boolean {
    return this.options.macless?.(client) ?? false
  }

  /** May its requester not know of it? */
  isUnanswered(pool: Pool): boolean {
    return pool.id === this.unanswered && pool.leases.size === 0 && !this.isMade(pool)
  }

  /** Is an endpoint of it alive? */
  isAlive(pool: Pool): boolean {
    return [...pool.leases].some(([address, lease]) => lease.purpose === 'endpoint' && this.inUse(pool, address))
  }

  nameOf(pool: Pool, address?: Ip): string | undefined {
    return this.options.nameOf?.(pool.entry, address)
  }

  leases(): readonly LeaseEntry[] {
    return [...this.pools.values()].flatMap(pool =>
      [...pool.leases].map(([address, lease]) => ({ pool: pool.id, address, ...lease })),
    )
  }

  #noteLease(at: number): void {
    if (at > this.#latest) this.unanswered = undefined
    this.#latest = Math.max(this.#latest, at)
  }
}

/** After the clock went back a rest would last as long as it went. */
function notAhead(change: Change, now: number): Change {
  if (change.sort !== 'past' || !change.value) return change
  return { ...change, value: { ...change.value, endedAt: Math.min(change.value.endedAt, now) } }
}

function timeOf(value: { readonly at: number } | { readonly endedAt: number } | undefined): number {
  if (value === undefined) return 0
  return 'at' in value ? value.at : value.endedAt
}
