import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Bitmap, maxWindow } from '../../../ipam/bitmap.ts'
import { randomFrom, seed } from '../value/random.ts'

test('bitmap: does what a set of numbers does, 100,000 random steps', () => {
  // Short last page, several pages, less than a word.
  for (const size of [100_001, 32_768, 19]) {
    const random = randomFrom(seed)
    const bitmap = new Bitmap(size)
    const model = new Set<number>()
    let cursor = 0
    const freeFrom = (from: number, to: number): number | undefined => {
      for (let offset = from; offset < to; offset += 1) if (!model.has(offset)) return offset
      return undefined
    }
    for (let step = 0; step < 100_000; step += 1) {
      const where = `seed ${seed}, size ${size}, step ${step}`
      // Crowded at the start of the window, so that taken and free ones meet.
      const offset = random() % (random() % 2 === 0 ? size : Math.min(size, 300))
      switch (random() % 5) {
        case 0:
          assert.is(bitmap.set(offset), !model.has(offset), where)
          model.add(offset)
          break
        case 1:
          assert.is(bitmap.clear(offset), model.delete(offset), where)
          break
        case 2: {
          const next = freeFrom(cursor, size) ?? freeFrom(0, cursor)
          assert.is(bitmap.nextFree(), next, where)
          if (next === undefined) break
          cursor = (next + 1) % size
          bitmap.set(next)
          model.add(next)
          break
        }
        case 3: {
          const to = Math.min(size, offset + (random() % 500))
          assert.is(bitmap.firstFree(offset, to), freeFrom(offset, to), where)
          break
        }
        default:
          assert.is(bitmap.has(offset), model.has(offset), where)
      }
      assert.is(bitmap.taken, model.size, where)
    }
  }
})

test('bitmap: a window fills to the last offset, then has none', () => {
  const bitmap = new Bitmap(32_768 + 5)
  for (let expected = 0; expected < bitmap.size; expected += 1) {
    assert.is(bitmap.nextFree(), expected)
    bitmap.set(expected)
  }
  assert.is(bitmap.nextFree(), undefined)
  assert.is(bitmap.firstFree(), undefined)
  bitmap.clear(32_770)
  assert.is(bitmap.nextFree(), 32_770)
  assert.is(bitmap.nextFree(), 32_770, 'found is not yet taken')
})

test('bitmap: a released offset rests until the cursor has gone round', () => {
  const bitmap = new Bitmap(4)
  const take = (): number | undefined => {
    const offset = bitmap.nextFree()
    if (offset !== undefined) bitmap.set(offset)
    return offset
  }
  assert.equal([take(), take()], [0, 1])
  bitmap.clear(0)
  assert.equal([take(), take(), take(), take()], [2, 3, 0, undefined])
  bitmap.clear(3)
  bitmap.resumeAfter(3)
  assert.is(take(), 3)
})

test('bitmap: the largest window costs what is taken in it', () => {
  const bitmap = new Bitmap(maxWindow)
  const before = process.memoryUsage().arrayBuffers
  for (const offset of [0, 2 ** 31 + 3, 2 ** 40, maxWindow - 1]) {
    assert.is(bitmap.has(offset), false)
    assert.is(bitmap.set(offset), true)
    assert.is(bitmap.has(offset), true)
    assert.is(bitmap.firstFree(offset, offset + 1), undefined)
  }
  assert.is(bitmap.firstFree(2 ** 31 + 3), 2 ** 31 + 4)
  bitmap.resumeAfter(maxWindow - 2)
  assert.is(bitmap.nextFree(), 1, 'goes round at the end')
  // A million addresses that come and go.
  for (let count = 0; count < 1_000_000; count += 1) {
    const offset = bitmap.nextFree() ?? -1
    bitmap.set(offset)
    bitmap.clear(offset)
  }
  assert.is(bitmap.taken, 4)
  const bytes = process.memoryUsage().arrayBuffers - before
  assert.ok(bytes < 1_000_000, `${bytes} bytes`)
})

test('bitmap: offsets and sizes out of bounds are bugs', () => {
  for (const size of [0, -1, 1.5, Number.NaN, maxWindow + 2]) assert.throws(() => new Bitmap(size), /no window of/)
  const bitmap = new Bitmap(10)
  for (const offset of [-1, 10, Number.NaN]) {
    assert.throws(() => bitmap.set(offset), /is not below 10/)
    assert.throws(() => bitmap.clear(offset), /is not below 10/)
    assert.throws(() => bitmap.has(offset), /is not below 10/)
    assert.throws(() => {
      bitmap.resumeAfter(offset)
    }, /is not below 10/)
  }
})

test('bitmap: a full /8 needs at most 4 MB, and its only hole is found', () => {
  const full = 2 ** 24
  const before = process.memoryUsage().arrayBuffers
  const bitmap = new Bitmap(full)
  const started = performance.now()
  for (let count = 0; count < 1_000_000; count += 1) bitmap.set(bitmap.nextFree() ?? -1)
  console.log(`1,000,000 allocations: ${(performance.now() - started).toFixed(0)} ms`)
  for (let offset = 1_000_000; offset < full; offset += 1) bitmap.set(offset)
  assert.is(bitmap.taken, full)
  assert.is(bitmap.nextFree(), undefined)
  bitmap.clear(12_345_678)
  bitmap.resumeAfter(12_345_678)
  const asked = performance.now()
  assert.is(bitmap.nextFree(), 12_345_678)
  console.log(`only hole of a /8: ${((performance.now() - asked) * 1000).toFixed(0)} us`)
  const bytes = process.memoryUsage().arrayBuffers - before
  assert.ok(bytes > 2_000_000 && bytes <= 4 * 1024 * 1024, `${bytes} bytes`)
})

test.run()
