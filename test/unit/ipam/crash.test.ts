/** The daemon's memory is lost at a commit, before it is written or before anybody hears of it; the store is what is left. */
import type { Ip } from '../../../native/value/ip.ts'
import type { Mac } from '../../../native/value/mac.ts'
import type { PoolId } from '../../../plugin-api/ids.ts'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryStore } from '../../../daemon/store/memory.ts'
import type { Ipam } from '../../../ipam/ipam.ts'
import type { Write } from '../../../ipam/store.ts'
import { addressOf } from '../../../native/value/ip.ts'
import { UserError } from '../../../plugin-api/answer.ts'
import { randomFrom, seed } from '../value/random.ts'
import { client, ipamOver, macOf, records, wish } from './house.ts'

/** At each commit of each step; half of them before it, half of them after. */
const crashes = process.env['WEFT_TEST_FULL'] ? 1000 : 30

class Crash extends Error {}

class CrashingStore extends MemoryStore {
  /** The next commit is the last thing that happens. */
  armed: 'before' | 'after' | undefined

  override async commit(writes: readonly Write[]): Promise<void> {
    const { armed } = this
    this.armed = undefined
    if (armed === 'before') throw new Crash()
    await super.commit(writes)
    if (armed === 'after') throw new Crash()
  }
}

/** What an engine knows, for it was answered. */
interface Engine {
  pool: PoolId | undefined
  readonly subnet: string
  gateway: boolean
  readonly endpoints: Map<Ip, Mac>
  readonly chosen: Set<Ip>
  /** Asked for, without an answer: it may be granted or not. */
  readonly unsure: Set<Ip>
}

type Act = (ipam: Ipam, engine: Engine, random: () => number) => Promise<void>

const acts = {
  async 'an engine begins'(ipam) {
    await ipam.engineStarted(client)
  },
  async 'any address'(ipam, engine, random) {
    const mac = macOf(random() % 1000)
    engine.endpoints.set(addressOf(await ipam.requestAddress(poolOf(engine), { purpose: 'endpoint', mac })), mac)
  },
  async 'an address by name'(ipam, engine, random) {
    const [mac, address] = [macOf(random() % 1000), `10.90.0.${20 + (random() % 20)}` as Ip]
    if (engine.endpoints.has(address)) return
    engine.unsure.add(address)
    await ipam.requestAddress(poolOf(engine), { purpose: 'endpoint', mac, address })
    engine.endpoints.set(address, mac)
    engine.chosen.add(address)
  },
  async 'a release'(ipam, engine, random) {
    const held = [...engine.endpoints.keys()]
    const address = held[random() % Math.max(1, held.length)]
    if (address === undefined) return
    // The engine forgets it whatever the answer is.
    engine.endpoints.delete(address)
    await ipam.releaseAddress(poolOf(engine), address)
  },
  async 'a reservation'(ipam, engine, random) {
    const address = `10.90.0.${40 + (random() % 8)}` as Ip
    if (!engine.endpoints.has(address))
      await ipam.reserve(poolOf(engine), { address, mac: macOf(2000 + (random() % 8)) })
  },
  async 'an address of the host'(ipam, engine, random) {
    await ipam.hold(poolOf(engine), `network/${random() % 3}`)
  },
} satisfies Record<string, Act>

for (const [name, act] of Object.entries<Act>(acts)) {
  test(`crash: ${name}: nothing promised is lost, nothing is given twice, nothing is left`, async () => {
    const random = randomFrom(seed)
    for (let round = 0; round < crashes; round += 1) {
      const where = `WEFT_TEST_SEED=${seed}, round ${round}`
      try {
        await crashOnce(act, round % 2 === 0 ? 'before' : 'after', random)
      } catch (cause) {
        throw new Error(`${where}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
      }
    }
  })
}

for (const [name, crashAt] of [
  ['a pool', 'pool'],
  ['a gateway', 'gateway'],
  ["a pool's end", 'end'],
] as const) {
  test(`crash: ${name}: an engine that goes on has what it was promised, and nothing is left`, async () => {
    for (let round = 0; round < crashes; round += 1) {
      const store = new CrashingStore()
      const armed = round % 2 === 0 ? 'before' : 'after'
      let ipam = await ipamOver(store)
      const step = async <T>(at: string, work: () => Promise<T>): Promise<T | undefined> => {
        if (at === crashAt) store.armed = armed
        try {
          return await work()
        } catch (cause) {
          if (!(cause instanceof Crash)) throw cause
          ipam = await ipamOver(store)
          return undefined
        }
      }
      await ipam.engineStarted(client)
      // A call that broke is made again by the user, as a new one.
      const pool =
        (await step('pool', () => ipam.requestPool(wish('10.90.0.0/26')))) ??
        (await ipam.requestPool(wish('10.90.0.0/26')))
      const gateway = { purpose: 'gateway' } as const
      const address =
        (await step('gateway', () => ipam.requestAddress(pool.id, gateway))) ??
        (await ipam.requestAddress(pool.id, gateway))
      assert.is(address, '10.90.0.1/26')
      assert.is(ipam.leases().length, 1)
      await step('end', () => ipam.releasePool(pool.id))
      await ipam.releasePool(pool.id)
      assert.equal(Object.keys(await records(store)), [`ipam/session/${client}`])
    }
  })
}

async function crashOnce(act: Act, armed: 'before' | 'after', random: () => number): Promise<void> {
  const store = new CrashingStore()
  const engine: Engine = {
    pool: undefined,
    subnet: '10.90.0.0/26',
    gateway: true,
    endpoints: new Map(),
    chosen: new Set(),
    unsure: new Set(),
  }
  let ipam = await ipamOver(store)
  await ipam.engineStarted(client)
  engine.pool = (await ipam.requestPool(wish(engine.subnet))).id
  await ipam.requestAddress(engine.pool, { purpose: 'gateway' })
  const all = Object.values<Act>(acts)
  for (let count = random() % 30; count > 0; count -= 1)
    await tolerant(all[random() % all.length], ipam, engine, random)
  store.armed = armed
  await tolerant(act, ipam, engine, random)
  store.armed = undefined

  ipam = await ipamOver(store)
  await checkPromises(ipam, engine)
  await fill(ipam, engine)
  await replay(ipam, engine)
  await endAll(ipam, engine, store)
}

/** What is refused in words changes nothing, and a crash is what this is about. */
async function tolerant(act: Act | undefined, ipam: Ipam, engine: Engine, random: () => number): Promise<void> {
  try {
    await act?.(ipam, engine, random)
  } catch (cause) {
    if (!(cause instanceof Crash || cause instanceof UserError)) throw cause
  }
}

async function checkPromises(ipam: Ipam, engine: Engine): Promise<void> {
  const leases = new Map(ipam.leases().map(lease => [lease.address, lease]))
  for (const [address, mac] of engine.endpoints) {
    assert.is(leases.get(address)?.mac, mac, `${address} was promised to ${mac}`)
  }
  for (const address of engine.chosen)
    assert.ok(ipam.pool(poolOf(engine))?.chosen.has(address), `${address} was chosen`)
}

/** All that is left is given out: nothing that somebody has, or that was chosen. */
async function fill(ipam: Ipam, engine: Engine): Promise<void> {
  const given = new Set<Ip>()
  for (let number = 5000; ; number += 1) {
    try {
      const mac = macOf(number)
      const address = addressOf(await ipam.requestAddress(poolOf(engine), { purpose: 'endpoint', mac }))
      assert.not(given.has(address), `${address} twice`)
      assert.not(engine.endpoints.has(address), `${address} has an owner`)
      assert.not(engine.chosen.has(address), `${address} was chosen`)
      given.add(address)
    } catch (cause) {
      if (!(cause instanceof UserError)) throw cause
      assert.is(cause.code, 'ADDRESSES_EXHAUSTED')
      return
    }
  }
}

/** An engine begins and repeats what it has; evidence ends what it has not. */
async function replay(ipam: Ipam, engine: Engine): Promise<void> {
  const id = poolOf(engine)
  await ipam.engineStarted(client)
  assert.is((await ipam.requestPool(wish(engine.subnet))).id, id)
  await ipam.requestAddress(id, { purpose: 'gateway', address: '10.90.0.1' })
  for (const address of engine.endpoints.keys()) await ipam.requestAddress(id, { purpose: 'reserved', address })
  for (const lease of ipam.leases()) {
    if (lease.purpose === 'endpoint' && !engine.endpoints.has(lease.address)) await ipam.drop(lease)
  }
  const held = ipam.leases().filter(({ purpose }) => purpose === 'endpoint')
  assert.equal(held.map(({ address }) => address).toSorted(), [...engine.endpoints.keys()].toSorted())
  const chosen = [...(ipam.pool(id)?.chosen.keys() ?? [])].filter(address => !engine.unsure.has(address))
  assert.equal(chosen, [], 'nothing was chosen but what was asked for by name')
}

async function endAll(ipam: Ipam, engine: Engine, store: MemoryStore): Promise<void> {
  const id = poolOf(engine)
  for (const address of engine.endpoints.keys()) assert.is(await ipam.releaseAddress(id, address), true)
  assert.is(await ipam.releaseAddress(id, '10.90.0.1'), true)
  assert.is(await ipam.releasePool(id), true)
  assert.equal(Object.keys(await records(store)), [`ipam/session/${client}`])
}

function poolOf({ pool }: Engine): PoolId {
  if (pool === undefined) throw new Error('no pool')
  return pool
}

test.run()
