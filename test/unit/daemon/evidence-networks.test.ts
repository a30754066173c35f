/** Which networks are given up without a call of the engine. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { NetworkId, PoolId } from '../../../plugin-api/ids.ts'
import { created, scene } from '../../support/evidence.ts'
import { createNetwork, endpointId, networkId, pool as subnet, rejects } from '../../support/house.ts'

const poolId = '10.7.0.0-24' as PoolId
const ids = { NetworkID: networkId, EndpointID: endpointId }

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

test('evidence: a network that an engine listed, and has no more, is given up after two looks of the same one', () =>
  scene(async here => {
    here.engineId = 'one'
    await created(here)
    here.listed = { [networkId]: [endpointId] }
    await here.pass(2)
    assert.is(here.house.records.network(networkId)?.engine, 'one')
    here.listed = {}
    await here.pass(80)
    assert.is(here.house.records.networks().length, 1, 'it is in use')
    await here.handlers.deleteEndpoint(ids)
    here.engineId = 'two'
    await here.pass(80)
    assert.is(here.house.records.networks().length, 1, 'it is another engine that lacks it')
    here.engineId = 'one'
    here.listed = { [networkId]: [] }
    await here.pass(60)
    here.listed = {}
    await here.pass(60)
    await here.pass(2)
    assert.is(here.house.records.networks().length, 0)
    assert.is(String(here.kernel), '')
  }))

test('evidence: one look is no evidence against a network that its engine listed', () =>
  scene(async here => {
    here.engineId = 'one'
    await here.handlers.createNetwork(createNetwork())
    const count = (): number => here.house.records.networks().length
    for (let time = 1; time <= 3; time += 1) {
      here.listed = { [networkId]: [] }
      await here.watch.lookAtEngine()
      await here.pass(2)
      here.listed = {}
      await here.watch.lookAtEngine()
      assert.is(count(), 1)
    }
    await here.pass(2)
    assert.is(count(), 0)
  }))

test('evidence: a network that was listed or used once outlives every engine that does not say which one it is', () =>
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

test.run()
