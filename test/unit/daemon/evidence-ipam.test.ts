/** Which leases and pools end without a call of the engine. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { LeaseEntry, PoolEntry } from '../../../ipam/records.ts'
import type { Cidr, Ip } from '../../../native/value/ip.ts'
import type { EndpointId, PoolId } from '../../../plugin-api/ids.ts'
import { created, scene } from '../../support/evidence.ts'
import { createNetwork, networkId } from '../../support/house.ts'

const poolId = '10.7.0.0-24' as PoolId
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
