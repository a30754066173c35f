/** Which records are given up without a call of the engine: what its list and the links say, and how often. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { mock } from 'node:test'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Engine } from '../../../daemon/engine.ts'
import { Watch, type Leases } from '../../../daemon/evidence.ts'
import { ifName } from '../../../drivers/names.ts'
import type { LeaseEntry, PoolEntry, PoolGrant } from '../../../ipam/records.ts'
import type { IfName } from '../../../native/kernel/resource.ts'
import type { Cidr, Ip } from '../../../native/value/ip.ts'
import type { EndpointId, NetworkId, PoolId } from '../../../plugin-api/ids.ts'
import { directory } from '../../support/directory.ts'
import {
  createEndpoint,
  createNetwork,
  endpointId,
  networkId,
  rejects,
  testHouse,
  type TestHouse,
} from '../../support/house.ts'

/** A look that waits for a turn is waited for no longer than this. */
const stuckMs = 200
const poolId = '10.7.0.0-24' as PoolId
const ids = { NetworkID: networkId, EndpointID: endpointId }

interface Scene extends TestHouse {
  readonly watch: Watch
  readonly links: Set<IfName>
  /** What the engine lists: endpoints by network. Undefined: it gives no answer. */
  listed: Readonly<Record<string, readonly string[]>> | undefined
  leases: readonly LeaseEntry[]
  unanswered: PoolEntry | undefined
  unrepeated: readonly PoolEntry[]
  granted: readonly PoolGrant[]
  readonly ended: string[]
  /** Time passes, in steps of the watch, with whatever it asks the engine. */
  pass(seconds: number): Promise<void>
}

/** Fake time; a real engine's socket. */
async function scene(act: (scene: Scene) => Promise<void>): Promise<void> {
  await using folder = await directory()
  const path = join(folder.path, 'docker.sock')
  const links = new Set<IfName>()
  const test = await testHouse()
  const ended: string[] = []
  const leases: Leases = {
    leases: () => here.leases,
    async drop({ address }) {
      ended.push(`lease ${address}`)
      return true
    },
    get unanswered() {
      return here.unanswered
    },
    get unrepeated() {
      return here.unrepeated
    },
    async dropPool({ id }) {
      ended.push(`pool ${id}`)
      return true
    },
  }
  const watch = new Watch(test.house, new Engine(`unix://${path}`), leases, async () => links)
  test.house.pools = {
    ...test.house.pools,
    grantsOf: () => here.granted,
    isGranted: grant => here.granted.some(({ id, at }) => id === grant.id && at === grant.at),
  }
  let waits = 0
  const here: Scene = {
    ...{ ...test, watch, links, listed: {}, leases: [], unanswered: undefined, unrepeated: [], granted: [], ended },
    async pass(seconds) {
      for (let left = seconds; left > 0; left -= 2) {
        const [before, since] = [waits, performance.now()]
        mock.timers.tick(2_000)
        // A look is over when the next one is waited for.
        while (waits === before && performance.now() - since < stuckMs) await new Promise(setImmediate)
      }
    },
  }
  const server = createServer((request, response) => {
    const { url = '' } = request
    const id = url.slice('/networks/'.length)
    const listed = here.listed ?? {}
    if (here.listed === undefined) response.destroy()
    else if (url === '/version') response.end('{"Version":"28.5.2"}')
    else if (url === '/networks')
      response.end(JSON.stringify(Object.keys(listed).map(Id => ({ Id, ...networkJson([]) }))))
    else response.end(JSON.stringify(networkJson(listed[id] ?? [])))
  })
  server.listen(path)
  await once(server, 'listening')
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.now() })
  const { setTimeout: fake } = globalThis
  globalThis.setTimeout = ((...parameters: Parameters<typeof fake>) => {
    waits += 1
    return fake(...parameters)
  }) as typeof fake
  try {
    watch.start(60)
    await act(here)
  } finally {
    watch.stop()
    mock.timers.reset()
    server.close()
  }
}

function networkJson(endpoints: readonly string[]): object {
  const containers = endpoints.map(id => [`c${id}`, { Name: 'c', EndpointID: id, IPv4Address: '10.7.0.2/24' }] as const)
  const IPAM = { Driver: 'weft-ipam', Config: [{ Subnet: '10.7.0.0/24' }] }
  return { Name: 'n', IPAM, Containers: Object.fromEntries(containers) }
}

const lease = (address: string, purpose: LeaseEntry['purpose'] = 'endpoint'): LeaseEntry => ({
  pool: poolId,
  address: address as Ip,
  purpose,
  at: 1,
})
const pool: PoolEntry = {
  ...{
    id: poolId,
    subnet: '10.7.0.0/24' as Cidr,
    family: 4,
    automatic: true,
    options: {},
    client: 'x',
    session: 0,
    at: 1,
  },
}

async function created(here: Scene): Promise<void> {
  await here.handlers.createNetwork(createNetwork())
  await here.handlers.createEndpoint(createEndpoint())
}

const count = ({ house }: Scene): number => house.records.endpoints().length

test('evidence: a joined endpoint lives as long as its link', () =>
  scene(async here => {
    await created(here)
    await here.watch.lookAtLinks()
    assert.is(count(here), 1, 'created: its link is looked at by nobody')
    await here.handlers.join({ ...ids, SandboxKey: '/run/docker/netns/x', Options: {} })
    here.links.add(ifName('wv', endpointId))
    await here.watch.lookAtLinks()
    assert.is(count(here), 1)
    here.links.clear()
    await here.watch.lookAtLinks()
    assert.is(count(here), 0)
  }))

test('evidence: a link that is back when the turn comes keeps its endpoint', () =>
  scene(async here => {
    await created(here)
    await here.handlers.join({ ...ids, SandboxKey: '/run/docker/netns/x', Options: {} })
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const busy = here.house.lanes.run(networkId, () => promise)
    const look = here.watch.lookAtLinks()
    await new Promise(setImmediate)
    here.links.add(ifName('wv', endpointId))
    resolve(undefined)
    await Promise.all([busy, look])
    assert.is(count(here), 1)
  }))

test('evidence: an endpoint that was created, and that the engine does not list, is given up after two looks', () =>
  scene(async here => {
    await created(here)
    here.listed = { [networkId]: [] }
    await here.pass(4)
    assert.is(count(here), 1, 'one look is no evidence')
    await here.pass(4)
    assert.is(count(here), 0)
  }))

test('evidence: an endpoint that the engine lists stays, however long it is only created', () =>
  scene(async here => {
    await created(here)
    here.listed = { [networkId]: [endpointId] }
    await here.pass(30)
    assert.is(count(here), 1)
  }))

test('evidence: an endpoint that the engine listed between two looks is new to doubt', () =>
  scene(async here => {
    await created(here)
    here.listed = { [networkId]: [] }
    await here.pass(4)
    here.listed = { [networkId]: [endpointId] }
    await here.pass(2)
    here.listed = { [networkId]: [] }
    await here.pass(2)
    assert.is(count(here), 1)
    await here.pass(2)
    assert.is(count(here), 0)
  }))

test('evidence: one that is joined while its turn is awaited stays', () =>
  scene(async here => {
    await created(here)
    here.listed = { [networkId]: [] }
    await here.pass(4)
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const busy = here.house.lanes.run(networkId, () => promise)
    const joined = here.handlers.join({ ...ids, SandboxKey: '/run/docker/netns/x', Options: {} })
    await here.pass(4)
    resolve(undefined)
    await Promise.all([busy, joined])
    await here.pass(2)
    assert.is(count(here), 1)
  }))

test('evidence: a network that the engine does not have is nothing it can speak about', () =>
  scene(async here => {
    await created(here)
    here.listed = { another: [] }
    await here.pass(80)
    assert.is(count(here), 1)
    assert.is(here.house.records.networks().length, 1)
  }))

test('evidence: an engine that does not answer says nothing', () =>
  scene(async here => {
    await created(here)
    here.listed = undefined
    await here.pass(30)
    assert.is(count(here), 1)
  }))

test('evidence: joined, but never moved and without a namespace: after a minute the list decides', () =>
  scene(async here => {
    await created(here)
    await here.handlers.join({ ...ids, SandboxKey: '/run/docker/netns/nowhere', Options: {} })
    here.links.add(ifName('wv', endpointId))
    here.listed = { [networkId]: [] }
    await here.pass(58)
    assert.is(count(here), 1)
    await here.pass(8)
    assert.is(count(here), 0)
  }))

test('evidence: left, and not listed any more: DeleteEndpoint was lost', () =>
  scene(async here => {
    await created(here)
    await here.handlers.join({ ...ids, SandboxKey: '/run/docker/netns/x', Options: {} })
    await here.handlers.leave(ids)
    here.listed = { [networkId]: [] }
    await here.pass(8)
    assert.is(count(here), 0)
  }))

test('evidence: a lease ends when the engine lacks it for a minute, and only an endpoint that nobody holds', () =>
  scene(async here => {
    await created(here)
    const other = 'b'.repeat(64) as EndpointId
    here.listed = { [networkId]: [other] }
    here.leases = [
      lease('10.7.0.1', 'gateway'),
      lease('10.7.0.2'),
      lease('10.7.0.9'),
      lease('10.7.0.10', 'reserved'),
      lease('10.9.0.9'),
    ]
    await here.pass(58)
    assert.equal(here.ended, [])
    await here.pass(70)
    assert.equal([...new Set(here.ended)], ['lease 10.7.0.9'])
  }))

test('evidence: a network whose pools were released, and that the engine does not list, is given up after two looks', () =>
  scene(async here => {
    here.granted = [{ id: poolId, at: 1 }]
    await here.handlers.createNetwork(createNetwork())
    here.listed = { [networkId]: [] }
    await here.pass(8)
    here.listed = {}
    here.granted = [{ id: poolId, at: 2 }]
    await here.pass(2)
    assert.is(here.house.records.networks().length, 1, 'one look is no evidence')
    await here.pass(2)
    assert.is(here.house.records.networks().length, 0)
    assert.is(String(here.kernel), '')
  }))

test('evidence: a network that the engine does not list stays as long as its pools are granted', () =>
  scene(async here => {
    here.granted = [{ id: poolId, at: 1 }]
    await here.handlers.createNetwork(createNetwork())
    here.listed = {}
    await here.pass(80)
    assert.is(here.house.records.networks().length, 1)
  }))

test('evidence: a network whose pools were released stays while the engine lists it, or an endpoint is in it', () =>
  scene(async here => {
    here.granted = [{ id: poolId, at: 1 }]
    await created(here)
    here.granted = []
    here.listed = { [networkId]: [endpointId] }
    await here.pass(8)
    await here.handlers.deleteEndpoint(ids)
    await here.pass(8)
    assert.is(here.house.records.networks().length, 1)
  }))

test('evidence: a subnet that is given again ends the network which had it, and only one without endpoints', () =>
  scene(async here => {
    const other = '2'.repeat(64) as NetworkId
    here.granted = [{ id: poolId, at: 1 }]
    await created(here)
    here.granted = [{ id: poolId, at: 2 }]
    await rejects(here.handlers.createNetwork(createNetwork({ NetworkID: other })), /overlapping IPv4/)
    await here.handlers.deleteEndpoint(ids)
    await here.handlers.createNetwork(createNetwork({ NetworkID: other }))
    assert.equal(
      here.house.records.networks().map(({ id }) => id),
      [other],
    )
    assert.equal(await here.house.reconciler.differences(), [])
  }))

test('evidence: a network on pools of another IPAM is never given up', () =>
  scene(async here => {
    await here.handlers.createNetwork(createNetwork())
    here.listed = {}
    await here.pass(80)
    assert.is(here.house.records.networks().length, 1)
  }))

test('evidence: a pool of which nobody may know ends after a minute', () =>
  scene(async here => {
    here.unanswered = pool
    await here.pass(58)
    assert.equal(here.ended, [])
    await here.pass(70)
    assert.equal([...new Set(here.ended)], ['pool 10.7.0.0-24'])
  }))

test('evidence: a pool whose engine ended before it wrote down the network ends at two looks', () =>
  scene(async here => {
    here.unrepeated = [pool]
    await here.pass(2)
    assert.equal(here.ended, [])
    await here.pass(4)
    assert.equal([...new Set(here.ended)], ['pool 10.7.0.0-24'])
  }))

test('evidence: a pool that a network was made on, or the engine lists, does not end', () =>
  scene(async here => {
    here.granted = [{ id: poolId, at: pool.at }]
    await here.handlers.createNetwork(createNetwork())
    here.unrepeated = [pool]
    await here.pass(10)
    assert.equal(here.ended, [])
  }))

test.run()
