/** Which records are given up without a call of the engine: what its list and the links say, and how often. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ifName } from '../../../drivers/names.ts'
import type { LeaseEntry, PoolEntry } from '../../../ipam/records.ts'
import type { Cidr, Ip } from '../../../native/value/ip.ts'
import type { EndpointId, NetworkId, PoolId } from '../../../plugin-api/ids.ts'
import { facts as lanFacts } from '../../support/child.ts'
import { scene, type Scene } from '../../support/evidence.ts'
import { createEndpoint, createNetwork, endpointId, networkId, pool as subnet, rejects } from '../../support/house.ts'

const poolId = '10.7.0.0-24' as PoolId
const ids = { NetworkID: networkId, EndpointID: endpointId }

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

const lan = { driver: 'macvlan', facts: { links: lanFacts.links } }

async function joinedOnLan({ handlers }: Scene): Promise<void> {
  await handlers.createNetwork(createNetwork({ generic: { parent: 'eth0' } }))
  await handlers.createEndpoint(createEndpoint())
  await handlers.join({ ...ids, SandboxKey: '/run/docker/netns/x', Options: {} })
}

test('evidence: a link that went to a container and whose namespace is nowhere: the engine decides', () =>
  scene(async here => {
    await joinedOnLan(here)
    here.listed = { [networkId]: [endpointId] }
    await here.watch.lookAtLinks()
    await here.pass(30)
    assert.is(count(here), 1)
    here.listed = { [networkId]: [] }
    await here.pass(2)
    assert.is(count(here), 1, 'one look is no evidence')
    await here.pass(2)
    assert.is(count(here), 0)
  }, lan))

test('evidence: a link that nobody fetched for a minute, and without a namespace, is dead', () =>
  scene(async here => {
    await joinedOnLan(here)
    here.links.add(ifName('wc', endpointId))
    here.listed = { [networkId]: [endpointId] }
    await here.pass(58)
    await here.watch.lookAtLinks()
    assert.is(count(here), 1)
    await here.pass(2)
    await here.watch.lookAtLinks()
    assert.is(count(here), 0)
  }, lan))

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

test('evidence: a lease ends in networks of our IPAM only, also when we are a managed plugin of any name', () =>
  scene(async here => {
    await created(here)
    here.listed = { [networkId]: [] }
    here.leases = [lease('10.7.0.9')]
    here.ipamDriver = 'default'
    await here.pass(130)
    assert.equal(here.ended, [])
    here.ipamDriver = 'registry.example/nets/weft:1'
    await here.pass(130)
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

test('evidence: a network whose engine was killed before it wrote it down is given up by the next one', () =>
  scene(async here => {
    await here.handlers.createNetwork(createNetwork())
    here.listed = {}
    await here.pass(8)
    assert.is(here.house.records.networks().length, 1, 'the engine may be another one')
    await here.handlers.engineStarted()
    await here.pass(6)
    assert.is(here.house.records.networks().length, 0)
    assert.is(String(here.kernel), '')
  }))

test('evidence: a network that was listed or used once outlives every engine', () =>
  scene(async here => {
    const used = '2'.repeat(64) as NetworkId
    await here.handlers.createNetwork(createNetwork())
    here.listed = { [networkId]: [] }
    await here.pass(4)
    const pools = { IPv4Data: [subnet('10.8.0.0/24', '10.8.0.1/24')], IPv6Data: [] }
    await here.handlers.createNetwork(createNetwork({ NetworkID: used, ...pools }))
    await here.handlers.createEndpoint({ ...ids, NetworkID: used, Interface: { Address: '10.8.0.2/24' }, Options: {} })
    await here.pass(4)
    await here.handlers.deleteEndpoint({ ...ids, NetworkID: used })
    here.listed = {}
    await here.handlers.engineStarted()
    await here.pass(80)
    assert.equal(
      here.house.records
        .networks()
        .map(({ id }) => id)
        .sort(),
      [networkId, used],
    )
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

test('evidence: a pool without a lease does not end while a network is made on it, or the engine lists one', () =>
  scene(async here => {
    here.unanswered = pool
    here.listed = { another: [] }
    await here.pass(130)
    assert.equal(here.ended, [], 'of a driver that is not ours')
    here.listed = {}
    here.granted = [{ id: poolId, at: pool.at }]
    await here.handlers.createNetwork(createNetwork())
    await here.pass(130)
    assert.equal(here.ended, [], 'of a driver of ours')
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

test('evidence: a network is made on a pool by its record, or when the engine listed it since the pool was granted', () =>
  scene(async here => {
    const later = { ...pool, at: Date.now() + 3_000 }
    assert.is(here.watch.isMade(pool), false)
    here.listed = { another: [] }
    await here.pass(2)
    assert.equal([here.watch.isMade(pool), here.watch.isMade(later)], [true, false])
    await here.pass(60)
    assert.is(here.watch.isMade(later), true)
    here.listed = {}
    await here.pass(60)
    assert.is(here.watch.isMade(pool), false)
    here.granted = [{ id: poolId, at: pool.at }]
    await here.handlers.createNetwork(createNetwork())
    assert.equal([here.watch.isMade(pool), here.watch.isMade(later)], [true, false])
  }))

test.run()
