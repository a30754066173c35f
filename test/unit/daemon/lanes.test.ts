/** Turns: what waits for what, and that nothing waits for ever. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Lanes } from '../../../daemon/lanes.ts'

/** Work that is done when the test says so, and writes down when it begins. */
function work(name: string, log: string[]): { readonly run: () => Promise<string>; readonly finish: () => void } {
  const { promise, resolve } = Promise.withResolvers<string>()
  return {
    run() {
      log.push(name)
      return promise
    },
    finish() {
      resolve(name)
    },
  }
}

/** All that can happen without anybody finishing has happened. */
const quiet = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

test('lanes: one after the other in a lane, lanes beside each other', async () => {
  const [lanes, log]: [Lanes, string[]] = [new Lanes(), []]
  const [a1, a2, b1] = [work('a1', log), work('a2', log), work('b1', log)]
  const all = [lanes.run('a', a1.run), lanes.run('a', a2.run), lanes.run('b', b1.run)]
  await quiet()
  assert.equal(log, ['a1', 'b1'])
  a1.finish()
  await quiet()
  assert.equal(log, ['a1', 'b1', 'a2'])
  a2.finish()
  b1.finish()
  assert.equal(await Promise.all(all), ['a1', 'a2', 'b1'])
})

test('lanes: parts of a lane run beside each other, and never beside a turn of the whole lane', async () => {
  const [lanes, log]: [Lanes, string[]] = [new Lanes(), []]
  const [x1, x2, y, whole, late, other] = ['x1', 'x2', 'y', 'whole', 'late', 'other'].map(name => work(name, log))
  assert.ok(x1 && x2 && y && whole && late && other)
  const all = [
    lanes.part('a', 'x', x1.run),
    lanes.part('a', 'x', x2.run),
    lanes.part('a', 'y', y.run),
    lanes.run('a', whole.run),
    lanes.part('a', 'z', late.run),
    lanes.part('ab', 'x', other.run),
  ]
  await quiet()
  assert.equal(log, ['x1', 'y', 'other'])
  x1.finish()
  y.finish()
  await quiet()
  assert.equal(log.slice(3), ['x2'])
  x2.finish()
  await quiet()
  assert.equal(log.slice(4), ['whole'])
  whole.finish()
  await quiet()
  assert.equal(log.slice(5), ['late'])
  const alone = work('alone', log)
  const last = lanes.alone(alone.run)
  await quiet()
  assert.equal(log.slice(6), [])
  for (const each of [late, other]) each.finish()
  await Promise.all(all)
  await quiet()
  assert.equal(log.slice(6), ['alone'])
  alone.finish()
  await last
})

test('lanes: a turn whose caller has gone does not begin, and the lane goes on', async () => {
  const [lanes, log]: [Lanes, string[]] = [new Lanes(), []]
  const [first, last] = [work('first', log), work('last', log)]
  const [caller, began] = [new AbortController(), new AbortController()]
  const late = work('late', log).run
  const all = [lanes.run('a', first.run, began.signal), lanes.run('a', late, caller.signal), lanes.run('a', last.run)]
  const inner = lanes.run('b', () => lanes.within('host', () => lanes.within('a', late, caller.signal)))
  const outcomes = Promise.allSettled([...all, inner])
  await quiet()
  // What has begun goes on.
  began.abort()
  caller.abort(new Error('gone'))
  first.finish()
  last.finish()
  assert.equal(
    (await outcomes).map(outcome => (outcome.status === 'fulfilled' ? outcome.value : String(outcome.reason))),
    ['first', 'Error: gone', 'last', 'Error: gone'],
  )
  assert.equal(log, ['first', 'last'])
})

test("lanes: a turn that fails is its caller's, and the lane goes on", async () => {
  const lanes = new Lanes()
  const failing = lanes.run('a', () => Promise.reject(new Error('no')))
  const next = lanes.run('a', () => Promise.resolve('next'))
  const alone = lanes.alone(() => Promise.reject(new Error('neither')))
  const last = lanes.run('a', () => Promise.resolve('last'))
  const outcomes = await Promise.allSettled([failing, next, alone, last])
  assert.equal(
    outcomes.map(({ status }) => status),
    ['rejected', 'fulfilled', 'rejected', 'fulfilled'],
  )
})

test('lanes: alone waits for all before it, and all after it wait', async () => {
  const [lanes, log]: [Lanes, string[]] = [new Lanes(), []]
  const [a, b, alone, later] = [work('a', log), work('b', log), work('alone', log), work('later', log)]
  const all = [lanes.run('a', a.run), lanes.run('b', b.run), lanes.alone(alone.run), lanes.run('c', later.run)]
  a.finish()
  await quiet()
  assert.equal(log, ['a', 'b'])
  b.finish()
  await quiet()
  assert.equal(log, ['a', 'b', 'alone'])
  alone.finish()
  await quiet()
  assert.equal(log, ['a', 'b', 'alone', 'later'])
  later.finish()
  await Promise.all(all)
})

test('lanes: a turn inside of a turn does not wait for what waits for the outer one', async () => {
  const [lanes, log]: [Lanes, string[]] = [new Lanes(), []]
  const outer = lanes.run('a', async () => {
    log.push('outer')
    await quiet()
    await lanes.within('host', async () => {
      log.push('inner')
    })
  })
  const alone = lanes.alone(async () => {
    log.push('alone')
  })
  await Promise.all([outer, alone])
  assert.equal(log, ['outer', 'inner', 'alone'])
})

test('lanes: inner turns of several outer ones come one after the other', async () => {
  const [lanes, log]: [Lanes, string[]] = [new Lanes(), []]
  const [one, two] = [work('one', log), work('two', log)]
  const all = [lanes.run('a', () => lanes.within('host', one.run)), lanes.run('b', () => lanes.within('host', two.run))]
  await quiet()
  assert.equal(log, ['one'])
  one.finish()
  two.finish()
  await Promise.all(all)
  assert.equal(log, ['one', 'two'])
})

test('lanes: alone waits for inner turns that began before it', async () => {
  const [lanes, log]: [Lanes, string[]] = [new Lanes(), []]
  const inner = work('inner', log)
  const outer = lanes.run('a', () => lanes.within('host', inner.run))
  await quiet()
  const alone = lanes.alone(async () => {
    log.push('alone')
  })
  await quiet()
  assert.equal(log, ['inner'])
  inner.finish()
  await Promise.all([outer, alone])
  assert.equal(log, ['inner', 'alone'])
})

test('lanes: several that want to be alone take turns', async () => {
  const [lanes, log]: [Lanes, string[]] = [new Lanes(), []]
  const [one, two] = [work('one', log), work('two', log)]
  const all = [lanes.alone(one.run), lanes.alone(two.run)]
  await quiet()
  assert.equal(log, ['one'])
  one.finish()
  await quiet()
  assert.equal(log, ['one', 'two'])
  two.finish()
  await Promise.all(all)
})

test.run()
