/** How pools begin, and are repeated by an engine that begins: see docs/adr/0003-ipam-replay.md. */
import type { Book } from './book.ts'
import type { Step } from './journal.ts'
import type { Pool } from './pool.ts'
import type { PoolEntry, PoolRecord } from './records.ts'
import type { PoolWish } from './wish.ts'
import type { Cidr, Family } from '../native/value/ip.ts'
import { randomBytes } from 'node:crypto'
import { familyOf } from '../native/value/ip.ts'
import { keysOf } from './change.ts'
import { blocksFor, cutBlock, ulaPool } from './defaults.ts'
import { poolIdOf, poolKey, ulaKey } from './records.ts'
import { poolOverlap, poolsExhausted } from './refusals.ts'
import { isSamePool, readPoolWish } from './wish.ts'

/** Throws UserError in the engine's words. */
export function grantPool(book: Book, wish: PoolWish): Step<PoolEntry> {
  const read = readPoolWish(wish)
  if (read.kind === 'any') return cutPool(book, wish, read.family, read.length)
  const { subnet, range } = read
  const held = book.pools.get(poolIdOf(subnet, range))
  if (held && isSamePool(held.record, wish) && mayRepeat(book, held)) return repeatPool(book, held)
  return addPool(book, wish, { subnet, ...(range === undefined ? {} : { range }), automatic: false })
}

/** With all that is kept of its addresses. */
export function endPool(book: Book, pool: Pool): Step<boolean> {
  const { unanswered } = book
  book.pools.delete(pool.id)
  if (unanswered === pool.id) book.unanswered = undefined
  const undo = (): void => {
    book.pools.set(pool.id, pool)
    book.unanswered = unanswered
  }
  return { answer: true, writes: [...keysOf(pool).map(key => ({ key })), { key: poolKey(pool.id) }], undo }
}

function mayRepeat(book: Book, pool: Pool): boolean {
  return pool.record.session < book.sessionOf(pool.record.client) || book.isUnanswered(pool)
}

function repeatPool(book: Book, pool: Pool): Step<PoolEntry> {
  const [before, { unanswered }] = [pool.record, book]
  if (unanswered === pool.id) book.unanswered = undefined
  pool.record = { ...before, session: book.sessionOf(before.client) }
  book.repetitions.addPool(pool)
  const undo = (): void => {
    pool.record = before
    book.unanswered = unanswered
  }
  return { answer: pool.entry, writes: [{ key: poolKey(pool.id), value: pool.record }], undo }
}

function cutPool(book: Book, wish: PoolWish, family: Family, length: number | undefined): Step<PoolEntry> {
  const { defaultPools, avoid } = book.options
  let blocks = blocksFor(defaultPools, family, length)
  const own = family === 6 && !defaultPools.some(pool => familyOf(pool.base) === 6)
  if (own) {
    // Kept when the commit fails: it is written again with every pool that is cut from it.
    book.ula ??= ulaPool(randomBytes(5))
    blocks = blocksFor([book.ula], family, length)
  }
  const taken = [...book.pools.values()].map(pool => pool.record.subnet)
  const avoided: readonly Cidr[] = avoid?.() ?? []
  const subnet = cutBlock(blocks, [...taken, ...avoided])
  if (subnet === undefined) throw poolsExhausted(book, blocks, family, avoided)
  const step = addPool(book, wish, { subnet, automatic: true })
  return own ? { ...step, writes: [...step.writes, { key: ulaKey, value: book.ula }] } : step
}

function addPool(
  book: Book,
  wish: PoolWish,
  part: Pick<PoolRecord, 'subnet' | 'range' | 'automatic'>,
): Step<PoolEntry> {
  const holder = [...book.pools.values()].find(pool => pool.overlaps(part.subnet))
  if (holder) throw poolOverlap(book, part.subnet, holder)
  const { client, options = {} } = wish
  const session = book.sessionOf(client)
  const record = { ...part, family: familyOf(part.subnet), options, client, session, at: book.time() }
  const pool = book.newPool(poolIdOf(part.subnet, part.range), record)
  book.pools.set(pool.id, pool)
  const undo = (): unknown => book.pools.delete(pool.id)
  return { answer: pool.entry, writes: [{ key: poolKey(pool.id), value: record, expect: 0 }], undo }
}
