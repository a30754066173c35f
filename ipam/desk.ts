/** What an operator does with addresses: reserve them, and end what is kept of them. Decided on memory alone. */
import type { Book } from './book.ts'
import type { Step } from './journal.ts'
import type { Pool } from './pool.ts'
import type { Change, Lease, Reservation } from './records.ts'
import type { Ip } from '../native/value/ip.ts'
import type { Mac } from '../native/value/mac.ts'
import type { PoolId } from '../plugin-api/ids.ts'
import { change } from './change.ts'
import {
  addressFree,
  addressHeld,
  cannotGrant,
  maclessReservation,
  macReserved,
  noPool,
  unknownPool,
} from './refusals.ts'

export interface ReservationWish {
  readonly address: Ip
  /** Only it gets the address, with and without naming it. Absent: whoever names it does. */
  readonly mac?: Mac
  readonly note?: string
}

/** Why a lease does not end unless it is forced to. */
export interface Hold {
  /** Behind the address: `is in use by container www`. */
  readonly why: string
  readonly hint: string
}

export interface Release {
  readonly address: Ip
  /** Also a lease that somebody uses. */
  readonly force: boolean
  /** As far as the records and the engine tell. */
  readonly heldBy?: (pool: Pool, lease: Lease) => Hold | undefined
}

/** What was ended. */
export type Ended = 'lease' | 'chosen' | 'reservation' | 'rest'

/** What ends by hand, and why the lease is not among it. */
export interface Freed {
  readonly ended: readonly Ended[]
  readonly hold?: Hold
}

/** Somebody who has the address keeps it. One that is reserved for a MAC may get another note, but no other MAC. */
export function reserve(book: Book, id: PoolId, { address, mac, note }: ReservationWish): Step<Reservation> {
  const pool = book.pools.get(id)
  if (!pool) throw unknownPool(id)
  if (mac !== undefined && book.isMacless(pool.record.client)) throw maclessReservation(pool.record.client)
  const lease = pool.leases.get(address)
  const isHolders = lease?.purpose === 'endpoint' && (mac === undefined || lease.mac === mac)
  const obstacle = pool.obstacle(address, mac)
  if (obstacle !== undefined && !(obstacle === 'leased' && isHolders)) throw cannotGrant(book, pool, address, obstacle)
  const other = mac === undefined ? undefined : pool.reservedFor(mac)
  if (mac !== undefined && other !== undefined && other !== address) throw macReserved(mac, other)
  const value = {
    ...(mac === undefined ? {} : { mac }),
    ...(note === undefined ? {} : { note }),
    at: book.time(),
  }
  return change(pool, [{ sort: 'reservation', address, value }], value)
}

/** Throws UserError when there is nothing to end, or when it is nothing but a lease that somebody uses. */
export function release(book: Book, { address, force, heldBy }: Release): Step<Freed> {
  const pool = poolWith(book, address)
  if (!pool) throw noPool(address)
  const ended: Ended[] = []
  const changes: Change[] = []
  const end = (sort: Change['sort'], name: Ended): void => {
    ended.push(name)
    changes.push({ sort, address, value: undefined })
  }
  if (pool.reservations.has(address)) end('reservation', 'reservation')
  if (pool.chosen.has(address)) end('chosen', 'chosen')
  if (pool.past.has(address)) end('past', 'rest')
  const lease = pool.leases.get(address)
  const alive = lease && book.inUse(pool, address) ? aliveHold : undefined
  const hold = lease && !force ? (heldBy?.(pool, lease) ?? alive) : undefined
  if (hold && ended.length === 0) throw addressHeld(address, hold)
  if (lease && !hold) end('lease', 'lease')
  if (ended.length === 0) throw addressFree(address)
  return change(pool, changes, { ended, ...(hold && { hold }) })
}

const aliveHold: Hold = {
  why: 'is in use by an endpoint that is alive',
  hint: 'remove its container first; --force ends the lease all the same, and the address may be given to somebody else',
}

export function poolWith(book: Book, address: Ip): Pool | undefined {
  return [...book.pools.values()].find(pool => pool.obstacle(address) !== 'outside')
}
