/** What an engine repeats when it starts, and what only looks like it. docs/adr/0003-ipam-replay.md */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryStore } from '../../../daemon/store/memory.ts'
import type { Cidr } from '../../../native/value/ip.ts'
import { poolIdOf } from '../../../ipam/records.ts'
import type { Ipam, IpamOptions } from '../../../ipam/ipam.ts'
import {
  client,
  endpointAddress,
  FailingStore,
  ipamOver,
  macOf,
  poolWithGateway,
  records,
  refused,
  wish,
} from './house.ts'

test('restore: pools, leases and the place where allocation goes on are as before', async () => {
  const store = new MemoryStore()
  const before = await ipamOver(store)
  const { id } = await poolWithGateway(before, '10.88.0.0/16', { subPool: '10.88.4.0/24' })
  await before.requestAddress(id, { purpose: 'reserved', address: '10.88.9.9' })
  for (const number of [1, 2, 3]) await endpointAddress(before, id, number)
  await before.releaseAddress(id, '10.88.4.2')
  const after = await ipamOver(store)
  assert.equal(after.pools(), before.pools())
  assert.equal(new Set(after.leases()), new Set(before.leases()))
  assert.is(await endpointAddress(after, id, 4), '10.88.4.4/16', 'not the one released last')
  await refused(endpointAddress(after, id, 5, '10.88.9.9'), 'ADDRESS_IN_USE')
  await refused(endpointAddress(after, id, 5, '10.88.4.0'), 'ADDRESS_IN_USE')
})

test('restore: times of grants go on growing, whatever the clock says', async () => {
  const store = new MemoryStore()
  const before = await ipamOver(store, { now: () => 2000 })
  const { id } = await poolWithGateway(before)
  const after = await ipamOver(store, { now: () => 1000 })
  await endpointAddress(after, id, 1)
  const times = after.leases().map(({ at }) => at)
  assert.equal(
    times,
    [...new Set(times)].sort((one, other) => one - other),
  )
})

test("restore: a lease without its pool is nobody's", async () => {
  const store = new MemoryStore()
  await store.commit([{ key: 'lease/10.1.0.0-16/10.1.0.9', value: { purpose: 'endpoint', at: 5 } }])
  const ipam = await ipamOver(store)
  assert.equal(ipam.leases(), [])
  assert.equal(await records(store), {})
})

test('replay: engine stopped and started, as recorded (26.1-engine-restart-running-container)', async () => {
  const store = new MemoryStore()
  const ipam = await ipamOver(store)
  await ipam.engineStarted(client)
  const { id, subnet } = await poolWithGateway(ipam)
  assert.is(await endpointAddress(ipam, id, 1), '10.64.0.2/24')
  await ipam.releaseAddress(id, '10.64.0.2')
  const before = await records(store, 'lease/')

  await ipam.engineStarted(client)
  const again = await ipam.requestPool(wish(subnet))
  assert.is(again.id, id)
  assert.is(again.automatic, true)
  assert.is(await ipam.requestAddress(id, { purpose: 'gateway', address: '10.64.0.1' }), '10.64.0.1/24')
  assert.equal(await records(store, 'lease/'), before, 'a replay changes no lease')
  assert.is(await endpointAddress(ipam, id, 2), '10.64.0.3/24')
})

test('replay: engine killed; the address of a stored endpoint comes again without a MAC, and is released', async () => {
  const ipam = await ipamOver(new MemoryStore())
  await ipam.engineStarted(client)
  const { id, subnet } = await poolWithGateway(ipam)
  await endpointAddress(ipam, id, 1)

  await ipam.engineStarted(client)
  await ipam.requestPool(wish(subnet))
  await ipam.requestAddress(id, { purpose: 'gateway', address: '10.64.0.1' })
  assert.is(await ipam.requestAddress(id, { purpose: 'reserved', address: '10.64.0.2' }), '10.64.0.2/24')
  assert.is(ipam.leases().find(({ address }) => address === '10.64.0.2')?.purpose, 'endpoint')
  await refused(endpointAddress(ipam, id, 2, '10.64.0.2'), 'ADDRESS_IN_USE')
  assert.is(await ipam.releaseAddress(id, '10.64.0.2'), true)
  assert.is(await endpointAddress(ipam, id, 2), '10.64.0.3/24')
})

test('replay: live-restore; the address of a running container stays its own', async () => {
  const alive = new Set<string>()
  const ipam = await ipamOver(new MemoryStore(), { inUse: (_, address) => alive.has(address) })
  await ipam.engineStarted(client)
  const { id, subnet } = await poolWithGateway(ipam)
  await endpointAddress(ipam, id, 1)
  alive.add('10.64.0.2')

  await ipam.engineStarted(client)
  await ipam.requestPool(wish(subnet))
  await ipam.requestAddress(id, { purpose: 'gateway', address: '10.64.0.1' })
  await ipam.requestAddress(id, { purpose: 'reserved', address: '10.64.0.2' })
  assert.is(ipam.leases().length, 2)
  assert.is(await endpointAddress(ipam, id, 2), '10.64.0.3/24')
})

test('replay: works across a restart of the daemon, in either order', async () => {
  const store = new MemoryStore()
  let ipam = await ipamOver(store)
  await ipam.engineStarted(client)
  const { subnet, id } = await poolWithGateway(ipam, '10.88.0.0/16', { subPool: '10.88.1.0/24', options: { k: 'v' } })
  const repeat = wish('10.88.0.0/16', { subPool: '10.88.1.0/24', options: { k: 'v' } })

  ipam = await ipamOver(store)
  await refused(ipam.requestPool(repeat), 'POOL_OVERLAP')
  await ipam.engineStarted(client)
  ipam = await ipamOver(store)
  assert.is((await ipam.requestPool(repeat)).id, id)
  ipam = await ipamOver(store)
  await refused(ipam.requestPool(repeat), 'POOL_OVERLAP')
  assert.is(ipam.pools()[0]?.subnet, subnet)
})

test('replay: two networks with one subnet in one life of the engine are not taken for a replay', async () => {
  const ipam = await ipamOver(new MemoryStore())
  await ipam.engineStarted(client)
  await poolWithGateway(ipam, '10.90.0.0/24')
  await refused(ipam.requestPool(wish('10.90.0.0/24')), 'POOL_OVERLAP')
  await ipam.engineStarted(client)
  await ipam.requestPool(wish('10.90.0.0/24'))
  await refused(ipam.requestPool(wish('10.90.0.0/24')), 'POOL_OVERLAP')
})

test('replay: only the same subnet, range, options and driver are a replay', async () => {
  const ipam = await ipamOver(new MemoryStore())
  const options = { k: 'v' }
  await ipam.requestPool(wish('10.90.0.0/16', { subPool: '10.90.1.0/24', options }))
  await ipam.engineStarted(client)
  await ipam.engineStarted('weft-ipam')
  for (const other of [
    wish('10.90.0.0/16', { options }),
    wish('10.90.0.0/17', { subPool: '10.90.1.0/24', options }),
    wish('10.90.0.0/16', { subPool: '10.90.2.0/24', options }),
    wish('10.90.0.0/16', { subPool: '10.90.1.0/24' }),
    wish('10.90.0.0/16', { subPool: '10.90.1.0/24', options: { k: 'w' } }),
    wish('10.90.0.0/16', { subPool: '10.90.1.0/24', options: { k: 'v', l: 'v' } }),
    wish('10.90.0.0/16', { subPool: '10.90.1.0/24', options, client: 'weft-ipam' }),
  ]) {
    await refused(ipam.requestPool(other), 'POOL_OVERLAP')
  }
  await ipam.requestPool(wish('10.90.0.0/16', { subPool: '10.90.1.0/24', options }))
})

test('replay: a pool whose network was lost with its engine can be requested again', async () => {
  const ipam = await ipamOver(new MemoryStore())
  await ipam.engineStarted(client)
  const { id } = await poolWithGateway(ipam, '10.90.0.0/24')
  // The engine died before it wrote the network down; its user creates it once more.
  await ipam.engineStarted(client)
  assert.is((await ipam.requestPool(wish('10.90.0.0/24'))).id, id)
  assert.is(await ipam.requestAddress(id, { purpose: 'gateway' }), '10.90.0.1/24')
})

test('replay: a pool that was written down, but perhaps not answered, can be requested once more', async () => {
  const store = new MemoryStore()
  let ipam = await ipamOver(store)
  await ipam.engineStarted(client)
  await poolWithGateway(ipam, '10.80.0.0/24')
  await ipam.requestPool(wish('10.90.0.0/24'))

  ipam = await ipamOver(store)
  await refused(ipam.requestPool(wish('10.80.0.0/24')), 'POOL_OVERLAP')
  await ipam.requestPool(wish('10.90.0.0/24'))
  await refused(ipam.requestPool(wish('10.90.0.0/24')), 'POOL_OVERLAP')
  await ipam.requestAddress((await ipam.requestPool(wish('10.91.0.0/24'))).id, { purpose: 'gateway' })

  ipam = await ipamOver(store)
  await refused(ipam.requestPool(wish('10.90.0.0/24')), 'POOL_OVERLAP')
  await refused(ipam.requestPool(wish('10.91.0.0/24')), 'POOL_OVERLAP')
})

test('replay: a pool that was not answered, but used or ended since, cannot be requested once more', async () => {
  const [pool, id] = [wish('10.90.0.0/24'), poolIdOf('10.90.0.0/24' as Cidr, undefined)]
  const begun = async (more: Partial<IpamOptions> = {}): Promise<Ipam> => {
    const store = new MemoryStore()
    await (await ipamOver(store)).requestPool(pool)
    return ipamOver(store, more)
  }
  const used = await begun()
  await endpointAddress(used, id, 1)
  await refused(used.requestPool(pool), 'POOL_OVERLAP')
  await used.releaseAddress(id, '10.90.0.1')
  await refused(used.requestPool(pool), 'POOL_OVERLAP')
  assert.is(used.unanswered, undefined)

  const ended = await begun()
  await ended.releasePool(id)
  await ended.requestPool(pool)
  await refused(ended.requestPool(pool), 'POOL_OVERLAP')

  const made = await begun({ isMade: () => true })
  await refused(made.requestPool(pool), 'POOL_OVERLAP')
  assert.is(made.unanswered, undefined)
})

test('replay: a pool that could not be repeated, for the commit failed, can be requested still', async () => {
  const store = new FailingStore()
  await (await ipamOver(store)).requestPool(wish('10.90.0.0/24'))
  const ipam = await ipamOver(store)
  store.failAt = store.commits
  try {
    await ipam.requestPool(wish('10.90.0.0/24'))
    assert.unreachable('was committed')
  } catch (cause) {
    assert.match(cause instanceof Error ? cause.message : '', /commit \d+ fails/)
  }
  await ipam.requestPool(wish('10.90.0.0/24'))
})

test('replay: after the records were lost the engine brings them back, under the same id', async () => {
  const first = await ipamOver(new MemoryStore())
  const { id } = await poolWithGateway(first, '10.90.0.0/24')
  await endpointAddress(first, id, 1)

  const ipam = await ipamOver(new MemoryStore())
  await ipam.engineStarted(client)
  assert.is((await ipam.requestPool(wish('10.90.0.0/24'))).id, id)
  assert.is(await ipam.requestAddress(id, { purpose: 'gateway', address: '10.90.0.1' }), '10.90.0.1/24')
  assert.is(await ipam.requestAddress(id, { purpose: 'reserved', address: '10.90.0.2' }), '10.90.0.2/24')
  assert.is(await endpointAddress(ipam, id, 2), '10.90.0.3/24')
  await refused(endpointAddress(ipam, id, 2, '10.90.0.2'), 'ADDRESS_IN_USE')
  assert.is(await ipam.releaseAddress(id, '10.90.0.2'), true)
})

test('replay: an endpoint proves itself by its MAC', async () => {
  const ipam = await ipamOver(new MemoryStore())
  const { id } = await poolWithGateway(ipam)
  await endpointAddress(ipam, id, 1, '10.64.0.50')
  assert.is(await endpointAddress(ipam, id, 1, '10.64.0.50'), '10.64.0.50/24')
  await refused(endpointAddress(ipam, id, 2, '10.64.0.50'), 'ADDRESS_IN_USE')
  await refused(ipam.requestAddress(id, { purpose: 'endpoint', address: '10.64.0.50' }), 'ADDRESS_IN_USE')
  await refused(ipam.requestAddress(id, { purpose: 'gateway', address: '10.64.0.50', mac: macOf(1) }), 'ADDRESS_IN_USE')
  assert.is(await endpointAddress(ipam, id, 1), '10.64.0.2/24', 'without an address it is a new request')

  await ipam.requestAddress(id, { purpose: 'endpoint', address: '10.64.0.60' })
  await refused(ipam.requestAddress(id, { purpose: 'endpoint', address: '10.64.0.60' }), 'ADDRESS_IN_USE')
})

test('replay: a pool that the next life of the engine does not repeat is known, unless a container has an address in it', async () => {
  const ipam = await ipamOver(new MemoryStore())
  await ipam.engineStarted(client)
  const [repeated, used, lost] = [
    await poolWithGateway(ipam, '10.90.0.0/24'),
    await poolWithGateway(ipam, '10.91.0.0/24'),
    await poolWithGateway(ipam, '10.92.0.0/24'),
  ]
  await endpointAddress(ipam, used.id, 1)
  assert.equal(ipam.unrepeated, [])
  await ipam.engineStarted(client)
  await ipam.requestPool(wish('10.90.0.0/24'))
  const ids = ipam.unrepeated.map(({ id }) => id)
  assert.equal([ids.includes(repeated.id), ids], [false, [lost.id]])
  for (const pool of ipam.unrepeated) assert.is(await ipam.dropPool(pool), true)
  assert.equal(ipam.unrepeated, [])
})

test.run()
