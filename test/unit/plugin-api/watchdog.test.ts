/** A kernel that hangs: every call is answered all the same, and what nobody waits for any more is not promised. */
import { once } from 'node:events'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ipamHandlers } from '../../../daemon/address.ts'
import { parseDefaultPools, standardPools } from '../../../ipam/defaults.ts'
import { Ipam } from '../../../ipam/ipam.ts'
import { FakeKernel } from '../../../native/kernel/fake.ts'
import type { Change } from '../../../native/kernel/kernel.ts'
import { inTime } from '../../../plugin-api/watchdog.ts'
import { createEndpoint, createNetwork, endpointId, networkId, testHouse, type TestHouse } from '../../support/house.ts'
import { eventually } from '../../support/lab/eventually.ts'
import { ids, leave, opened, stage, type Stage } from '../../support/stage.ts'

const timeoutMs = 30
const both = { NetworkID: networkId, EndpointID: endpointId }
const portmap = [{ Proto: 6, Port: 80, HostPort: 8080, HostPortEnd: 8080 }]
const published = { ...both, Options: { 'com.docker.network.portmap': portmap } }
const neighbour = createEndpoint({ EndpointID: 'b'.repeat(64) as never, Interface: { Address: '10.7.0.3/24' } })

/** In the order of a life. */
const growing: readonly (readonly [method: string, body: object])[] = [
  ['CreateNetwork', createNetwork()],
  ['CreateEndpoint', createEndpoint()],
  ['Join', { ...both, SandboxKey: '/var/run/docker/netns/5cc8fe204795', Options: {} }],
  ['ProgramExternalConnectivity', published],
]
const vanishing: typeof growing = [
  ['RevokeExternalConnectivity', both],
  ['Leave', both],
  ['DeleteEndpoint', both],
  ['DeleteNetwork', { NetworkID: networkId }],
]
const life = [...growing, ...vanishing]

/** Does nothing until it is let go. */
class HangingKernel extends FakeKernel {
  #gate: PromiseWithResolvers<void> | undefined
  /** Calls of `apply` that wait. */
  waiting = 0

  hang(): void {
    this.#gate = Promise.withResolvers()
  }

  letGo(): void {
    this.#gate?.resolve()
    this.#gate = undefined
  }

  override async apply(changes: readonly Change[]): Promise<void> {
    this.waiting += 1
    await this.#gate?.promise
    this.waiting -= 1
    await super.apply(changes)
  }
}

interface Scene extends AsyncDisposable {
  readonly stage: Stage
  readonly house: TestHouse
  readonly kernel: HangingKernel
  /** The answer's error; undefined: it succeeded. */
  ask(call: readonly [method: string, body: object]): Promise<string | undefined>
  state(): Promise<string>
}

/** A house in which the first calls of a life were made. */
async function scene(calls: typeof growing): Promise<Scene> {
  const kernel = new HangingKernel()
  const [house, s] = [await testHouse({ kernel }), await stage({ timeoutMs })]
  Object.assign(s.handlers.network, house.handlers)
  const ask: Scene['ask'] = async ([method, body]) => {
    const { json } = await s.ask.post(`NetworkDriver.${method}`, body)
    return (json as { readonly Err?: string }).Err
  }
  for (const call of calls) assert.is(await ask(call), undefined, call[0])
  return {
    ...{ stage: s, house, kernel, ask },
    async state() {
      const records = (await house.store.list('')).map(({ key, value }) => JSON.stringify({ key, value }))
      return [...String(kernel).split('\n').sort(), ...records].join('\n')
    },
    [Symbol.asyncDispose]: () => s[Symbol.asyncDispose](),
  }
}

const late = /was not done within 0\.03 s: the kernel, or another request, holds it up: try again; /

test('watchdog: work that is done in time gives its result, and leaves no timer', async () => {
  let told = 0
  const watch = { call: 'X', timeoutMs: 60_000, onLate: () => (told += 1) }
  assert.is(await inTime(watch, async signal => signal.aborted), false)
  assert.is(told, 0)
  const timers = process.getActiveResourcesInfo().filter(name => name === 'Timeout')
  assert.equal(timers, [])
})

test('watchdog: a call that is late is a failed one, and its end is told in the log', async () => {
  await using s = await stage({ timeoutMs })
  const ends = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()] as const
  const bug = new TypeError('oh')
  s.handlers.network.leave = () => ends[0].promise
  const answer = await s.ask.post(leave, ids)
  assert.is(answer.status, 200)
  assert.match(answer.text, late)
  assert.match(answer.text, /^\{"Err":"NetworkDriver\.Leave was .*","Error":"NetworkDriver\.Leave was /)
  assert.equal([s.facts[0]?.ok, s.facts[0]?.code], [false, 'TIMED_OUT'])
  assert.equal([s.warned, s.logged], [[], []])
  ends[0].resolve(undefined)
  await eventually('it is told', () => s.warned.length === 1)
  assert.is(s.warned[0]?.message, 'a call was done after it had timed out')

  s.handlers.network.leave = () => ends[1].promise
  assert.match((await s.ask.post(leave, ids)).text, late)
  ends[1].reject(bug)
  await eventually('the bug is told', () => s.logged.length === 1)
  assert.is((s.logged[0]?.fields as { readonly err?: unknown }).err, bug)
})

test('watchdog: a body that never ends', async () => {
  await using s = await stage({ timeoutMs })
  const connection = await opened(s.path)
  connection.write(`POST /${leave} HTTP/1.1\r\nHost:\r\nContent-Length: 500\r\n\r\n{`)
  const [answer] = (await once(connection, 'data')) as [Buffer]
  assert.match(answer.toString(), late)
  assert.equal(s.handlers.calls, [])
  connection.destroy()
})

for (const [index, call] of growing.entries()) {
  test(`watchdog: ${call[0]} while the kernel hangs: in the end all is as it was`, async () => {
    await using s = await scene(growing.slice(0, index))
    const before = await s.state()
    s.kernel.hang()
    assert.match((await s.ask(call)) ?? '', late)
    s.kernel.letGo()
    await eventually('it is given up', () => s.stage.warned.length === 1)
    assert.is(s.stage.warned[0]?.message, 'a call that had timed out was given up')
    assert.is(await s.state(), before)
    assert.equal(await s.house.house.reconciler.differences(), [])
    // Another attempt is free to succeed.
    assert.is(await s.ask(call), undefined)
  })

  test(`watchdog: ${call[0]} that has not begun when it times out never begins`, async () => {
    await using s = await scene(growing.slice(0, index))
    const before = await s.state()
    const lane = Promise.withResolvers<undefined>()
    const busy = s.house.house.lanes.run(networkId, () => lane.promise)
    assert.match((await s.ask(call)) ?? '', late)
    const { steps } = s.kernel
    lane.resolve(undefined)
    await busy
    await eventually('it is given up', () => s.stage.warned.length === 1)
    assert.is(await s.state(), before)
    assert.is(s.kernel.steps, steps)
  })
}

test('watchdog: a network that waits for the admission of another one never begins', async () => {
  await using s = await scene([])
  s.kernel.hang()
  const other = createNetwork({ NetworkID: '2'.repeat(64) as never, IPv4Data: [], IPv6Data: [] })
  const answers = await Promise.all([s.ask(['CreateNetwork', createNetwork()]), s.ask(['CreateNetwork', other])])
  for (const answer of answers) assert.match(answer ?? '', late)
  s.kernel.letGo()
  await eventually('both are given up', () => s.stage.warned.length === 2)
  assert.is(await s.state(), '')
})

for (const [index, call] of vanishing.entries()) {
  test(`watchdog: ${call[0]} while the kernel hangs happens all the same`, async () => {
    await using s = await scene(life.slice(0, growing.length + index))
    const states: string[] = []
    for (const hanging of [true, false]) {
      if (hanging) s.kernel.hang()
      const text = await s.ask(call)
      if (hanging && s.kernel.waiting > 0) assert.match(text ?? '', late)
      s.kernel.letGo()
      await eventually('nothing waits', () => s.kernel.waiting === 0)
      await s.house.house.lanes.alone(async () => undefined)
      states.push((await s.state()).replaceAll(/"changedAt":\d+/g, ''))
    }
    // The second time there was nothing left to do.
    assert.is(states[0], states[1])
    assert.equal(s.stage.logged, [])
  })
}

test('watchdog: removals that wait behind a call that hangs come after it', async () => {
  await using s = await scene(growing.slice(0, 2))
  s.kernel.hang()
  // As an engine: the neighbour cannot be made, and the container is taken down meanwhile.
  const made = s.ask(['CreateEndpoint', neighbour])
  const gone = s.ask(['DeleteEndpoint', both])
  for (const answer of await Promise.all([made, gone])) assert.match(answer ?? '', late)
  s.kernel.letGo()
  await eventually('both have ended', () => s.stage.warned.length === 2)
  assert.equal(s.house.house.records.endpoints(), [])
  assert.equal(await s.house.house.reconciler.differences(), [])
})

test('watchdog: no pool and no address is given to one who has been told that there is none', async () => {
  await using s = await stage({ timeoutMs })
  const { house, store } = await testHouse()
  const ipam = await Ipam.restore({ store, defaultPools: parseDefaultPools(standardPools), inUse: () => true })
  const routes = { read: Promise.withResolvers<undefined>() }
  Object.assign(
    s.handlers.ipam,
    ipamHandlers(house, ipam, 'weft-ipam', () => routes.read.promise),
  )
  const wish = { AddressSpace: 'weft-local', Pool: '', SubPool: '', Options: {}, V6: false }
  assert.match((await s.ask.post('IpamDriver.RequestPool', wish)).text, late)
  routes.read.resolve(undefined)
  await eventually('it is given up', () => s.warned.length === 1)
  assert.equal(ipam.pools(), [])

  const { PoolID } = (await s.ask.post('IpamDriver.RequestPool', wish)).json as { readonly PoolID: string }
  const asked = {
    PoolID,
    Address: '10.64.0.9',
    Options: { 'com.docker.network.endpoint.macaddress': '02:42:00:00:00:01' },
  }
  assert.match((await s.ask.post('IpamDriver.RequestAddress', asked)).text, /10\.64\.0\.9/)
  await s.ask.post('IpamDriver.ReleaseAddress', { PoolID, Address: '10.64.0.9' })
  // Released while its endpoint lives: it is waited for.
  assert.match((await s.ask.post('IpamDriver.RequestAddress', asked)).text, late)
  await eventually('it is given up', () => s.warned.length === 2)
})

test.run()
