/** What is promised about addresses, as it lies in the store. */
import type { Cidr, Family, Ip } from '../native/value/ip.ts'
import type { Mac } from '../native/value/mac.ts'
import type { PoolId } from '../plugin-api/ids.ts'
import type { DefaultPool } from './defaults.ts'
import type { Store, Versioned } from './store.ts'

/** Record of a pool, key `pool/ID`. */
export interface PoolRecord {
  /** Host bits cleared. */
  readonly subnet: Cidr
  /** Part of the subnet that addresses are chosen from (`--ip-range`). */
  readonly range?: Cidr
  readonly family: Family
  /** Cut from the default pools, not named by the user. */
  readonly automatic: boolean
  /** `--ipam-opt` pairs: part of the identity of a pool, otherwise unused. */
  readonly options: Readonly<Record<string, string>>
  /** Name of the driver whose socket asked for it. */
  readonly client: string
  /** Life of the engine in which it was requested last; see docs/adr/0003. */
  readonly session: number
  /** Milliseconds since 1970. */
  readonly at: number
}

/** What an engine asks for an address for. */
export type Purpose = 'gateway' | 'reserved' | 'endpoint'

/** Record of a granted address, key `lease/POOL/ADDRESS`. */
export interface Lease {
  /** `host`: of the host itself, for `owner`; no engine knows of it. */
  readonly purpose: Purpose | 'host'
  readonly mac?: Mac
  readonly owner?: string
  /** Milliseconds since 1970; no two grants of a daemon have the same. */
  readonly at: number
}

/**
 * Somebody chose this address once (`--ip`), key `chosen/POOL/ADDRESS`: nobody who names none gets it while the pool
 * lives, for whoever chose it may only be stopped.
 */
export interface Chosen {
  readonly at: number
}

/** Record of an operator's reservation, key `reservation/POOL/ADDRESS`. */
export interface Reservation {
  /** Who gets it, with and without naming it. Absent: whoever names it. */
  readonly mac?: Mac
  readonly note?: string
  readonly at: number
}

/** Record of an endpoint's lease that ended, key `past/POOL/ADDRESS`. */
export interface Past {
  readonly mac?: Mac
  /** Milliseconds since 1970. */
  readonly endedAt: number
}

/** All that is kept about one address; each sort has its own key. */
export interface Kept {
  readonly lease: Lease
  readonly chosen: Chosen
  readonly reservation: Reservation
  readonly past: Past
}
export type Sort = keyof Kept
export const sorts = ['lease', 'chosen', 'reservation', 'past'] as const satisfies readonly Sort[]

/** A record of an address as it is to be; no value: it is gone. */
export type Change = {
  readonly [S in Sort]: { readonly sort: S; readonly address: Ip; readonly value: Kept[S] | undefined }
}[Sort]

/** A pool as it was granted once; `at` tells it from a later grant of the same one. */
export type PoolGrant = Pick<PoolEntry, 'id' | 'at'>

export interface PoolEntry extends PoolRecord {
  readonly id: PoolId
}

export interface LeaseEntry extends Lease {
  readonly pool: PoolId
  readonly address: Ip
}

/** The unique local /48 of this installation. */
export const ulaKey = 'ipam/ula'
const sessionPrefix = 'ipam/session/'
const poolPrefix = 'pool/'

export function sessionKey(client: string): string {
  return sessionPrefix + client
}

export function poolKey(id: PoolId): string {
  return poolPrefix + id
}

/** Neither a pool's id nor an address holds a slash. */
export function keyOf(sort: Sort, id: PoolId, address: Ip): string {
  return `${sort}/${id}/${address}`
}

/**
 * `10.88.0.0-16`, or `10.88.0.0-16+10.88.4.0-24` with a range. Made from what the engine repeats at its start, so that
 * the id it keeps for years still fits after the records were lost. Pools never overlap, so no two have the same.
 */
export function poolIdOf(subnet: Cidr, range: Cidr | undefined): PoolId {
  return [subnet, ...(range === undefined ? [] : [range])].join('+').replaceAll('/', '-') as PoolId
}

/** Everything above, as it was written. */
export async function readRecords(store: Store): Promise<{
  readonly pools: readonly PoolEntry[]
  readonly changes: readonly { readonly pool: PoolId; readonly change: Change }[]
  readonly sessions: readonly (readonly [client: string, session: number])[]
  readonly ula: DefaultPool | undefined
}> {
  const [pools, sessions, ula, ...kept] = await Promise.all([
    store.list(poolPrefix),
    store.list(sessionPrefix),
    store.get(ulaKey),
    ...sorts.map(async sort => (await store.list(`${sort}/`)).map(record => changeOf(sort, record))),
  ])
  return {
    pools: pools.map(({ key, value }) => ({ id: key.slice(poolPrefix.length) as PoolId, ...(value as PoolRecord) })),
    changes: kept.flat(),
    sessions: sessions.map(({ key, value }) => [key.slice(sessionPrefix.length), value as number] as const),
    ula: ula?.value as DefaultPool | undefined,
  }
}

function changeOf(sort: Sort, { key, value }: Versioned): { readonly pool: PoolId; readonly change: Change } {
  const [, pool, address] = key.split('/')
  return { pool: pool as PoolId, change: { sort, address, value } as Change }
}
