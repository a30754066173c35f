/**
 * Pools and addresses as the engine asks for them. Nothing is answered before it is durable, and nothing that the engine
 * was promised is given to anyone else. How a repeated request is told from a new one: docs/adr/0003-ipam-replay.md.
 */
import type { DefaultPool } from './defaults.ts'
import type { Step } from './journal.ts'
import type { Lease, LeaseEntry, PoolEntry, PoolGrant, PoolRecord, Purpose } from './records.ts'
import type { Store } from './store.ts'
import type { AddressWish, PoolWish } from './wish.ts'
import type { Cidr, Family, Ip } from '../native/value/ip.ts'
import type { PoolId } from '../plugin-api/ids.ts'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { familyOf } from '../native/value/ip.ts'
import { blocksFor, cutBlock, ulaPool } from './defaults.ts'
import { Journal } from './journal.ts'
import { beginLease, endLease } from './lease.ts'
import { Pool } from './pool.ts'
import { Released } from './released.ts'
import { leaseKey, poolIdOf, poolKey, readRecords, sessionKey, ulaKey } from './records.ts'
import { addressesExhausted, cannotGrant, poolOverlap, poolsExhausted, unknownPool } from './refusals.ts'
import { isSameGrant, isSamePool, readAddress, readPoolWish } from './wish.ts'

export interface IpamOptions {
  readonly store: Store
  readonly defaultPools: readonly DefaultPool[]
  /** Networks of the host that automatic pools keep clear of; a default route is none. */
  readonly avoid?: () => readonly Cidr[]
  /** Is this the address of an endpoint that is joined and alive? Then its release is a late one, by an owner before. */
  readonly inUse?: (pool: PoolEntry, address: Ip) => boolean
  /** Longest wait for the end of an endpoint whose address was released and is requested again. Default 3000. */
  readonly patienceMs?: number
  /** Milliseconds since 1970. */
  readonly now?: () => number
}

const pollMs = 25

export class Ipam {
  readonly #options: IpamOptions
  readonly #journal: Journal
  readonly #pools = new Map<PoolId, Pool>()
  /** Lives of the engine that each client has seen begin. */
  readonly #sessions = new Map<string, number>()
  readonly #released = new Released()
  #ula: DefaultPool | undefined
  /** The pool that was written last before the daemon ended, if nothing followed: its requester may not know of it. */
  #unanswered: PoolId | undefined
  #latest = 0

  /** Reads what was promised before. */
  static async restore(options: IpamOptions): Promise<Ipam> {
    const ipam = new Ipam(options)
    await ipam.#load()
    return ipam
  }

  private constructor(options: IpamOptions) {
    this.#options = options
    this.#journal = new Journal(options.store)
  }

  /** GetCapabilities was asked: an engine begins, and may repeat each pool of this client once. */
  async engineStarted(client: string): Promise<void> {
    await this.#journal.run(() => {
      const before = this.#sessions.get(client) ?? 0
      this.#sessions.set(client, before + 1)
      const undo = (): unknown => this.#sessions.set(client, before)
      return { answer: undefined, writes: [{ key: sessionKey(client), value: before + 1 }], undo }
    })
  }

  /** Throws UserError in the engine's words. Nothing is granted once `signal` is aborted, here and below. */
  async requestPool(wish: PoolWish, signal?: AbortSignal): Promise<PoolEntry> {
    return this.#journal.run(() => {
      signal?.throwIfAborted()
      const read = readPoolWish(wish)
      if (read.kind === 'any') return this.#cutPool(wish, read.family, read.length)
      const { subnet, range } = read
      const held = this.#pools.get(poolIdOf(subnet, range))
      if (held && isSamePool(held.record, wish) && this.#mayRepeat(held)) return this.#repeatPool(held)
      return this.#addPool(wish, { subnet, ...(range === undefined ? {} : { range }), automatic: false })
    })
  }

  /** False: nothing was released, for it is unknown or an endpoint of it is alive. Its leases end with it. */
  async releasePool(id: PoolId): Promise<boolean> {
    return this.#journal.run(() => {
      const pool = this.#pools.get(id)
      if (!pool || this.#isAlive(pool)) return { answer: false, writes: [] }
      this.#pools.delete(id)
      const leases = [...pool.leases.keys()].map(address => ({ key: leaseKey(id, address) }))
      const undo = (): unknown => this.#pools.set(id, pool)
      return { answer: true, writes: [...leases, { key: poolKey(id) }], undo }
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
      const granted = await this.#journal.run(() => {
        signal?.throwIfAborted()
        return this.#grantAddress(id, wish, { patient })
      })
      if (granted !== undefined) return granted
      await sleep(pollMs)
    }
  }

  /** False: nothing was released, for it is unknown or in use. A gateway is in use while any endpoint is alive. */
  async releaseAddress(id: PoolId, text: string): Promise<boolean> {
    return this.#journal.run(() => {
      const address = readAddress(text)
      const pool = this.#pools.get(id)
      const lease = pool?.leases.get(address)
      if (!pool || !lease) return { answer: false, writes: [] }
      const isGateway = lease.purpose === 'gateway'
      if (!(isGateway ? this.#isAlive(pool) : this.#inUse(pool, address))) return endLease(pool, address, lease)
      if (!isGateway) this.#released.add(lease)
      return { answer: false, writes: [] }
    })
  }

  /** An endpoint with these addresses is gone: ends those that were released while it was alive. Gives the ended ones. */
  async endReleased(addresses: readonly Ip[]): Promise<readonly Ip[]> {
    // Nearly every endpoint ends before its addresses are released: no turn is waited for then.
    if (this.#released.among(this.#pools.values(), addresses).length === 0) return []
    return this.#journal.run(() => {
      const ending = this.#released
        .among(this.#pools.values(), addresses)
        .filter(({ pool, address }) => !this.#inUse(pool, address))
      const steps = ending.map(({ pool, address, lease }) => endLease(pool, address, lease))
      const undo = (): void => {
        for (const step of steps) step.undo?.()
      }
      return { answer: ending.map(({ address }) => address), writes: steps.flatMap(({ writes }) => writes), undo }
    })
  }

  /** The grants that these subnets are. */
  grantsOf(subnets: readonly Cidr[]): readonly PoolGrant[] {
    return this.pools().flatMap(({ id, subnet, at }) => (subnets.includes(subnet) ? [{ id, at }] : []))
  }

  isGranted({ id, at }: PoolGrant): boolean {
    return this.#pools.get(id)?.record.at === at
  }

  /** Ends a pool of which somebody knows that its network is gone. False: it ended before, or an endpoint is alive. */
  async endGrant(grant: PoolGrant): Promise<boolean> {
    return this.isGranted(grant) ? this.releasePool(grant.id) : false
  }

  /** The pool that a daemon was about to answer when it ended, while nothing shows that its requester knows of it. */
  get unanswered(): PoolEntry | undefined {
    const pool = this.#unanswered === undefined ? undefined : this.#pools.get(this.#unanswered)
    return pool && pool.leases.size === 0 ? entryOf(pool) : undefined
  }

  /** Pools that no engine has repeated since the last one began, without a container's address. */
  get unrepeated(): readonly PoolEntry[] {
    const isIdle = ({ leases }: Pool): boolean => ![...leases.values()].some(({ purpose }) => purpose === 'endpoint')
    return [...this.#pools.values()]
      .filter(pool => pool.record.session < this.#sessionOf(pool.record.client) && isIdle(pool))
      .map(entryOf)
  }

  /** Ends a pool that evidence speaks against. False: it ended, or was requested again, since it was listed. */
  async dropPool({ id, at, session }: PoolEntry): Promise<boolean> {
    const record = this.#pools.get(id)?.record
    return record?.at === at && record.session === session ? this.releasePool(id) : false
  }

  /** Ends a lease that evidence speaks against. False: it ended, or was granted anew, since it was listed. */
  async drop({ pool: id, address, at }: LeaseEntry): Promise<boolean> {
    return this.#journal.run(() => {
      const pool = this.#pools.get(id)
      const lease = pool?.leases.get(address)
      if (!pool || lease?.at !== at) return { answer: false, writes: [] }
      return endLease(pool, address, lease)
    })
  }

  pools(): readonly PoolEntry[] {
    return [...this.#pools.values()].map(entryOf)
  }

  leases(): readonly LeaseEntry[] {
    return [...this.#pools.values()].flatMap(pool =>
      [...pool.leases].map(([address, lease]) => ({ pool: pool.id, address, ...lease })),
    )
  }

  #mayRepeat(pool: Pool): boolean {
    return pool.record.session < this.#sessionOf(pool.record.client) || pool.id === this.#unanswered
  }

  #repeatPool(pool: Pool): Step<PoolEntry> {
    const before = pool.record
    this.#unanswered = undefined
    pool.record = { ...before, session: this.#sessionOf(before.client) }
    const undo = (): void => {
      pool.record = before
    }
    return { answer: entryOf(pool), writes: [{ key: poolKey(pool.id), value: pool.record }], undo }
  }

  #cutPool(wish: PoolWish, family: Family, length: number | undefined): Step<PoolEntry> {
    let blocks = blocksFor(this.#options.defaultPools, family, length)
    const own = family === 6 && !this.#options.defaultPools.some(pool => familyOf(pool.base) === 6)
    if (own) {
      // Kept when the commit fails: it is written again with every pool that is cut from it.
      this.#ula ??= ulaPool(randomBytes(5))
      blocks = blocksFor([this.#ula], family, length)
    }
    const taken = [...this.#pools.values()].map(pool => pool.record.subnet)
    const subnet = cutBlock(blocks, [...taken, ...(this.#options.avoid?.() ?? [])])
    if (subnet === undefined) throw poolsExhausted(blocks, family, taken.length)
    const step = this.#addPool(wish, { subnet, automatic: true })
    return own ? { ...step, writes: [...step.writes, { key: ulaKey, value: this.#ula }] } : step
  }

  #addPool(wish: PoolWish, part: Pick<PoolRecord, 'subnet' | 'range' | 'automatic'>): Step<PoolEntry> {
    const holder = [...this.#pools.values()].find(pool => pool.overlaps(part.subnet))
    if (holder) throw poolOverlap(part.subnet, holder)
    const { client, options = {} } = wish
    const session = this.#sessionOf(client)
    const record = { ...part, family: familyOf(part.subnet), options, client, session, at: this.#time() }
    const pool = new Pool(poolIdOf(part.subnet, part.range), record)
    this.#pools.set(pool.id, pool)
    const undo = (): unknown => this.#pools.delete(pool.id)
    return { answer: entryOf(pool), writes: [{ key: poolKey(pool.id), value: record, expect: 0 }], undo }
  }

  /** Undefined: not yet. */
  #grantAddress(id: PoolId, wish: AddressWish, { patient }: { readonly patient: boolean }): Step<Cidr | undefined> {
    const pool = this.#pools.get(id)
    if (!pool) throw unknownPool(id)
    const address = wish.address === undefined ? this.#choose(pool, wish.purpose) : readAddress(wish.address)
    if (address === undefined) throw addressesExhausted(pool)
    const held = pool.leases.get(address)
    const isReleased = this.#released.has(held)
    if (held && isSameGrant(held, wish) && !(isReleased && wish.purpose === 'endpoint')) {
      return this.#repeatLease(held, pool.withLength(address))
    }
    if (!isReleased) {
      const obstacle = pool.obstacle(address)
      if (obstacle !== undefined) throw cannotGrant(address, pool, obstacle)
    } else if (this.#inUse(pool, address)) {
      if (patient) return { answer: undefined, writes: [] }
      throw wish.address === undefined ? addressesExhausted(pool) : cannotGrant(address, pool, 'leased')
    }
    const { purpose, mac } = wish
    return beginLease(pool, address, { purpose, ...(mac === undefined ? {} : { mac }), at: this.#time() })
  }

  /** Whoever repeats the grant of an address holds it again. */
  #repeatLease(lease: Lease, answer: Cidr): Step<Cidr> {
    if (!this.#released.remove(lease)) return { answer, writes: [] }
    const undo = (): void => {
      this.#released.add(lease)
    }
    return { answer, writes: [], undo }
  }

  /** In a pool that is full, one that was released already: if there is none yet whose endpoint is gone, any of them. */
  #choose(pool: Pool, purpose: Purpose): Ip | undefined {
    const free = pool.choose(purpose)
    if (free !== undefined) return free
    const released = this.#released.addressesIn(pool)
    return released.find(address => !this.#inUse(pool, address)) ?? released[0]
  }

  #isAlive(pool: Pool): boolean {
    return [...pool.leases].some(([address, lease]) => lease.purpose === 'endpoint' && this.#inUse(pool, address))
  }

  #inUse(pool: Pool, address: Ip): boolean {
    return this.#options.inUse?.(entryOf(pool), address) ?? false
  }

  #sessionOf(client: string): number {
    return this.#sessions.get(client) ?? 0
  }

  /** Now, but later than any time given before: it tells two leases of one address apart. */
  #time(): number {
    this.#latest = Math.max(this.#latest + 1, (this.#options.now ?? Date.now)())
    return this.#latest
  }

  async #load(): Promise<void> {
    const { store } = this.#options
    const { pools, leases, sessions, ula } = await readRecords(store)
    this.#ula = ula
    for (const [client, session] of sessions) this.#sessions.set(client, session)
    for (const { id, ...record } of pools) {
      this.#pools.set(id, new Pool(id, record))
      if (record.at > this.#latest) this.#unanswered = id
      this.#latest = Math.max(this.#latest, record.at)
    }
    for (const { pool: id, address, ...lease } of leases.toSorted((one, other) => one.at - other.at)) {
      if (lease.at > this.#latest) this.#unanswered = undefined
      this.#latest = Math.max(this.#latest, lease.at)
      const pool = this.#pools.get(id)
      // A lease ends with its pool, in one commit; one without a pool is nobody's.
      if (!pool) await store.commit([{ key: leaseKey(id, address) }])
      else pool.grant(address, lease)
      if (lease.purpose === 'endpoint') pool?.resumeAfter(address)
    }
  }
}

function entryOf(pool: Pool): PoolEntry {
  return { id: pool.id, ...pool.record }
}
