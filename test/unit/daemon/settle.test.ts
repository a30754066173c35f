/** When the kernel is compared with the wishes: bursts are one comparison, and a fight is no busy loop. */
import { mock } from 'node:test'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Settler, type SettlerOptions } from '../../../daemon/settle.ts'
import { keyOf, type IfName, type Resource } from '../../../native/kernel/resource.ts'
import { createNetwork, networkId, rejects, testHouse, type TestHouse } from '../../support/house.ts'
import { fakeTime, type FakeTime } from '../../support/time.ts'

interface Scene extends TestHouse {
  readonly settler: Settler
  /** Changes of each comparison so far. */
  readonly runs: number[]
  /** How often rules were loaded again. */
  readonly restored: () => number
  /** Replaced by tests that want a comparison to fail, or to wait. */
  prepare: SettlerOptions['prepare']
  readonly time: FakeTime
  /** Time passes, and what it brings about is done. */
  readonly pass: (ms: number) => Promise<void>
}

async function scene(act: (scene: Scene) => Promise<void>): Promise<void> {
  const runs: number[] = []
  let restored = 0
  const made = await testHouse()
  using time = fakeTime()
  const here: Scene = {
    ...made,
    time,
    runs,
    restored: () => restored,
    prepare: async () => [],
    settler: new Settler(made.house, {
      settleSeconds: 60,
      prepare: () => here.prepare(),
      observe: ({ changes }) => runs.push(changes),
      restored: () => (restored += 1),
    }),
    async pass(ms) {
      time.pass(ms)
      for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate)
    },
  }
  try {
    await act(here)
  } finally {
    await here.settler.stop()
  }
}

/** Twice at once: the third time it rests for 500 ms. */
async function fight(settler: Settler, pass: Scene['pass'], kernel: Scene['kernel']): Promise<void> {
  for (let time = 0; time < 2; time += 1) {
    kernel.put(leftOver)
    settler.soon('again')
    await pass(250)
  }
}

const leftOver: Resource = { type: 'bridge', name: 'wbleft' as IfName, adopted: false, alias: 'weft network x' }

test('settle: a burst of events is one comparison, 250 ms after the first', () =>
  scene(async ({ settler, pass, runs }) => {
    settler.soon('one')
    await pass(100)
    settler.soon('two')
    await pass(149)
    assert.equal(runs, [])
    settler.soon('three')
    await pass(1)
    assert.equal(runs, [0])
    await pass(1000)
    assert.equal(runs, [0])
  }))

test("settle: a change of weft's own rules is looked at without a pause", () =>
  scene(async ({ settler, pass, runs }) => {
    settler.soon('one')
    settler.soon('two', { now: true })
    await pass(0)
    assert.equal(runs, [0])
  }))

test('settle: the timer runs from the last comparison', () =>
  scene(async ({ settler, pass, runs }) => {
    await settler.run()
    await pass(59_999)
    assert.is(runs.length, 1)
    await pass(1)
    assert.is(runs.length, 2)
  }))

test('settle: somebody who undoes what was made is met with growing pauses, up to 10 s', () =>
  scene(async ({ settler, pass, runs, kernel }) => {
    const pauses: number[] = []
    for (let fight = 0; fight < 9; fight += 1) {
      kernel.put(leftOver)
      settler.soon('again')
      let waited = 0
      for (; String(kernel) !== '' && waited < 20_000; waited += 50) await pass(50)
      pauses.push(waited)
    }
    // One look at each event, and one when it has rested: no more.
    assert.ok(runs.length <= 18, `${runs.length} comparisons`)
    assert.equal(pauses, [250, 250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000])
  }))

test('settle: a fight over one thing does not keep the others waiting', () =>
  scene(async ({ settler, pass, runs, kernel }) => {
    await fight(settler, pass, kernel)
    kernel.put(leftOver)
    kernel.put({ ...leftOver, name: 'wbother' as IfName })
    settler.soon('again')
    await pass(250)
    assert.not.match(String(kernel), /wbother/)
    assert.match(String(kernel), /wbleft/)
    await pass(250)
    assert.is(String(kernel), '')
    assert.equal(runs, [1, 1, 1, 1])
  }))

test("settle: weft's own rules never wait, whoever fights over them", () =>
  scene(async ({ settler, pass, runs, kernel, handlers, house }) => {
    await handlers.createNetwork(createNetwork())
    const rules = house.reconciler.wishOf('host').find(({ type }) => type === 'ruleset')
    assert.ok(rules)
    for (let time = 1; time <= 5; time += 1) {
      kernel.drop(keyOf(rules))
      settler.soon('rules', { now: true })
      await pass(0)
      assert.equal([runs.length, (runs.at(-1) ?? 0) > 0], [time, true])
    }
  }))

test("settle: weft's own rules and their elements are back before anything else is read", () =>
  scene(async here => {
    const { settler, pass, runs, restored, kernel, handlers, house } = here
    await handlers.createNetwork(createNetwork())
    settler.serve()
    const wishes = ['host', `network/${networkId}`].flatMap(owner => house.reconciler.wishOf(owner))
    const gone = wishes.filter(({ type }) => type === 'ruleset' || type === 'element').map(keyOf)
    const reading = Promise.withResolvers<[]>()
    here.prepare = () => reading.promise
    const before = String(kernel).split('\n').sort()
    for (const key of gone) kernel.drop(key)

    for (let time = 0; time < 3; time += 1) settler.soon('rules', { now: true })
    await pass(0)

    assert.equal([String(kernel).split('\n').sort(), restored(), runs], [before, 1, []])
    reading.resolve([])
    await pass(0)
    assert.equal([restored(), runs], [1, [0]])
  }))

test('settle: who asks for a comparison gets it, in a fight, too', () =>
  scene(async ({ settler, pass, kernel }) => {
    await fight(settler, pass, kernel)
    kernel.put(leftOver)
    assert.is((await settler.run()).done.length, 1)
    assert.is(String(kernel), '')
  }))

test('settle: what is undone once in a while is mended without a rest', () =>
  scene(async ({ settler, pass, kernel }) => {
    for (let time = 0; time < 5; time += 1) {
      kernel.put(leftOver)
      settler.soon('again')
      await pass(250)
      assert.is(String(kernel), '')
      await pass(1000)
    }
  }))

test('settle: who asks while one runs gets its result, and an event meanwhile is looked at afterwards', () =>
  scene(async here => {
    const { settler, pass, runs } = here
    const { promise, resolve } = Promise.withResolvers<readonly []>()
    here.prepare = () => promise
    const [one, two] = [settler.run(), settler.run()]
    settler.soon('event')
    await pass(250)
    assert.equal(runs, [])
    resolve([])
    assert.is(await one, await two)
    await pass(0)
    assert.is(runs.length, 2)
  }))

test('settle: one that fails is told of, and the next one comes', () =>
  scene(async here => {
    const { settler, pass, runs } = here
    here.prepare = () => Promise.reject(new Error('no facts'))
    await rejects(settler.run(), /no facts/)
    settler.soon('again')
    await pass(250)
    here.prepare = async () => []
    await pass(60_000)
    assert.equal(runs, [0])
  }))

test('settle: what cannot be mended is reported until it can', () =>
  scene(async ({ settler, handlers, kernel, house }) => {
    await handlers.createNetwork(createNetwork())
    const [bridge] = house.reconciler.wishOf(`network/${networkId}`).filter(({ type }) => type === 'bridge')
    assert.ok(bridge?.type === 'bridge')
    kernel.put({ ...bridge, alias: 'weft damaged' })
    kernel.failOnceAt(0)
    const { done, failed } = await settler.run()
    assert.equal([done.length, failed.length], [0, 1])
    assert.match(settler.report.degraded.join(), new RegExp(`^network/${networkId}: update bridge wb.*told to fail`))
    assert.is((await settler.run()).done.length, 1)
    assert.equal(settler.report.degraded, [])
  }))

test('settle: what nobody wishes is left alone until a person says that the store is right', () =>
  scene(async ({ settler, kernel, house, runs }) => {
    kernel.put(leftOver)
    house.sweeps = false
    await settler.run()
    assert.match(String(kernel), /wbleft/)
    house.sweeps = true
    await settler.run()
    assert.is(String(kernel), '')
    assert.equal(runs, [0, 1])
  }))

test('settle: a network is mended in its turn, and as it is wished then', () =>
  scene(async ({ settler, handlers, kernel, house }) => {
    await handlers.createNetwork(createNetwork())
    kernel.drop(
      `element bridges ${house.reconciler.wishOf(`network/${networkId}`).flatMap(r => (r.type === 'bridge' ? r.name : []))[0] ?? ''}`,
    )
    const { promise, resolve } = Promise.withResolvers<undefined>()
    settler.serve()
    const busy = house.lanes.run(networkId, () => promise)
    const removal = handlers.deleteNetwork({ NetworkID: networkId })
    const settled = settler.run()
    await new Promise(setImmediate)
    resolve(undefined)
    await Promise.all([busy, removal])
    assert.equal((await settled).done, [])
    assert.is(String(kernel), '')
  }))

for (const [direction, hours] of [
  ['back', -1],
  ['forward', 1],
] as const) {
  test(`settle: a clock that is set ${direction} keeps nothing waiting`, () =>
    scene(async ({ settler, pass, kernel, time }) => {
      await settler.run()
      await fight(settler, pass, kernel)
      time.setClock(hours * 3_600_000)
      kernel.put(leftOver)
      settler.soon('again')
      await pass(250)
      assert.match(String(kernel), /wbleft/)
      await pass(250)
      assert.is(String(kernel), '')
    }))
}

test('settle: what another firewall refuses is no loss of the rules', () =>
  scene(async here => {
    const { settler, handlers, kernel, house } = here
    await handlers.createNetwork(createNetwork())
    const rules = house.reconciler.wishOf('host')
    const accept: Resource = { type: 'accept', family: 'ip', chain: 'FORWARD', backend: 'legacy', mark: 1 }
    house.reconciler.wish('host', [...rules, accept])
    for (const rule of rules) if (rule.type === 'ruleset') kernel.drop(keyOf(rule))
    const elements = house.reconciler.wishOf(`network/${networkId}`).filter(({ type }) => type === 'element')
    for (const element of elements) kernel.drop(keyOf(element))
    const before = kernel.steps
    const apply = kernel.apply.bind(kernel)
    kernel.apply = changes =>
      changes.some(change => change.op !== 'remove' && change.want.type === 'accept')
        ? Promise.reject(new Error('another app holds the xtables lock'))
        : apply(changes)
    const { done, failed } = await settler.run()
    assert.equal(
      failed.map(({ owner, rules: lost }) => [owner, lost]),
      [['host', false]],
    )
    assert.is(settler.report.rulesStand, true)
    assert.is(done.length, kernel.steps - before)
    assert.match(String(kernel), /ruleset weft/)
  }))

test('settle: rules that cannot be loaded are a loss, and nothing is opened that they guard', () =>
  scene(async ({ settler, handlers, kernel, house }) => {
    await handlers.createNetwork(createNetwork())
    for (const rule of house.reconciler.wishOf('host')) if (rule.type === 'ruleset') kernel.drop(keyOf(rule))
    const forwarding: Resource = { type: 'sysctl', key: 'net/ipv4/conf/wguard/forwarding', value: '1' }
    house.reconciler.wish('host', [...house.reconciler.wishOf('host'), forwarding])
    kernel.failOnceAt(0)
    await settler.run()
    assert.is(settler.report.rulesStand, false)
    assert.not.match(String(kernel), /forwarding/)
    await settler.run()
    assert.is(settler.report.rulesStand, true)
    assert.match(String(kernel), /forwarding/)
  }))

test('settle: as long as the kernel cannot be read, nobody knows that the rules stand', () =>
  scene(async ({ settler, kernel, pass }) => {
    await settler.run()
    const read = mock.method(kernel, 'observe', () => Promise.reject(new Error('no memory')))
    await rejects(settler.run(), /no memory/)
    assert.is(settler.report.rulesStand, false)
    read.mock.restore()
    await pass(5_000)
    assert.is(settler.report.rulesStand, true)
  }))

test('settle: once stopped, nothing comes any more', () =>
  scene(async ({ settler, pass, runs }) => {
    settler.soon('one')
    await settler.stop()
    settler.soon('two')
    await pass(100_000)
    assert.equal(runs, [])
  }))

test.run()
