/** What is kept of an address beside its lease: docs/adr/0006-ipam-kept-addresses.md. */
import type { Ip } from '../../../native/value/ip.ts'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryStore } from '../../../daemon/store/memory.ts'
import type { Hold, Release } from '../../../ipam/desk.ts'
import type { CommitOptions, Write } from '../../../ipam/store.ts'
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

const ip = (text: string): Ip => text as Ip

test('chosen: an address that was asked for by name is never given to who names none, also in the next daemon', async () => {
  const store = new MemoryStore()
  const before = await ipamOver(store)
  const { id } = await poolWithGateway(before, '10.90.0.0/29')
  await endpointAddress(before, id, 1, '10.90.0.4')
  assert.is(await before.releaseAddress(id, '10.90.0.4'), true)
  assert.equal(Object.keys(await records(store)), [
    'chosen/10.90.0.0-29/10.90.0.4',
    'lease/10.90.0.0-29/10.90.0.1',
    'pool/10.90.0.0-29',
  ])
  const ipam = await ipamOver(store)
  for (const last of [2, 3, 5, 6]) assert.is(await endpointAddress(ipam, id, last), `10.90.0.${last}/29`)
  const text = await refused(endpointAddress(ipam, id, 7), 'ADDRESSES_EXHAUSTED')
  assert.match(text, '10.90.0.0/29 has 6: 5 in use, 1 kept for those who chose them once, none free')
  assert.is(await endpointAddress(ipam, id, 8, '10.90.0.4'), '10.90.0.4/29', 'anybody may choose it again')
})

test('chosen: what an engine repeats makes no address a chosen one', async () => {
  const store = new MemoryStore()
  const ipam = await ipamOver(store)
  await ipam.engineStarted(client)
  const { id, subnet } = await poolWithGateway(ipam)
  await endpointAddress(ipam, id, 1)
  await endpointAddress(ipam, id, 2, '10.64.0.77')
  for (let life = 0; life < 20; life += 1) {
    await ipam.engineStarted(client)
    await ipam.requestPool(wish(subnet))
    await ipam.requestAddress(id, { purpose: 'gateway', address: '10.64.0.1' })
    for (const address of ['10.64.0.2', '10.64.0.77']) await ipam.requestAddress(id, { purpose: 'reserved', address })
  }
  assert.equal(Object.keys(await records(store, 'chosen/')), [`chosen/${id}/10.64.0.77`])
})

test('chosen: ends with its pool, and when an operator says so', async () => {
  const store = new MemoryStore()
  const ipam = await ipamOver(store)
  const { id } = await poolWithGateway(ipam, '10.90.0.0/30')
  await endpointAddress(ipam, id, 1, '10.90.0.2')
  await ipam.releaseAddress(id, '10.90.0.2')
  await refused(endpointAddress(ipam, id, 2), 'ADDRESSES_EXHAUSTED')
  assert.equal((await ipam.release({ address: ip('10.90.0.2'), force: false })).ended, ['chosen'])
  assert.is(await endpointAddress(ipam, id, 2), '10.90.0.2/30')
  await endpointAddress(ipam, id, 2, '10.90.0.2')
  await ipam.releasePool(id)
  assert.equal(await records(store), {})
})

/** Tells what each commit must survive. */
class NotingStore extends MemoryStore {
  readonly noted: string[] = []

  override async commit(writes: readonly Write[], options?: CommitOptions): Promise<void> {
    this.noted.push(options?.survives ?? 'power')
    await super.commit(writes)
  }
}

test('chosen: survives a power cut, from the first time on; leases of endpoints need not', async () => {
  const store = new NotingStore()
  const ipam = await ipamOver(store)
  const { id } = await poolWithGateway(ipam)
  store.noted.length = 0
  await endpointAddress(ipam, id, 1)
  await ipam.releaseAddress(id, '10.64.0.2')
  assert.equal(store.noted.splice(0), ['process', 'process'])
  await endpointAddress(ipam, id, 1, '10.64.0.9')
  await ipam.releaseAddress(id, '10.64.0.9')
  await endpointAddress(ipam, id, 1, '10.64.0.9')
  assert.equal(store.noted.splice(0), ['power', 'process', 'process'])
  await ipam.reserve(id, { address: ip('10.64.0.20') })
  await ipam.releaseAddress(id, '10.64.0.1')
  assert.equal(store.noted.splice(0), ['power', 'power'])
})

test('rest: an address is not given out for a minute, then in its turn; a full pool gives the eldest', async () => {
  let now = 1_000_000
  const store = new MemoryStore()
  const open = () => ipamOver(store, { now: () => now, restMs: 60_000 })
  let ipam = await open()
  const { id } = await poolWithGateway(ipam, '10.90.0.0/29')
  for (const last of [2, 3, 4, 5]) await endpointAddress(ipam, id, last)
  for (const last of [4, 2]) {
    now += 1000
    await ipam.releaseAddress(id, `10.90.0.${last}`)
  }
  ipam = await open()
  assert.is(await endpointAddress(ipam, id, 10), '10.90.0.6/29', 'the only one that does not rest')
  assert.is(await endpointAddress(ipam, id, 11), '10.90.0.4/29', 'the eldest')
  now += 60_000
  await ipam.releaseAddress(id, '10.90.0.3')
  assert.is(await endpointAddress(ipam, id, 12), '10.90.0.2/29', 'rested')
  assert.is(await endpointAddress(ipam, id, 13), '10.90.0.3/29')
  await refused(endpointAddress(ipam, id, 14), 'ADDRESSES_EXHAUSTED')
  assert.equal(await records(store, 'past/'), {}, 'whoever has one ends the memory of the one before')
})

test('rest: a clock that went back lets nothing rest for ever', async () => {
  const store = new MemoryStore()
  const before = await ipamOver(store, { now: () => 9_000_000, restMs: 60_000 })
  const { id } = await poolWithGateway(before, '10.90.0.0/29')
  await endpointAddress(before, id, 1)
  await before.releaseAddress(id, '10.90.0.2')
  let now = 1_000_000
  const ipam = await ipamOver(store, { now: () => now, restMs: 60_000 })
  for (const last of [3, 4, 5, 6]) assert.is(await endpointAddress(ipam, id, last), `10.90.0.${last}/29`)
  now += 60_000
  assert.is(ipam.pool(id)?.usage(now).resting, 0)
})

test('sticky: a MAC that comes again gets the address that it had, also from the next daemon', async () => {
  const store = new MemoryStore()
  const before = await ipamOver(store)
  const { id } = await poolWithGateway(before)
  for (const number of [1, 2, 3]) await endpointAddress(before, id, number)
  for (const last of [2, 3, 4]) await before.releaseAddress(id, `10.64.0.${last}`)
  const ipam = await ipamOver(store)
  assert.is(await endpointAddress(ipam, id, 2), '10.64.0.3/24')
  await endpointAddress(ipam, id, 9, '10.64.0.4')
  assert.is(await endpointAddress(ipam, id, 3), '10.64.0.5/24', 'somebody else has it')
  assert.is(await endpointAddress(ipam, id, 1), '10.64.0.2/24')
})

test('sticky: a MAC whose link is still going is waited for', async () => {
  const alive = new Set(['10.64.0.2'])
  const ipam = await ipamOver(new MemoryStore(), { inUse: (_, address) => alive.has(address) })
  const { id } = await poolWithGateway(ipam)
  await endpointAddress(ipam, id, 1)
  assert.is(await ipam.releaseAddress(id, '10.64.0.2'), false)
  setTimeout(() => {
    alive.clear()
  }, 50)
  assert.is(await endpointAddress(ipam, id, 1), '10.64.0.2/24')
})

test('sticky: a MAC whose link does not go gets another address', async () => {
  const ipam = await ipamOver(new MemoryStore(), { inUse: (_, address) => address === '10.64.0.2', patienceMs: 60 })
  const { id } = await poolWithGateway(ipam)
  await endpointAddress(ipam, id, 1)
  assert.is(await ipam.releaseAddress(id, '10.64.0.2'), false)
  assert.is(await endpointAddress(ipam, id, 1), '10.64.0.3/24')
})

test('reserve: for a MAC, with and without naming it; nobody else, also in the next daemon', async () => {
  const store = new MemoryStore()
  const before = await ipamOver(store)
  const { id } = await poolWithGateway(before, '10.90.0.0/29')
  await before.reserve(id, { address: ip('10.90.0.2'), mac: macOf(7), note: 'printer' })
  const ipam = await ipamOver(store)
  assert.is(await endpointAddress(ipam, id, 1), '10.90.0.3/29')
  const text = await refused(endpointAddress(ipam, id, 1, '10.90.0.2'), 'ADDRESS_IN_USE')
  assert.match(text, `is reserved for ${macOf(7)} (printer) since 2023`)
  assert.match(text, "'weft ipam release 10.90.0.2' ends that")
  assert.is(await endpointAddress(ipam, id, 7), '10.90.0.2/29')
  await ipam.releaseAddress(id, '10.90.0.2')
  assert.is(await endpointAddress(ipam, id, 7, '10.90.0.2'), '10.90.0.2/29')
  await ipam.releaseAddress(id, '10.90.0.2')
  for (const last of [4, 5, 6]) assert.is(await endpointAddress(ipam, id, last), `10.90.0.${last}/29`)
  assert.match(await refused(endpointAddress(ipam, id, 9), 'ADDRESSES_EXHAUSTED'), '5 in use, 1 reserved, none free')
})

test('reserve: without a MAC it is for whoever names it', async () => {
  const ipam = await ipamOver(new MemoryStore())
  const { id } = await poolWithGateway(ipam, '10.90.0.0/30')
  await ipam.reserve(id, { address: ip('10.90.0.2') })
  await refused(endpointAddress(ipam, id, 1), 'ADDRESSES_EXHAUSTED')
  assert.is(await endpointAddress(ipam, id, 1, '10.90.0.2'), '10.90.0.2/30')
})

test('reserve: refused for what is not to be had; whoever has an address keeps it', async () => {
  const ipam = await ipamOver(new MemoryStore())
  const { id } = await poolWithGateway(ipam, '10.90.0.0/24')
  await endpointAddress(ipam, id, 2)
  await ipam.requestAddress(id, { purpose: 'reserved', address: '10.90.0.9' })
  for (const last of ['0', '1', '9', '255']) {
    await refused(ipam.reserve(id, { address: ip(`10.90.0.${last}`) }), 'ADDRESS_IN_USE')
  }
  await refused(ipam.reserve(id, { address: ip('10.91.0.9') }), 'ADDRESS_OUT_OF_RANGE')
  await refused(ipam.reserve(id, { address: ip('10.90.0.2'), mac: macOf(3) }), 'ADDRESS_IN_USE')
  await ipam.reserve(id, { address: ip('10.90.0.2'), mac: macOf(2) })
  assert.match(
    await refused(ipam.reserve(id, { address: ip('10.90.0.30'), mac: macOf(2) }), 'MAC_RESERVED'),
    /has the reservation 10\.90\.0\.2 already: .*weft ipam release 10\.90\.0\.2/,
  )
  await ipam.reserve(id, { address: ip('10.90.0.2'), mac: macOf(2), note: 'again' })
  assert.is(ipam.pool(id)?.reservations.get(ip('10.90.0.2'))?.note, 'again')
  for (const other of [{ mac: macOf(3) }, {}]) {
    assert.match(
      await refused(ipam.reserve(id, { address: ip('10.90.0.2'), ...other }), 'ADDRESS_IN_USE'),
      /reserved for 02:42:00:00:00:02 \(again\) since .*'weft ipam release 10\.90\.0\.2' ends that/,
    )
  }
  await ipam.reserve(id, { address: ip('10.90.0.40') })
  await ipam.reserve(id, { address: ip('10.90.0.40'), mac: macOf(4) })
  assert.is(await endpointAddress(ipam, id, 4), '10.90.0.40/24', "one for whoever names it may become somebody's")
})

test('reserve: not for a MAC where the engine sends none', async () => {
  const ipam = await ipamOver(new MemoryStore(), { macless: () => true })
  const { id } = await poolWithGateway(ipam, '10.90.0.0/24')
  const text = await refused(ipam.reserve(id, { address: ip('10.90.0.9'), mac: macOf(1) }), 'MAC_REFUSED')
  assert.match(text, 'weft-bridge gets no MACs from the engine: leave --mac out')
  await ipam.reserve(id, { address: ip('10.90.0.9') })
})

test('rest: outside of the range nothing is given to who names no address, and nothing of it is free', async () => {
  const ipam = await ipamOver(new MemoryStore())
  const { id } = await poolWithGateway(ipam, '10.90.0.0/24', { subPool: '10.90.0.16/30' })
  await endpointAddress(ipam, id, 1, '10.90.0.99')
  // Its choice is ended by hand while it is in use: what is left is a lease like any other.
  await ipam.release({ address: ip('10.90.0.99'), force: false, heldBy: () => ({ why: 'is in use', hint: '' }) })
  await ipam.releaseAddress(id, '10.90.0.99')
  assert.equal(ipam.pool(id)?.usage(ipam.now).free, 3n)
  assert.is(await endpointAddress(ipam, id, 1), '10.90.0.17/24', 'also not to the MAC that had it')
  for (const last of [18, 19]) assert.is(await endpointAddress(ipam, id, last), `10.90.0.${last}/24`)
  await refused(endpointAddress(ipam, id, 20), 'ADDRESSES_EXHAUSTED')
})

test('rest: released while alive, and outside of the range: not for who names none', async () => {
  const ipam = await ipamOver(new MemoryStore(), { inUse: (_, address) => address === '10.90.0.99', patienceMs: 30 })
  const { id } = await poolWithGateway(ipam, '10.90.0.0/24', { subPool: '10.90.0.16/32' })
  await endpointAddress(ipam, id, 1, '10.90.0.99')
  await ipam.release({ address: ip('10.90.0.99'), force: false })
  assert.is(await ipam.releaseAddress(id, '10.90.0.99'), false)
  assert.match(await refused(endpointAddress(ipam, id, 1), 'ADDRESSES_EXHAUSTED'), 'has 1: 1 in use, none free')
})

test('figures: what lies outside of the range is told apart, and the rest adds up', async () => {
  const ipam = await ipamOver(new MemoryStore())
  const { id } = await poolWithGateway(ipam, '10.90.0.0/24', { subPool: '10.90.0.16/30' })
  for (const last of [100, 101, 102]) await endpointAddress(ipam, id, last, `10.90.0.${last}`)
  await ipam.releaseAddress(id, '10.90.0.102')
  await ipam.reserve(id, { address: ip('10.90.0.103') })
  await endpointAddress(ipam, id, 1)
  await ipam.reserve(id, { address: ip('10.90.0.18') })
  assert.equal(ipam.pool(id)?.usage(ipam.now), {
    ...{ size: 4n, free: 1n, leased: 2, chosen: 0, reserved: 1, resting: 0, outside: 2 },
  })
  await endpointAddress(ipam, id, 2)
  assert.match(
    await refused(endpointAddress(ipam, id, 3), 'ADDRESSES_EXHAUSTED'),
    '10.90.0.16/30 has 4: 3 in use, 1 reserved, none free',
  )
})

test('release by hand: ends a reservation, a choice, a rest, a lease; not one that is in use', async () => {
  const alive = new Set<string>()
  const store = new MemoryStore()
  const ipam = await ipamOver(store, { inUse: (_, address) => alive.has(address) })
  const { id } = await poolWithGateway(ipam, '10.90.0.0/29')
  const end = (address: string, more: Partial<Release> = {}) =>
    ipam.release({ address: ip(address), force: false, ...more })
  const heldBy = (): Hold => ({ why: 'is in use by container www', hint: 'remove it; --force' })
  assert.match(await refused(end('10.90.0.2'), 'ADDRESS_FREE'), "nothing keeps 10.90.0.2: 'weft ipam show 10.90.0.2'")
  await refused(end('10.91.0.2'), 'NO_SUCH_POOL')
  await endpointAddress(ipam, id, 2)
  await ipam.releaseAddress(id, '10.90.0.2')
  assert.equal((await end('10.90.0.2')).ended, ['rest'])
  await endpointAddress(ipam, id, 3, '10.90.0.3')
  await ipam.reserve(id, { address: ip('10.90.0.3') })
  assert.equal((await end('10.90.0.3', { heldBy })).ended, ['reservation', 'chosen'])
  const text = await refused(end('10.90.0.3', { heldBy }), 'ADDRESS_HELD')
  assert.match(text, /^10\.90\.0\.3 is in use by container www: .*--force/)
  alive.add('10.90.0.3')
  await refused(end('10.90.0.3'), 'ADDRESS_HELD')
  assert.equal((await end('10.90.0.3', { force: true })).ended, ['lease'])
  assert.equal(Object.keys(await records(store)), ['lease/10.90.0.0-29/10.90.0.1', 'pool/10.90.0.0-29'])
  assert.is(await endpointAddress(ipam, id, 9, '10.90.0.3'), '10.90.0.3/29')
})

test('hold: an address of the host, the same again for its owner, that no engine can take or release', async () => {
  const store = new MemoryStore()
  const before = await ipamOver(store)
  const { id } = await poolWithGateway(before, '10.90.0.0/29')
  const held = await before.hold(id, 'network/one')
  assert.is(held, '10.90.0.2')
  const ipam = await ipamOver(store)
  assert.is(await ipam.hold(id, 'network/one'), held)
  assert.is(await ipam.hold(id, 'network/two'), '10.90.0.3')
  assert.is(await ipam.releaseAddress(id, held), false)
  const text = await refused(endpointAddress(ipam, id, 1, held), 'ADDRESS_IN_USE')
  assert.match(text, "10.90.0.2 of 10.90.0.0/29 is the host's own address since")
  await refused(ipam.requestAddress(id, { purpose: 'reserved', address: held }), 'ADDRESS_IN_USE')
  await refused(ipam.hold(id, 'network/three', ip(held)), 'ADDRESS_IN_USE')
  await ipam.requestAddress(id, { purpose: 'reserved', address: '10.90.0.6' })
  assert.is(await ipam.hold(id, 'network/three', ip('10.90.0.6')), '10.90.0.6', 'an auxiliary address is for that')
  await ipam.letGo('network/one')
  assert.is(await endpointAddress(ipam, id, 1, held), '10.90.0.2/29')
  assert.equal(
    ipam
      .leases()
      .filter(({ purpose }) => purpose === 'host')
      .map(({ address, owner }) => [address, owner]),
    [['10.90.0.3', 'network/two']],
  )
  await ipam.releasePool(id)
  assert.equal(await records(store), {})
})

test('errors: name who has what, when somebody knows', async () => {
  const nameOf = (_: unknown, address?: Ip): string | undefined =>
    address === undefined ? 'network web' : address === '10.64.0.2' ? 'container www' : undefined
  const ipam = await ipamOver(new MemoryStore(), {
    nameOf,
    defaultPools: [{ base: '10.64.0.0/29' as never, size: 29 }],
  })
  const { id } = await poolWithGateway(ipam)
  for (const number of [2, 3, 4, 5, 6]) await endpointAddress(ipam, id, number)
  const full = await refused(endpointAddress(ipam, id, 7), 'ADDRESSES_EXHAUSTED')
  assert.match(
    full,
    /^no available addresses on this pool: 10\.64\.0\.0\/29 of network web has 6: 6 in use, none free; /,
  )
  assert.match(full, /longest: 10\.64\.0\.2 container www since 2023-[^,]+, 10\.64\.0\.3 an endpoint since /)
  assert.match(full, "'weft ipam check' finds what nobody uses")
  assert.match(
    await refused(endpointAddress(ipam, id, 9, '10.64.0.2'), 'ADDRESS_IN_USE'),
    'the address of container www since',
  )
  const pools = await refused(ipam.requestPool(wish()), 'POOLS_EXHAUSTED')
  assert.match(pools, '10.64.0.0/29 has network web')
  assert.match(await refused(ipam.requestPool(wish('10.64.0.0/30')), 'POOL_OVERLAP'), 'held by network web since')
})

test('errors: a route that covers the default pools is named', async () => {
  const avoid = ['10.0.0.0/8', '192.0.2.0/24', '0.0.0.0/1', '128.0.0.0/1'] as never[]
  const ipam = await ipamOver(new MemoryStore(), { avoid: () => avoid })
  assert.match(await refused(ipam.requestPool(wish()), 'POOLS_EXHAUSTED'), 'the largest: 10.0.0.0/8 is routed')
  const halves = await ipamOver(new MemoryStore(), { avoid: () => avoid.slice(1) })
  assert.is((await halves.requestPool(wish())).subnet, '10.64.0.0/24', 'the halves of a default route take nothing')
})

test('a failed commit: what is kept is as before, and the next request works', async () => {
  let now = 1_000_000
  const store = new FailingStore()
  const ipam = await ipamOver(store, { now: () => now })
  const { id } = await poolWithGateway(ipam, '10.90.0.0/24')
  for (const number of [2, 3]) await endpointAddress(ipam, id, number)
  await ipam.reserve(id, { address: ip('10.90.0.30'), mac: macOf(30) })
  const picture = (): unknown => {
    const pool = ipam.pool(id)
    const shelves = [pool?.leases, pool?.chosen, pool?.reservations, pool?.past]
    return [shelves.map(shelf => [...(shelf ?? [])].toSorted()), pool?.usage(now)]
  }
  const acts: readonly (() => Promise<unknown>)[] = [
    () => endpointAddress(ipam, id, 4, '10.90.0.9'),
    () => ipam.releaseAddress(id, '10.90.0.2'),
    () => endpointAddress(ipam, id, 2),
    () => endpointAddress(ipam, id, 30),
    () => ipam.reserve(id, { address: ip('10.90.0.40') }),
    () => ipam.release({ address: ip('10.90.0.40'), force: false }),
    () => ipam.hold(id, 'network/x'),
    () => ipam.letGo('network/x'),
  ]
  for (const act of acts) {
    now += 10
    const before = picture()
    store.failAt = store.commits
    try {
      await act()
      assert.unreachable('was committed')
    } catch (cause) {
      assert.match(cause instanceof Error ? cause.message : '', /commit \d+ fails/)
    }
    assert.equal(picture(), before)
    await act()
    assert.not.equal(picture(), before)
  }
})

test.run()
