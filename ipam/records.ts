/** What is promised about addresses, as it lies in the store. */
import type { Cidr, Family, Ip } from '../native/value/ip.ts'
import type { Mac } from '../native/value/mac.ts'
import type { PoolId } from '../plugin-api/ids.ts'
import type { DefaultPool } from './defaults.ts'
import type { Store } from './store.ts'

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

export type Purpose = 'gateway' | 'reserved' | 'endpoint'

/** Record of a granted address, key `lease/POOL/ADDRESS`. */
export interface Lease {
  readonly purpose: Purpose
  readonly mac?: Mac
  /** Milliseconds since 1970; no two grants of a daemon have the same. */
  readonly at: number
}

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
const leasePrefix = 'lease/'

export function sessionKey(client: string): string {
  return sessionPrefix + client
}

export function poolKey(id: PoolId): string {
  return poolPrefix + id
}

/** Neither a pool's id nor an address holds a slash. */
export function leaseKey(id: PoolId, address: Ip): string {
  return `${leasePrefix}${id}/${address}`
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
  readonly leases: readonly LeaseEntry[]
  readonly sessions: readonly (readonly [client: string, session: number])[]
  readonly ula: DefaultPool | undefined
}> {
  const [pools, leases, sessions, ula] = await Promise.all([
    store.list(poolPrefix),
    store.list(leasePrefix),
    store.list(sessionPrefix),
    store.get(ulaKey),
  ])
  return {
    pools: pools.map(({ key, value }) => ({ id: key.slice(poolPrefix.length) as PoolId, ...(value as PoolRecord) })),
    leases: leases.map(({ key, value }) => {
      const [pool, address] = key.slice(leasePrefix.length).split('/')
      return { pool: pool as PoolId, address: address as Ip, ...(value as Lease) }
    }),
    sessions: sessions.map(({ key, value }) => [key.slice(sessionPrefix.length), value as number] as const),
    ula: ula?.value as DefaultPool | undefined,
  }
}
