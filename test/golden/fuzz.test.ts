/**
 * Damaged requests against the real server, handlers, IPAM and reconciler on a fake kernel. Whatever comes, the answer
 * has its form, and what was refused has changed nothing. The same against a real kernel: test/lab/fuzz.test.ts.
 * WEFT_TEST_SEED repeats a run; WEFT_TEST_FULL makes it ten times as long.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { join } from 'node:path'
import { ipamHandlers } from '../../daemon/address.ts'
import { MemoryStore } from '../../daemon/store/memory.ts'
import { parseDefaultPools, standardPools } from '../../ipam/defaults.ts'
import { Ipam } from '../../ipam/ipam.ts'
import { type Handlers, methods } from '../../plugin-api/methods.ts'
import { createPluginServer, type Fact } from '../../plugin-api/server.ts'
import { directory } from '../support/directory.ts'
import { testHouse, type TestHouse } from '../support/house.ts'
import { mutants } from '../support/mutants.ts'
import { random } from '../support/random.ts'
import { recordedCalls } from '../support/replay.ts'
import { Caller, moved } from '../support/town.ts'

const seed = Number(process.env['WEFT_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const count = process.env['WEFT_TEST_FULL'] ? 100_000 : 10_000
/** So many mutants, then all is removed, nothing must be left, and the town is built anew. */
const round = 250
/** Requests at once. */
const burst = 32

interface Stand extends AsyncDisposable {
  readonly house: TestHouse
  readonly caller: Caller
  readonly facts: Fact[]
  /** What the server logged as bugs. */
  readonly bugs: unknown[]
  /** Calls that reached a handler. */
  readonly reached: { calls: number }
  /** Records and kernel as text. */
  state(): Promise<string>
  /** Changes of the kernel and commits so far, also such as were undone. */
  changes(): number
}

async function stand(): Promise<Stand> {
  await using opened = new AsyncDisposableStack()
  const { path } = opened.use(await directory())
  const store = new MemoryStore()
  const house = await testHouse({ store, forwarding: false })
  const ipam = await Ipam.restore({ store: house.store, defaultPools: parseDefaultPools(standardPools) })
  const [facts, bugs, reached]: [Fact[], unknown[], { calls: number }] = [[], [], { calls: 0 }]
  const server = opened.use(
    createPluginServer({
      log: {
        error: (fields, message) => bugs.push({ fields, message }),
        // A call that timed out.
        warn: (fields, message) => bugs.push({ fields, message }),
      },
      observe: fact => facts.push(fact),
    }),
  )
  const handlers: Handlers = {
    network: counting(house.handlers, reached),
    ipam: counting(ipamHandlers(house.house, ipam, 'weft-bridge'), reached),
  }
  const socket = join(path, 'weft-bridge.sock')
  await server.listen(socket, { driver: 'weft-bridge', handlers })
  const caller = opened.use(new Caller(socket))
  const all = opened.move()
  return {
    ...{ house, caller, facts, bugs, reached },
    async state() {
      const kernel = String(house.kernel).split('\n').sort()
      return [...kernel, ...(await house.store.list('')).map(record => JSON.stringify(record))].join('\n')
    },
    changes: () => house.kernel.steps + store.revision,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

/** The handlers, with their calls counted. */
function counting<H extends object>(handlers: H, reached: { calls: number }): H {
  return new Proxy(handlers, {
    get(target, name, receiver) {
      reached.calls += 1
      return Reflect.get(target, name, receiver) as unknown
    },
  })
}

/** Lines that one of two states has and the other has not. */
function changed(before: string, after: string): string {
  const [had, has] = [before.split('\n'), after.split('\n')]
  return [
    ...had.filter(line => !has.includes(line)).map(line => `- ${line}`),
    ...has.filter(line => !had.includes(line)).map(line => `+ ${line}`),
  ].join('\n')
}

/** What a restarted daemon would make of the records is what there is. */
async function restartsTheSame({ house, kernel, store }: TestHouse): Promise<void> {
  const again = await testHouse({ store, kernel, forwarding: false })
  assert.equal(await again.house.reconciler.differences(), [], 'the records make other wishes after a restart')
  assert.equal(await house.reconciler.differences(), [], 'the kernel is not as wished')
  const addresses = house.records.endpoints().flatMap(one => one.addresses.map(cidr => `${one.networkId} ${cidr}`))
  assert.is(new Set(addresses).size, addresses.length, 'two endpoints of a network have one address')
}

test(`fuzz: ${count} damaged requests: each is answered, a refusal changes nothing, and nothing is left`, async () => {
  console.log(`seed ${seed}: WEFT_TEST_SEED=${seed} repeats this run`)
  await using s = await stand()
  const networks = (): readonly string[] => s.house.house.records.networks().map(({ id }) => id)
  const outcomes = new Map<string, number>()
  let [sent, accepted, reached] = [0, 0, 0]
  let before = { state: '', changes: 0 }
  for (const { method, body, how } of mutants(seed, count, moved(recordedCalls(), random(seed)))) {
    if (sent % round === 0) {
      await restartsTheSame(s.house)
      await s.caller.raze(networks())
      assert.is(String(s.house.kernel), '', 'kernel after everything was removed')
      assert.equal(await leftRecords(s.house), [], 'records after everything was removed')
      await s.caller.build()
      before = { state: await s.state(), changes: s.changes() }
      s.facts.length = 0
      reached -= s.reached.calls
    }
    const { refusal, malformed } = await s.caller.send(method, body)
    sent += 1
    const unchanged = s.changes() === before.changes
    const after = unchanged ? before : { state: await s.state(), changes: s.changes() }
    const about = `${method}, ${how}: ${refusal ?? 'accepted'}\n${body.toString().slice(0, 2000)}`
    assert.is(malformed, undefined, about)
    assert.equal(s.bugs, [], about)
    if (refusal !== undefined) assert.is(changed(before.state, after.state), '', about)
    else accepted += 1
    before = after
    const code = s.facts.at(-1)?.code ?? 'ok'
    outcomes.set(code, (outcomes.get(code) ?? 0) + 1)
    if (sent % round === 0) reached += s.reached.calls
  }
  await s.caller.raze(networks())
  assert.is(String(s.house.kernel), '')
  assert.equal(await leftRecords(s.house), [])

  console.log(`${sent} sent, ${reached} reached a handler, ${accepted} accepted`)
  console.log(
    [...outcomes]
      .sort(([, one], [, other]) => other - one)
      .map(([code, n]) => `${code} ${n}`)
      .join(', '),
  )
  assert.is(sent, count)
  assert.ok(reached >= 0.3 * count, `${reached} of ${count} reached a handler`)
  assert.ok(accepted >= 0.1 * count, `${accepted} of ${count} were accepted`)
})

test('fuzz: damaged requests that come at once leave records and kernel in agreement', async () => {
  console.log(`seed ${seed}: WEFT_TEST_SEED=${seed} repeats this run`)
  await using s = await stand()
  const networks = (): readonly string[] => s.house.house.records.networks().map(({ id }) => id)
  const all = [...mutants(seed, count / 5, moved(recordedCalls(), random(seed)))]
  for (let sent = 0; sent < all.length; sent += burst) {
    if (sent % (8 * burst) === 0) {
      await s.caller.raze(networks())
      assert.is(String(s.house.kernel), '', `kernel after ${sent}`)
      assert.equal(await leftRecords(s.house), [], `records after ${sent}`)
      await s.caller.build()
    }
    const some = all.slice(sent, sent + burst)
    const verdicts = await Promise.all(some.map(({ method, body }) => s.caller.send(method, body)))
    const about = some.map(({ method, body }) => `${method} ${body.toString().slice(0, 500)}`).join('\n')
    for (const { malformed } of verdicts) assert.is(malformed, undefined, about)
    assert.equal(s.bugs, [], about)
    await restartsTheSame(s.house)
  }
})

/** Keys of records that belong to a network, an endpoint, a pool or a lease. */
async function leftRecords({ store }: TestHouse): Promise<readonly string[]> {
  const keys = (await store.list('')).map(({ key }) => key)
  return keys.filter(key => !key.startsWith('ipam/') && key !== 'host/forwarding')
}

const junk: readonly { readonly name: string; readonly body: Buffer | string }[] = [
  { name: 'nothing', body: '' },
  { name: 'white space', body: ' \n' },
  { name: 'null', body: 'null' },
  { name: 'a number', body: '7' },
  { name: 'a text', body: '"text"' },
  { name: 'a list', body: '[]' },
  { name: 'a list of objects', body: '[{}]' },
  { name: 'half an object', body: '{"NetworkID":"' },
  { name: 'two objects', body: '{}{}' },
  { name: 'a comment', body: '{/* */}' },
  { name: 'numbers for ids', body: '{"NetworkID":1,"EndpointID":2,"PoolID":3,"Pool":4,"Options":5}' },
  { name: 'lists for maps', body: '{"Options":[],"NetworkID":[],"PoolID":[],"Pool":[]}' },
  { name: 'ids with slashes', body: '{"NetworkID":"a/b","EndpointID":"/","PoolID":"\\u0000","Pool":"/","Options":0}' },
  { name: 'options 20 deep', body: `{"NetworkID":"","Pool":"x","Options":{"a":${'['.repeat(20)}${']'.repeat(20)}}}` },
  { name: 'lists 100,000 deep', body: '['.repeat(100_000) },
  { name: 'a byte order mark', body: '\ufeff{}' },
  { name: 'bytes that are not UTF-8', body: Buffer.from([0x7b, 0x22, 0xc0, 0x80, 0x22, 0x3a, 0x31, 0x7d]) },
  { name: 'more than the limit', body: `{"NetworkID":"${'x'.repeat(17_000_000)}"}` },
]

for (const [method, row] of Object.entries(methods)) {
  test(`malformed: ${method}: ${row.body === 'required' ? 'refused with status 400' : 'its body does not matter'}`, async () => {
    await using s = await stand()
    const before = await s.state()
    for (const { name, body } of junk) {
      const { status, malformed, refusal } = await s.caller.send(method, Buffer.from(body))
      assert.is(malformed, undefined, name)
      assert.is(status, row.body === 'required' ? 400 : 200, `${name}: ${refusal ?? 'accepted'}`)
    }
    assert.equal(s.bugs, [])
    if (row.body === 'required') assert.is(await s.state(), before)
  })
}

test('ids: none collides with names of the house', async () => {
  await using s = await stand()
  for (const NetworkID of ['host', 'network', 'endpoint', '__proto__', 'constructor', '..', '%2f', ' ']) {
    await s.caller.build()
    const data = { Pool: '10.9.0.0/24', Gateway: '10.9.0.1/24' }
    const created = await s.caller.send('NetworkDriver.CreateNetwork', { NetworkID, IPv4Data: [data] })
    assert.is(created.refusal, undefined, NetworkID)
    const ids = { NetworkID, EndpointID: NetworkID }
    for (const [method, more] of Object.entries({
      CreateEndpoint: { Interface: { Address: '10.9.0.2/24' } },
      Join: { SandboxKey: '/var/run/docker/netns/1' },
      Leave: {},
      DeleteEndpoint: {},
    })) {
      assert.is((await s.caller.send(`NetworkDriver.${method}`, { ...ids, ...more })).refusal, undefined, method)
    }
    await restartsTheSame(s.house)
    await s.caller.raze(s.house.house.records.networks().map(({ id }) => id))
    assert.is(String(s.house.kernel), '', NetworkID)
  }
})

for (const [name, NetworkID] of Object.entries({
  'half a character': '"\\ud800"',
  'the last character': '"\u{10ffff}"',
})) {
  test(`ids: ${name} is refused, for the store could not find it again`, async () => {
    await using s = await stand()
    const { status } = await s.caller.send('NetworkDriver.DeleteNetwork', Buffer.from(`{"NetworkID":${NetworkID}}`))
    assert.is(status, 400)
  })
}

test.run()
