/**
 * Pools and addresses as the engine asks for them. Nothing is answered before it is durable, and nothing that the engine
 * was promised is given to anyone else. How a repeated request is told from a new one: docs/adr/0003-ipam-replay.md;
 * what is kept of an address beside its lease: docs/adr/0006-ipam-kept-addresses.md.
 */
import type { IpamOptions } from './book.ts'
import type { Freed, Release, ReservationWish } from './desk.ts'
import type { Step } from './journal.ts'
import type { Pool } from './pool.ts'
import type { LeaseEntry, PoolEntry, PoolGrant, Reservation } from './records.ts'
import type { AddressWish, PoolWish } from './wish.ts'
import type { Cidr, Ip } from '../native/value/ip.ts'
import type { PoolId } from '../plugin-api/ids.ts'
import { setTimeout as sleep } from 'node:timers/promises'
import { Book } from './book.ts'
import { endLease } from './change.ts'
import { poolWith, release, reserve } from './desk.ts'
import { grantAddress, holdAddress, letGo } from './grant.ts'
import { Journal } from './journal.ts'
import { endPool, grantPool } from './pools.ts'
import { sessionKey } from './records.ts'
import { readAddress } from './wish.ts'

export type { IpamOptions } from './book.ts'

const pollMs = 25
const nothing = { answer: false, writes: [] } as const

export class Ipam {
  readonly #options: IpamOptions
  readonly #journal: Journal
  readonly #book: Book
  /** Grows with every change of a lease: tells whether what was learned about them is old. */
  changes = 0

  /** Reads what was promised before. */
  static async restore(options: IpamOptions): Promise<Ipam> {
    return new Ipam(options, await Book.load(options))
  }

  private constructor(options: IpamOptions, book: Book) {
    this.#options = options
    this.#book = book
    this.#journal = new Journal(options.store)
  }

  /** GetCapabilities was asked: an engine begins, and may repeat each pool of this client once. */
  async engineStarted(client: string): Promise<void> {
    await this.#journal.run(() => {
      const before = this.#book.sessionOf(client)
      this.#book.sessions.set(client, before + 1)
      this.#book.repetitions.end(client)
      const undo = (): unknown => this.#book.sessions.set(client, before)
      return { answer: undefined, writes: [{ key: sessionKey(client), value: before + 1 }], undo }
    })
  }

  /** Throws UserError in the engine's words. Nothing is granted once `signal` is aborted, here and below. */
  async requestPool(wish: PoolWish, signal?: AbortSignal): Promise<PoolEntry> {
    return this.#change(() => {
      signal?.throwIfAborted()
      return grantPool(this.#book, wish)
    })
  }

  /** False: nothing was released, for it is unknown or an endpoint of it is alive. Its leases end with it. */
  async releasePool(id: PoolId): Promise<boolean> {
    return this.#change(() => {
      const pool = this.#book.pools.get(id)
      return !pool || this.#book.isAlive(pool) ? nothing : endPool(this.#book, pool)
    })
  }

  /**
   * The address with the prefix length of its pool. One that was released while its endpoint was alive is waited for: an
   * engine that was killed gives its containers' addresses back before their links have gone. Throws UserError in the
   * engine's words.
   */
  async requestAddress(id: PoolId, wish: AddressWish, signal?: AbortSignal): Promise<Cidr> {
    const until = performance.now() + (this.#options.patienceMs ?? 3000)
    for (;;) {
      const patient = performance.now() < until
      const granted = await this.#change(() => {
        signal?.throwIfAborted()
        return grantAddress(this.#book, id, wish, { patient })
      })
      if (granted !== undefined) return granted
      await sleep(pollMs)
    }
  }

  /**
   * False: nothing was released, for it is unknown, in use, or of the host itself. A gateway is in use while any endpoint
   * is alive.
   */
  async releaseAddress(id: PoolId, text: string): Promise<boolean> {
    return this.#change(() => {
      const address = readAddress(text)
      const pool = this.#book.pools.get(id)
      const lease = pool?.leases.get(address)
      if (!pool || !lease || lease.purpose === 'host') return nothing
      const isGateway = lease.purpose === 'gateway'
      const isUsed = isGateway ? this.#book.isAlive(pool) : this.#book.inUse(pool, address)
      if (!isUsed) return endLease(pool, address, lease, this.#book.now)
      if (!isGateway) this.#book.released.add({ pool, address, lease })
      return nothing
    })
  }

  /** An endpoint with these addresses is gone: ends those that were released while it was alive. Gives the ended ones. */
  async endReleased(addresses: readonly Ip[]): Promise<readonly Ip[]> {
    const { released } = this.#book
    // Nearly every endpoint ends before its addresses are released: no turn is waited for then.
    if (released.among(addresses).length === 0) return []
    return this.#change(() => {
      const ending = released.among(addresses).filter(({ pool, address }) => !this.#book.inUse(pool, address))
      const steps = ending.map(({ pool, address, lease }) => endLease(pool, address, lease, this.#book.now))
      return together(
        steps,
        ending.map(({ address }) => address),
      )
    })
  }

  /**
   * An address of the host's own in a pool, the same again for the same owner; `wished` may be an auxiliary one. No
   * engine knows of it. Ends with the pool, or by `letGo`. Throws UserError.
   */
  async hold(id: PoolId, owner: string, wished?: Ip): Promise<Ip> {
    return this.#change(() => holdAddress(this.#book, id, owner, wished))
  }

  async letGo(owner: string): Promise<void> {
    await this.#change(() => together(letGo(this.#book, owner), undefined))
  }

  /** For an operator, durable while the pool lives. Throws UserError. */
  async reserve(id: PoolId, wish: ReservationWish): Promise<Reservation> {
    return this.#change(() => reserve(this.#book, id, wish))
  }

  /** For an operator: ends all that keeps an address from being given out. Throws UserError. */
  async release(wish: Release): Promise<Freed> {
    return this.#change(() => release(this.#book, wish))
  }

  /** The grants that these subnets are. */
  grantsOf(subnets: readonly Cidr[]): readonly PoolGrant[] {
    return this.pools().flatMap(({ id, subnet, at }) => (subnets.includes(subnet) ? [{ id, at }] : []))
  }

  isGranted({ id, at }: PoolGrant): boolean {
    return this.#book.pools.get(id)?.record.at === at
  }

  /** Ends a pool of which somebody knows that its network is gone. False: it ended before, or an endpoint is alive. */
  async endGrant(grant: PoolGrant): Promise<boolean> {
    return this.isGranted(grant) ? this.releasePool(grant.id) : false
  }

  /** The pool that a daemon was about to answer when it ended, while nothing shows that its requester knows of it. */
  get unanswered(): PoolEntry | undefined {
    const { pools, unanswered } = this.#book
    const pool = unanswered === undefined ? undefined : pools.get(unanswered)
    return pool && this.#book.isUnanswered(pool) ? pool.entry : undefined
  }

  /** Pools that no engine has repeated since the last one began, without a container's address. */
  get unrepeated(): readonly PoolEntry[] {
    const isIdle = ({ leases }: Pool): boolean => ![...leases.values()].some(({ purpose }) => purpose === 'endpoint')
    return [...this.#book.pools.values()]
      .filter(pool => pool.record.session < this.#book.sessionOf(pool.record.client) && isIdle(pool))
      .map(({ entry }) => entry)
  }

  /** Ends a pool that evidence speaks against. False: it ended, or was requested again, since it was listed. */
  async dropPool({ id, at, session }: PoolEntry): Promise<boolean> {
    const record = this.#book.pools.get(id)?.record
    return record?.at === at && record.session === session ? this.releasePool(id) : false
  }

  /** Ends a lease that evidence speaks against. False: it ended, or was granted anew, since it was listed. */
  async drop({ pool: id, address, at }: LeaseEntry): Promise<boolean> {
    return this.#change(() => {
      const pool = this.#book.pools.get(id)
      const lease = pool?.leases.get(address)
      return pool && lease?.at === at ? endLease(pool, address, lease, this.#book.now) : nothing
    })
  }

  pools(): readonly PoolEntry[] {
    return [...this.#book.pools.values()].map(({ entry }) => entry)
  }

  leases(): readonly LeaseEntry[] {
    return this.#book.leases()
  }

  get leaseCount(): number {
    return [...this.#book.pools.values()].reduce((sum, { leases }) => sum + leases.size, 0)
  }

  /** Milliseconds since 1970, as rests are counted. */
  get now(): number {
    return this.#book.now
  }

  /** For looking: it changes with the next request. */
  pool(id: PoolId): Pool | undefined {
    return this.#book.pools.get(id)
  }

  /** The pool whose subnet has this address; for looking. */
  poolWith(address: Ip): Pool | undefined {
    return poolWith(this.#book, address)
  }

  #change<T>(decide: () => Step<T>): Promise<T> {
    return this.#journal.run(() => {
      const step = decide()
      if (step.writes.length > 0) this.changes += 1
      return step
    })
  }
}

/** Several steps as one. */
function together<T>(steps: readonly Step<unknown>[], answer: T): Step<T> {
  const undo = (): void => {
    for (const step of steps.toReversed()) step.undo?.()
  }
  const isShort = steps.every(({ survives }) => survives === 'process')
  const writes = steps.flatMap(step => step.writes)
  return { answer, writes, survives: isShort ? 'process' : 'power', undo }
}
