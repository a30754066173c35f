/** Addresses that the engine releases while their endpoint is still there: after it was killed, or late. */
import type { Ipam, IpamOptions } from '../../../ipam/ipam.ts'
import type { Cidr, Ip } from '../../../native/value/ip.ts'
import type { PoolId } from '../../../plugin-api/ids.ts'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryStore } from '../../../daemon/store/memory.ts'
import { eventually } from '../../support/lab/eventually.ts'
import { endpointAddress, FailingStore, ipamOver, macOf, poolWithGateway, records, refused, wish } from './house.ts'

/** A pool with one endpoint, 10.64.0.2, whose link stands although the engine has forgotten it and released its address. */
async function forgotten(more: Partial<IpamOptions> = {}): Promise<{
  readonly ipam: Ipam
  readonly store: FailingStore
  readonly id: PoolId
  readonly alive: Set<string>
  /** Times that `inUse` was asked about it. */
  readonly asked: () => number
}> {
  const alive = new Set(['10.64.0.2'])
  const store = new FailingStore()
  let asked = 0
  const inUse = (_: unknown, address: string): boolean => {
    asked += 1
    return alive.has(address)
  }
  const ipam = await ipamOver(store, { inUse, ...more })
  const { id } = await poolWithGateway(ipam)
  await endpointAddress(ipam, id, 1)
  assert.is(await ipam.releaseAddress(id, '10.64.0.2'), false)
  return { ipam, store, id, alive, asked: () => asked }
}

for (const mac of [1, 2]) {
  test(`released while alive: the next request waits for its end, ${mac === 1 ? 'same' : 'new'} MAC`, async () => {
    const { ipam, store, id, alive, asked } = await forgotten()
    const before = await records(store)
    const commits = store.commits
    const granted = endpointAddress(ipam, id, mac, '10.64.0.2')
    const looks = asked()
    await eventually('two more looks', () => asked() > looks + 2)
    assert.equal(await records(store), before, 'nothing is promised while it lives')
    assert.is(await endpointAddress(ipam, id, 9), '10.64.0.3/24', 'others are served meanwhile')
    alive.clear()
    assert.is(await granted, '10.64.0.2/24')
    assert.is(store.commits, commits + 2, 'one commit for each')
    const lease = ipam.leases().find(({ address }) => address === '10.64.0.2')
    assert.is(lease?.mac, macOf(mac))
    const { pool, address, ...record } = lease ?? {}
    assert.equal((await records(store))[`lease/${pool}/${address}`], record)
    assert.equal(await ipam.endReleased(['10.64.0.2' as Ip]), [], 'the new lease is not the one that was released')
    await refused(endpointAddress(ipam, id, 3, '10.64.0.2'), 'ADDRESS_IN_USE')
  })
}

test('released while alive: of several requests one has it', async () => {
  const { ipam, id, alive, asked } = await forgotten()
  const all = Promise.allSettled([2, 3, 4].map(number => endpointAddress(ipam, id, number, '10.64.0.2')))
  const looks = asked()
  await eventually('a look of each', () => asked() > looks + 3)
  alive.clear()
  assert.equal((await all).map(({ status }) => status).toSorted(), ['fulfilled', 'rejected', 'rejected'])
})

test('released while alive: whoever waits too long is refused, and its holder keeps it', async () => {
  const { ipam, store, id } = await forgotten({ patienceMs: 60 })
  const before = await records(store)
  const text = await refused(endpointAddress(ipam, id, 2, '10.64.0.2'), 'ADDRESS_IN_USE')
  assert.match(text, 'Address already in use: 10.64.0.2 of 10.64.0.0/24 is the address of an endpoint')
  assert.equal(await records(store), before)
})

test('released while alive: an address that nobody released is refused at once', async () => {
  const { ipam, id, alive, asked } = await forgotten()
  await endpointAddress(ipam, id, 2)
  alive.add('10.64.0.3')
  const looks = asked()
  await refused(endpointAddress(ipam, id, 3, '10.64.0.3'), 'ADDRESS_IN_USE')
  assert.is(asked(), looks)
})

test('released while alive: ends with its endpoint, and no other lease does', async () => {
  const { ipam, store, id, alive } = await forgotten()
  await endpointAddress(ipam, id, 2)
  const both = ['10.64.0.2', '10.64.0.3', '10.64.0.2'] as Ip[]
  assert.equal(await ipam.endReleased(both), [], 'it lives')
  alive.clear()
  store.failAt = store.commits
  try {
    await ipam.endReleased(both)
    assert.unreachable('was committed')
  } catch (cause) {
    assert.match(cause instanceof Error ? cause.message : '', /commit \d+ fails/)
  }
  assert.equal(await ipam.endReleased(both), ['10.64.0.2'])
  assert.equal(await ipam.endReleased(both), [])
  const held = ['10.64.0.1', '10.64.0.3'].map(address => `lease/${id}/${address}`)
  assert.equal(Object.keys(await records(store, 'lease/')), held)
  assert.is(await endpointAddress(ipam, id, 3, '10.64.0.2'), '10.64.0.2/24')
})

test('released while alive: forgotten when an engine that begins repeats its grant', async () => {
  const { ipam, id, alive } = await forgotten()
  await ipam.engineStarted('weft-bridge')
  assert.is(await ipam.requestAddress(id, { purpose: 'reserved', address: '10.64.0.2' }), '10.64.0.2/24')
  await refused(endpointAddress(ipam, id, 2, '10.64.0.2'), 'ADDRESS_IN_USE')
  alive.clear()
  assert.equal(await ipam.endReleased(['10.64.0.2' as Ip]), [])
  assert.is(ipam.leases().find(({ address }) => address === '10.64.0.2')?.mac, macOf(1))
})

test('released while alive: a failed commit leaves the old lease, released as it was', async () => {
  const { ipam, store, id, alive } = await forgotten()
  const before = { records: await records(store), leases: ipam.leases() }
  alive.clear()
  store.failAt = store.commits
  try {
    await endpointAddress(ipam, id, 2, '10.64.0.2')
    assert.unreachable('was granted')
  } catch (cause) {
    assert.match(cause instanceof Error ? cause.message : '', /commit \d+ fails/)
  }
  assert.equal({ records: await records(store), leases: ipam.leases() }, before)
  assert.is(await endpointAddress(ipam, id, 2, '10.64.0.2'), '10.64.0.2/24')
})

test('released while alive: a full pool gives it to the next that asks for any', async () => {
  const alive = new Set<string>()
  const more = { inUse: (_: unknown, address: string) => alive.has(address), patienceMs: 60 }
  const ipam = await ipamOver(new MemoryStore(), more)
  const { id } = await poolWithGateway(ipam, '10.90.0.0/29')
  for (const number of [1, 2, 3, 4, 5]) await endpointAddress(ipam, id, number)
  for (const address of ['10.90.0.3', '10.90.0.5']) {
    alive.add(address)
    assert.is(await ipam.releaseAddress(id, address), false)
  }
  await refused(endpointAddress(ipam, id, 6), 'ADDRESSES_EXHAUSTED')
  alive.delete('10.90.0.5')
  assert.is(await endpointAddress(ipam, id, 6), '10.90.0.5/29')
  await refused(endpointAddress(ipam, id, 7), 'ADDRESSES_EXHAUSTED')
  alive.clear()
  assert.is(await endpointAddress(ipam, id, 7), '10.90.0.3/29')
})

test('endGrant: ends what the engine could not release before it gave the network up', async () => {
  const { ipam, store, id, alive } = await forgotten()
  const grants = ipam.grantsOf(['10.64.0.0/24' as Cidr])
  assert.is(await ipam.releaseAddress(id, '10.64.0.1'), false)
  assert.is(await ipam.releasePool(id), false)
  for (const grant of grants) assert.is(await ipam.endGrant(grant), false, 'an endpoint is alive')
  alive.clear()
  for (const grant of grants) assert.is(await ipam.endGrant(grant), true)
  assert.equal(await records(store), {})
  assert.equal(ipam.leases(), [])
  await ipam.requestPool(wish('10.64.0.0/24'))
  for (const grant of grants) assert.is(await ipam.endGrant(grant), false, 'it is a later grant')
})

test('released while alive: forgotten with its pool; the same address in a later one is another', async () => {
  const { ipam, store, id, alive } = await forgotten()
  alive.clear()
  assert.is(await ipam.releasePool(id), true)
  await poolWithGateway(ipam, '10.64.0.0/24')
  await endpointAddress(ipam, id, 2, '10.64.0.2')
  assert.equal(await ipam.endReleased(['10.64.0.2' as Ip]), [])
  assert.equal(Object.keys(await records(store, 'lease/')), [`lease/${id}/10.64.0.1`, `lease/${id}/10.64.0.2`])
})

test.run()
