/** How records of addresses change: in memory at once, in the store with the writes, and the way back. */
import type { Step } from './journal.ts'
import type { Pool } from './pool.ts'
import { keyOf, sorts, type Change, type Lease } from './records.ts'
import type { Write } from './store.ts'
import type { Cidr, Ip } from '../native/value/ip.ts'

/** All of them in one commit. */
export function change<T>(pool: Pool, changes: readonly Change[], answer: T): Step<T> {
  const before = changes.map(one => pool.put(one))
  const undo = (): void => {
    for (const one of before.toReversed()) pool.put(one)
  }
  const writes = changes.map((one, index) => writeOf(pool, one, before[index]))
  const isShort = changes.every((one, index) => isShortLived(one) || isShortLived(before[index]))
  return { answer, writes, survives: isShort ? 'process' : 'power', undo }
}

/** A lease that the address has already is replaced. `chosen`: it was asked for by name. */
export function beginLease(
  pool: Pool,
  address: Ip,
  lease: Lease,
  { chosen }: { readonly chosen: boolean },
): Step<Cidr> {
  const changes: Change[] = []
  if (pool.leases.has(address)) changes.push({ sort: 'lease', address, value: undefined })
  if (pool.past.has(address)) changes.push({ sort: 'past', address, value: undefined })
  changes.push({ sort: 'lease', address, value: lease })
  if (chosen && !pool.chosen.has(address)) changes.push({ sort: 'chosen', address, value: { at: lease.at } })
  return change(pool, changes, pool.withLength(address))
}

/** `endedAt`: milliseconds since 1970. */
export function endLease(pool: Pool, address: Ip, lease: Lease, endedAt: number): Step<boolean> {
  const changes: Change[] = [{ sort: 'lease', address, value: undefined }]
  // What was chosen once is given to nobody who names none: there is nothing to remember.
  if (lease.purpose === 'endpoint' && !pool.chosen.has(address)) {
    const { mac } = lease
    for (const old of pool.surplusPast) changes.push({ sort: 'past', address: old, value: undefined })
    changes.push({ sort: 'past', address, value: { ...(mac === undefined ? {} : { mac }), endedAt } })
  }
  return change(pool, changes, true)
}

/** Of all that is kept of its addresses. */
export function keysOf(pool: Pool): readonly string[] {
  const shelves = { lease: pool.leases, chosen: pool.chosen, reservation: pool.reservations, past: pool.past }
  return sorts.flatMap(sort => [...shelves[sort].keys()].map(address => keyOf(sort, pool.id, address)))
}

function writeOf(pool: Pool, { sort, address, value }: Change, before: Change | undefined): Write {
  const key = keyOf(sort, pool.id, address)
  if (value === undefined) return { key }
  return sort === 'lease' && before?.value === undefined ? { key, value, expect: 0 } : { key, value }
}

/** Endpoints do not outlive a boot; the engine repeats or releases their addresses at its next start. */
function isShortLived(one: Change | undefined): boolean {
  return one?.sort === 'past' || (one?.sort === 'lease' && one.value?.purpose === 'endpoint')
}
