import type { IpamOptions } from '../../../ipam/ipam.ts'
import type { Cidr } from '../../../native/value/ip.ts'
import type { PoolId } from '../../../plugin-api/ids.ts'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryStore } from '../../../daemon/store/memory.ts'
import { contains, overlaps } from '../../../native/value/ip.ts'
import { endpointAddress, FailingStore, ipamOver, macOf, poolWithGateway, records, refused, wish } from './house.ts'

test('requestPool: a named one is as it was named', async () => {
  const store = new MemoryStore()
  const ipam = await ipamOver(store)
  const pool = await ipam.requestPool(wish('10.88.0.0/16', { subPool: '10.88.4.0/24', options: { k: 'v' } }))
  assert.is(pool.subnet, '10.88.0.0/16')
  assert.is(pool.id, '10.88.0.0-16+10.88.4.0-24')
  assert.equal(await records(store), {
    'pool/10.88.0.0-16+10.88.4.0-24': {
      subnet: '10.88.0.0/16',
      range: '10.88.4.0/24',
      automatic: false,
      family: 4,
      options: { k: 'v' },
      client: 'weft-bridge',
      session: 0,
      at: 1_700_000_000_000,
    },
  })
})

const badPools: readonly (readonly [
  pool: string | undefined,
  subPool: string | undefined,
  code: string,
  text: string,
])[] = [
  ['nonsense', undefined, 'BAD_POOL', 'invalid address pool: "nonsense" is not ADDRESS/LENGTH'],
  ['10.0.0.0', undefined, 'BAD_POOL', 'invalid address pool'],
  ['10.0.0.0/33', undefined, 'BAD_POOL', 'invalid address pool'],
  ['', undefined, 'BAD_POOL', 'invalid address pool'],
  ['10.0.0.1/24', undefined, 'BAD_POOL', 'invalid subnet 10.0.0.1/24: it should be 10.0.0.0/24'],
  ['fd00::1/64', undefined, 'BAD_POOL', 'invalid subnet fd00::1/64: it should be fd00::/64'],
  ['0.0.0.0/0', undefined, 'BAD_POOL', 'invalid address pool: 0.0.0.0/0 is the whole address space'],
  [undefined, '10.0.0.0/24', 'BAD_SUBPOOL', 'invalid address subpool: 10.0.0.0/24 needs a pool around it'],
  ['10.0.0.0/16', 'nonsense', 'BAD_SUBPOOL', 'invalid address subpool'],
  ['10.0.0.0/16', '10.1.0.0/24', 'BAD_SUBPOOL', 'invalid address subpool: 10.1.0.0/24 is not inside of 10.0.0.0/16'],
  ['10.0.0.0/16', '10.0.0.0/15', 'BAD_SUBPOOL', 'invalid address subpool'],
  ['10.0.0.0/16', '10.0.0.1/24', 'BAD_SUBPOOL', 'invalid address subpool: 10.0.0.1/24 should be 10.0.0.0/24'],
  ['10.0.0.0/16', 'fd00::/64', 'BAD_POOL', 'pool and subpool are of incompatible address families'],
  ['0.0.0.0/28', '10.0.0.0/30', 'BAD_SUBPOOL', 'invalid address subpool'],
]
for (const [pool, subPool, code, text] of badPools) {
  test(`requestPool: ${String(pool)}${subPool === undefined ? '' : ` with ${subPool}`} is refused`, async () => {
    const store = new MemoryStore()
    const ipam = await ipamOver(store)
    assert.match(await refused(ipam.requestPool(wish(pool, subPool === undefined ? {} : { subPool })), code), text)
    assert.equal(await records(store), {})
  })
}

for (const [held, asked] of [
  ['10.90.0.0/24', '10.90.0.0/24'],
  ['10.90.0.0/16', '10.90.7.0/24'],
  ['10.90.7.0/24', '10.90.0.0/16'],
  ['fd00::/48', 'fd00:0:0:1::/64'],
] as const) {
  test(`requestPool: ${asked} beside ${held} overlaps`, async () => {
    const ipam = await ipamOver(new MemoryStore())
    await ipam.requestPool(wish(held))
    const text = await refused(ipam.requestPool(wish(asked)), 'POOL_OVERLAP')
    assert.match(text, /^Pool overlaps with other one on this address space: /)
    assert.match(text, `${asked} meets ${held}, held since 2023-11-14T22:13:20.000Z`)
    await ipam.releasePool((await ipam.requestPool(wish('10.1.0.0/16'))).id)
    await ipam.requestPool(wish('10.1.0.0/16'))
  })
}

test('requestPool: the same subnet with another range overlaps', async () => {
  const ipam = await ipamOver(new MemoryStore())
  await ipam.requestPool(wish('10.90.0.0/24'))
  await refused(ipam.requestPool(wish('10.90.0.0/24', { subPool: '10.90.0.128/25' })), 'POOL_OVERLAP')
})

test('requestPool: unnamed ones are never the same twice, and end', async () => {
  const ipam = await ipamOver(new MemoryStore(), { defaultPools: [{ base: '10.64.0.0/20' as Cidr, size: 24 }] })
  const pools: Cidr[] = []
  for (let count = 0; count < 16; count += 1) pools.push((await ipam.requestPool(wish())).subnet)
  assert.is(new Set(pools).size, 16)
  assert.is(pools[0], '10.64.0.0/24')
  const text = await refused(ipam.requestPool(wish()), 'POOLS_EXHAUSTED')
  assert.match(text, /^all predefined address pools have been fully subnetted: /)
  assert.match(text, 'no /24 of 10.64.0.0/20 is free beside 16 pools')
  await ipam.releasePool('10.64.3.0-24' as PoolId)
  assert.is((await ipam.requestPool(wish())).subnet, '10.64.3.0/24')
})

test('requestPool: unnamed ones keep clear of named ones and of the host', async () => {
  const avoid = ['10.64.1.0/24', '10.64.4.16/28', '0.0.0.0/0', 'fe80::/64'] as Cidr[]
  const ipam = await ipamOver(new MemoryStore(), { avoid: () => avoid })
  await ipam.requestPool(wish('10.64.2.0/23'))
  const pools = await Promise.all([1, 2, 3].map(() => ipam.requestPool(wish())))
  assert.equal(
    pools.map(({ subnet }) => subnet),
    ['10.64.0.0/24', '10.64.5.0/24', '10.64.6.0/24'],
  )
  assert.ok(pools.every(({ automatic }) => automatic))
})

test('requestPool: IPv6 comes from one ULA /48 of this installation', async () => {
  const store = new MemoryStore()
  const ipam = await ipamOver(store)
  const first = await ipam.requestPool(wish(undefined, { family: 6 }))
  assert.match(first.subnet, /^fd[0-9a-f:]+\/64$/)
  const { base } = (await records(store))['ipam/ula'] as { base: Cidr }
  assert.ok(contains(base, first.subnet))
  assert.match(base, /\/48$/)
  const again = await ipamOver(store)
  const second = await again.requestPool(wish(undefined, { family: 6 }))
  assert.ok(contains(base, second.subnet))
  assert.not(overlaps(first.subnet, second.subnet))

  const other = await (await ipamOver(new MemoryStore())).requestPool(wish(undefined, { family: 6 }))
  assert.not(contains(base, other.subnet), 'another installation has another one')
})

test('requestPool: configured IPv6 pools come instead of the ULA', async () => {
  const store = new MemoryStore()
  const ipam = await ipamOver(store, { defaultPools: [{ base: 'fd11:22::/63' as Cidr, size: 64 }] })
  assert.is((await ipam.requestPool(wish(undefined, { family: 6 }))).subnet, 'fd11:22::/64')
  await ipam.requestPool(wish(undefined, { family: 6 }))
  await refused(ipam.requestPool(wish(undefined, { family: 6 })), 'POOLS_EXHAUSTED')
  assert.match(await refused(ipam.requestPool(wish()), 'POOLS_EXHAUSTED'), 'no default pool for IPv4')
  assert.is((await records(store))['ipam/ula'], undefined)
})

test('requestPool: an unspecified address stands for a prefix length', async () => {
  const ipam = await ipamOver(new MemoryStore(), {
    defaultPools: [
      { base: '10.64.0.0/16' as Cidr, size: 24 },
      { base: 'fd11::/48' as Cidr, size: 64 },
    ],
  })
  assert.is((await ipam.requestPool(wish('0.0.0.0/28'))).subnet, '10.64.0.0/28')
  assert.is((await ipam.requestPool(wish('0.0.0.0/28'))).subnet, '10.64.0.16/28')
  assert.is((await ipam.requestPool(wish())).subnet, '10.64.1.0/24')
  assert.is((await ipam.requestPool(wish('::/80', { family: 6 }))).subnet, 'fd11::/80')
  assert.is((await ipam.requestPool(wish('::/80'))).subnet, 'fd11::1:0:0:0/80')
  assert.match(
    await refused(ipam.requestPool(wish('0.0.0.0/8')), 'POOLS_EXHAUSTED'),
    'no default pool for IPv4 of that size',
  )
})

test("requestAddress: gateway first, then one after the other, with the pool's length", async () => {
  const store = new MemoryStore()
  const ipam = await ipamOver(store)
  const { id } = await ipam.requestPool(wish('10.88.0.0/16'))
  assert.is(await ipam.requestAddress(id, { purpose: 'gateway' }), '10.88.0.1/16')
  assert.is(await endpointAddress(ipam, id, 1), '10.88.0.2/16')
  assert.is(await endpointAddress(ipam, id, 2), '10.88.0.3/16')
  await ipam.releaseAddress(id, '10.88.0.2')
  assert.is(await endpointAddress(ipam, id, 3), '10.88.0.4/16')
  assert.equal(await records(store, 'lease/'), {
    'lease/10.88.0.0-16/10.88.0.1': { purpose: 'gateway', at: 1_700_000_000_001 },
    'lease/10.88.0.0-16/10.88.0.3': { purpose: 'endpoint', mac: macOf(2), at: 1_700_000_000_003 },
    'lease/10.88.0.0-16/10.88.0.4': { purpose: 'endpoint', mac: macOf(3), at: 1_700_000_000_004 },
  })
})

test('requestAddress: with a range, gateway and auxiliary addresses may lie outside of it', async () => {
  const ipam = await ipamOver(new MemoryStore())
  const { id } = await ipam.requestPool(wish('10.88.0.0/16', { subPool: '10.88.4.8/29' }))
  assert.is(await ipam.requestAddress(id, { purpose: 'gateway', address: '10.88.0.1' }), '10.88.0.1/16')
  assert.is(await ipam.requestAddress(id, { purpose: 'reserved', address: '10.88.4.9' }), '10.88.4.9/16')
  const granted = []
  for (let number = 0; number < 7; number += 1) granted.push(await endpointAddress(ipam, id, number))
  assert.equal(
    granted,
    [8, 10, 11, 12, 13, 14, 15].map(last => `10.88.4.${last}/16`),
  )
  const text = await refused(endpointAddress(ipam, id, 8), 'ADDRESSES_EXHAUSTED')
  assert.match(text, /^no available addresses on this pool: .*10\.88\.4\.8\/29/)
  assert.is(await endpointAddress(ipam, id, 8, '10.88.9.9'), '10.88.9.9/16', 'by name it may be outside')
})

for (const [subnet, expected] of [
  ['10.0.0.4/31', ['10.0.0.4/31', '10.0.0.5/31']],
  ['fd00::4/127', ['fd00::4/127', 'fd00::5/127']],
  ['10.0.0.4/30', ['10.0.0.5/30', '10.0.0.6/30']],
  ['fd00::/126', ['fd00::1/126', 'fd00::2/126', 'fd00::3/126']],
] as const) {
  test(`requestAddress: ${subnet} has ${expected.length} addresses`, async () => {
    const ipam = await ipamOver(new MemoryStore())
    const { id } = await ipam.requestPool(wish(subnet))
    const granted = []
    for (let number = 0; number < expected.length; number += 1) granted.push(await endpointAddress(ipam, id, number))
    assert.equal(granted, expected)
    await refused(endpointAddress(ipam, id, 99), 'ADDRESSES_EXHAUSTED')
  })
}

const badAddresses: readonly (readonly [address: string, code: string, text: string])[] = [
  ['10.89.0.1', 'ADDRESS_OUT_OF_RANGE', 'requested address is out of range: 10.89.0.1 is not in 10.88.0.0/16'],
  ['fd00::1', 'ADDRESS_OUT_OF_RANGE', 'requested address is out of range'],
  ['10.88.0.0', 'ADDRESS_IN_USE', 'Address already in use: 10.88.0.0 of 10.88.0.0/16 is the network address'],
  ['10.88.255.255', 'ADDRESS_IN_USE', 'Address already in use: 10.88.255.255 of 10.88.0.0/16 is the broadcast address'],
  ['10.88.0.1', 'ADDRESS_IN_USE', 'Address already in use: 10.88.0.1 of 10.88.0.0/16 is the gateway since 2023-11-14'],
  ['10.88.0.9', 'ADDRESS_IN_USE', 'Address already in use: 10.88.0.9 of 10.88.0.0/16 is the auxiliary address since'],
  [
    '10.88.0.7',
    'ADDRESS_IN_USE',
    'Address already in use: 10.88.0.7 of 10.88.0.0/16 is the address of an endpoint since',
  ],
  ['10.88.0', 'BAD_ADDRESS', 'invalid address "10.88.0"'],
  ['10.88.0.5/16', 'BAD_ADDRESS', 'invalid address "10.88.0.5/16"'],
]
for (const [address, code, text] of badAddresses) {
  test(`requestAddress: ${address} is refused to an endpoint`, async () => {
    const store = new MemoryStore()
    const ipam = await ipamOver(store)
    const { id } = await poolWithGateway(ipam, '10.88.0.0/16')
    await ipam.requestAddress(id, { purpose: 'reserved', address: '10.88.0.9' })
    await endpointAddress(ipam, id, 7, '10.88.0.7')
    const before = await records(store)
    assert.match(await refused(endpointAddress(ipam, id, 1, address), code), text)
    assert.equal(await records(store), before)
  })
}

test('requestAddress: an unknown pool is refused', async () => {
  const ipam = await ipamOver(new MemoryStore())
  const text = await refused(endpointAddress(ipam, 'elsewhere' as PoolId, 1), 'UNKNOWN_POOL')
  assert.match(text, 'address space does not contain specified address pool: elsewhere')
})

test('requestAddress: an auxiliary address cannot be the gateway, nor the other way round', async () => {
  const ipam = await ipamOver(new MemoryStore())
  const { id } = await poolWithGateway(ipam, '10.88.0.0/16')
  await refused(ipam.requestAddress(id, { purpose: 'reserved', address: '10.88.0.1' }), 'ADDRESS_IN_USE')
  await ipam.requestAddress(id, { purpose: 'reserved', address: '10.88.0.2' })
  await refused(ipam.requestAddress(id, { purpose: 'gateway', address: '10.88.0.2' }), 'ADDRESS_IN_USE')
})

test('release: unknown pools and addresses are nothing to do', async () => {
  const store = new MemoryStore()
  const ipam = await ipamOver(store)
  const { id } = await poolWithGateway(ipam)
  const before = await records(store)
  assert.is(await ipam.releasePool('elsewhere' as PoolId), false)
  assert.is(await ipam.releaseAddress('elsewhere' as PoolId, '10.0.0.1'), false)
  assert.is(await ipam.releaseAddress(id, '10.64.0.77'), false)
  assert.is(await ipam.releaseAddress(id, '192.0.2.1'), false)
  assert.is(await ipam.releaseAddress(id, 'fd00::1'), false)
  assert.is(await ipam.releaseAddress(id, '10.64.0.255'), false)
  assert.equal(await records(store), before)
  await refused(ipam.requestAddress(id, { purpose: 'reserved', address: '10.64.0.255' }), 'ADDRESS_IN_USE')
})

test('release: after everything was given back the store is as before', async () => {
  const store = new MemoryStore()
  const ipam = await ipamOver(store)
  const { id } = await poolWithGateway(ipam)
  await endpointAddress(ipam, id, 1)
  await endpointAddress(ipam, id, 2)
  assert.is(await ipam.releaseAddress(id, '10.64.0.2'), true)
  assert.is(await ipam.releaseAddress(id, '10.64.0.2'), false)
  assert.is(await ipam.releaseAddress(id, '10.64.0.1'), true)
  assert.is(await ipam.releasePool(id), true, 'a lease that was never released ends with its pool')
  assert.is(await ipam.releasePool(id), false)
  assert.equal(await records(store), {})
  assert.equal(ipam.pools(), [])
  assert.equal(ipam.leases(), [])
})

test('release: a late one does not take the address of an endpoint that is alive', async () => {
  const alive = new Set<string>()
  const inUse: IpamOptions['inUse'] = (pool, address) => alive.has(`${pool.subnet} ${address}`)
  const ipam = await ipamOver(new MemoryStore(), { inUse, patienceMs: 60 })
  const { id, subnet } = await poolWithGateway(ipam)
  await endpointAddress(ipam, id, 1)
  alive.add(`${subnet} 10.64.0.2`)
  assert.is(await ipam.releaseAddress(id, '10.64.0.2'), false)
  assert.is(await ipam.releaseAddress(id, '10.64.0.1'), false, 'nor its gateway')
  assert.is(await ipam.releasePool(id), false, 'nor its pool')
  await refused(endpointAddress(ipam, id, 2, '10.64.0.2'), 'ADDRESS_IN_USE')
  alive.clear()
  assert.is(await ipam.releaseAddress(id, '10.64.0.2'), true)
  assert.is(await ipam.releaseAddress(id, '10.64.0.1'), true)
  assert.is(await ipam.releasePool(id), true)
})

test('drop: ends the lease that was listed, not one that was granted since', async () => {
  const store = new MemoryStore()
  const ipam = await ipamOver(store)
  const { id } = await poolWithGateway(ipam)
  await endpointAddress(ipam, id, 1)
  const listed = ipam.leases().find(({ purpose }) => purpose === 'endpoint')
  if (!listed) throw new Error('not listed')
  assert.equal(listed, { pool: id, address: '10.64.0.2', purpose: 'endpoint', mac: macOf(1), at: listed.at })
  await ipam.releaseAddress(id, '10.64.0.2')
  await endpointAddress(ipam, id, 2, '10.64.0.2')
  assert.is(await ipam.drop(listed), false)
  const current = ipam.leases().find(({ purpose }) => purpose === 'endpoint')
  if (!current) throw new Error('not listed')
  assert.is(await ipam.drop(current), true)
  assert.is(await ipam.drop(current), false)
  assert.is((await records(store))['lease/10.64.0.0-24/10.64.0.2'], undefined)
  assert.is(await ipam.drop({ ...current, pool: 'elsewhere' as PoolId }), false)
})

test('dropPool: ends the pool that was listed, not one that was requested since', async () => {
  const store = new MemoryStore()
  const ipam = await ipamOver(store)
  await poolWithGateway(ipam, '10.90.0.0/24')
  const [listed] = ipam.pools()
  if (!listed) throw new Error('not listed')
  await ipam.engineStarted(listed.client)
  await ipam.requestPool(wish('10.90.0.0/24'))
  assert.is(await ipam.dropPool(listed), false, 'an engine asked for it again')
  const [repeated] = ipam.pools()
  if (!repeated) throw new Error('not listed')
  await ipam.releasePool(repeated.id)
  await ipam.requestPool(wish('10.90.0.0/24'))
  assert.is(await ipam.dropPool(repeated), false, 'it is another one')
  for (const entry of ipam.pools()) assert.is(await ipam.dropPool(entry), true)
  assert.equal(await records(store, 'pool/'), {})
  assert.is(await ipam.dropPool(repeated), false)
})

test('many at once: no pool and no address twice', async () => {
  const ipam = await ipamOver(new MemoryStore())
  const pools = await Promise.all(Array.from({ length: 50 }, () => poolWithGateway(ipam)))
  assert.is(new Set(pools.map(({ subnet }) => subnet)).size, 50)
  const [first] = pools
  if (!first) throw new Error('no pool')
  const granted = await Promise.all(Array.from({ length: 253 }, (_, number) => endpointAddress(ipam, first.id, number)))
  assert.is(new Set(granted).size, 253)
  await refused(endpointAddress(ipam, first.id, 999), 'ADDRESSES_EXHAUSTED')
})

test('a failed commit: nothing was promised, nothing is left, and the next request works', async () => {
  const life = async (store: FailingStore): Promise<void> => {
    const ipam = await ipamOver(store)
    const repeat = async <T>(act: () => Promise<T>): Promise<T> => {
      const before = { pools: ipam.pools(), leases: ipam.leases() }
      try {
        return await act()
      } catch (cause) {
        assert.match(cause instanceof Error ? cause.message : '', /commit \d+ fails/)
        assert.equal(ipam.pools(), before.pools, 'pools are as before')
        assert.equal(new Set(ipam.leases()), new Set(before.leases), 'leases are as before')
        return act()
      }
    }
    await repeat(() => ipam.engineStarted('weft-bridge'))
    const { id } = await repeat(() => ipam.requestPool(wish(undefined, { family: 6 })))
    await repeat(() => ipam.requestAddress(id, { purpose: 'gateway' }))
    const address = await repeat(() => endpointAddress(ipam, id, 1))
    await repeat(() => ipam.engineStarted('weft-bridge'))
    await repeat(() => ipam.requestPool(wish(ipam.pools()[0]?.subnet)))
    await repeat(() => endpointAddress(ipam, id, 1, address.slice(0, address.indexOf('/'))))
    await repeat(() => ipam.releaseAddress(id, address.slice(0, address.indexOf('/'))))
    await repeat(() => ipam.releasePool(id))
    const left = Object.keys(await records(store)).filter(key => !key.startsWith('ipam/'))
    assert.equal(left, [])
  }
  const perfect = new FailingStore()
  await life(perfect)
  assert.is(perfect.commits, 8)
  for (let failAt = 0; failAt < perfect.commits; failAt += 1) {
    const store = new FailingStore()
    store.failAt = failAt
    await life(store)
    assert.is(store.commits, perfect.commits + 1, `commit ${failAt} was made to fail`)
  }
})

test.run()
