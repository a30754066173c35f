/** Which address a request gets, and how its lease begins. Decided on memory alone. */
import type { Book } from './book.ts'
import type { Step } from './journal.ts'
import type { Pool } from './pool.ts'
import type { Lease } from './records.ts'
import type { AddressWish } from './wish.ts'
import type { Cidr, Ip } from '../native/value/ip.ts'
import type { PoolId } from '../plugin-api/ids.ts'
import { beginLease, endLease } from './change.ts'
import { addressesExhausted, cannotGrant, unknownPool } from './refusals.ts'
import { isSameGrant, readAddress } from './wish.ts'

/** `patient`: an endpoint whose address was released already may still be waited for. */
interface Patience {
  readonly patient: boolean
}

/** Answers undefined: not yet. Throws UserError in the engine's words. */
export function grantAddress(book: Book, id: PoolId, wish: AddressWish, { patient }: Patience): Step<Cidr | undefined> {
  const pool = book.pools.get(id)
  if (!pool) throw unknownPool(id)
  const address = wish.address === undefined ? choose(book, pool, wish, { patient }) : readAddress(wish.address)
  if (address === undefined) throw addressesExhausted(book, pool)
  // Whoever asks for an address in it knows of it.
  if (book.unanswered === id) book.unanswered = undefined
  const { mac } = wish
  const { client } = pool.record
  const isMacless = book.isMacless(client)
  if (wish.address === undefined) book.repetitions.end(client)
  const taken = isMacless && wish.purpose === 'reserved' && book.repetitions.take(pool, address)
  const held = pool.leases.get(address)
  const isReleased = book.released.has(held)
  const repeats = isMacless ? taken : true
  if (
    held &&
    isSameGrant(held, { purpose: wish.purpose, mac, repeats }) &&
    !(isReleased && wish.purpose === 'endpoint')
  ) {
    return repeatLease(book, held, pool.withLength(address))
  }
  const obstacle = pool.obstacle(address, mac)
  if (obstacle !== undefined && !(obstacle === 'leased' && isReleased)) throw cannotGrant(book, pool, address, obstacle)
  if (isReleased && book.inUse(pool, address)) {
    if (patient) return { answer: undefined, writes: [] }
    throw wish.address === undefined ? addressesExhausted(book, pool) : cannotGrant(book, pool, address, 'leased')
  }
  // Auxiliary addresses come before the network is made, and no power cut takes them.
  const purpose = isMacless && wish.purpose === 'reserved' && book.isMade(pool) ? 'endpoint' : wish.purpose
  const lease = { purpose, ...(mac === undefined ? {} : { mac }), at: book.time() }
  // An engine repeats addresses without a MAC, and those of containers that were given any are among them.
  return beginLease(pool, address, lease, { chosen: purpose === 'endpoint' && wish.address !== undefined && !taken })
}

/** Whoever repeats the grant of an address holds it again. */
function repeatLease({ released }: Book, lease: Lease, answer: Cidr): Step<Cidr> {
  const held = released.remove(lease)
  if (!held) return { answer, writes: [] }
  const undo = (): void => {
    released.add(held)
  }
  return { answer, writes: [], undo }
}

/**
 * The one that this MAC has still, if it was released: an engine that was killed asks for it again while the old link
 * stands. In a pool that is full, any that was released already: rather one whose endpoint is gone.
 */
function choose(book: Book, pool: Pool, { purpose, mac }: AddressWish, { patient }: Patience): Ip | undefined {
  const released = book.released.in(pool)
  const own = released.find(({ lease }) => mac !== undefined && lease.mac === mac)
  if (own && patient && !pool.chosen.has(own.address)) return own.address
  const free = pool.choose(purpose, book.now, mac)
  if (free !== undefined) return free
  const others = released.filter(
    ({ address }) => pool.isInRange(address) && !pool.chosen.has(address) && !pool.reservations.has(address),
  )
  return (others.find(({ address }) => !book.inUse(pool, address)) ?? others[0])?.address
}

/** An address of the host's own: the same again for the same owner. An auxiliary address may be used for it. */
export function holdAddress(book: Book, id: PoolId, owner: string, wished: Ip | undefined): Step<Ip> {
  const pool = book.pools.get(id)
  if (!pool) throw unknownPool(id)
  const isOwn = ([, lease]: readonly [Ip, Lease]): boolean => lease.purpose === 'host' && lease.owner === owner
  const before = [...pool.leases].find(isOwn)?.[0]
  const address = wished ?? before ?? pool.choose('endpoint', book.now)
  if (address === undefined) throw addressesExhausted(book, pool)
  if (address === before || pool.leases.get(address)?.purpose === 'reserved') return { answer: address, writes: [] }
  const obstacle = pool.obstacle(address)
  if (obstacle !== undefined) throw cannotGrant(book, pool, address, obstacle)
  const step = beginLease(pool, address, { purpose: 'host', owner, at: book.time() }, { chosen: false })
  return { ...step, answer: address }
}

/** Ends what `holdAddress` gave. */
export function letGo(book: Book, owner: string): readonly Step<boolean>[] {
  return [...book.pools.values()].flatMap(pool =>
    [...pool.leases]
      .filter(([, lease]) => lease.owner === owner)
      .map(([address, lease]) => endLease(pool, address, lease, book.now)),
  )
}
