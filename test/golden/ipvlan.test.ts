/** Plans of weft-ipvlan as text, where they differ from those of weft-macvlan. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ipvlanDriver as driver } from '../../drivers/ipvlan/index.ts'
import type { Ip } from '../../native/value/ip.ts'
import { endpoint as published, print } from '../support/bridge.ts'
import { facts, fresh, link, maker } from '../support/child.ts'
import { createEndpoint, createNetwork, rejects, testHouse } from '../support/house.ts'

const network = maker(driver)
const endpoint = fresh(published)

test('ipvlan: links have the MAC of the parent', () => {
  assert.equal(print(driver.planEndpoint(network(), endpoint, facts)), ['ipvlan wc7au62alng42 on eth0 l2 down'])
  assert.is(driver.fixedMac?.(network(), facts), link('eth0').mac)
})

for (const mode of ['l2', 'l3', 'l3s']) {
  for (const flag of ['bridge', 'private', 'vepa']) {
    test(`ipvlan: mode ${mode}, flag ${flag}`, () => {
      const some = network({ ipvlan_mode: mode, ipvlan_flag: flag })
      const suffix = flag === 'bridge' ? '' : ` ${flag}`
      assert.equal(print(driver.planEndpoint(some, endpoint, facts)), [
        `ipvlan wc7au62alng42 on eth0 ${mode}${suffix} down`,
      ])
      const { gateways, routes } = driver.join(some, endpoint, facts)
      const everywhere = [{ destination: '0.0.0.0/0' }, { destination: '::/0' }]
      assert.equal([gateways, routes], mode === 'l2' ? [['10.7.0.1', 'fd00:7::1'], []] : [[], everywhere])
    })
  }
}

test('ipvlan: the place of the host has the mode of the network', () => {
  const reached = { ...network({ ipvlan_mode: 'l3s', host_access: 'true' }), hostAddresses: ['10.7.0.9'] as Ip[] }
  const plan = print(driver.planHost(facts, [{ network: reached, used: true }]))
  assert.ok(plan.includes('ipvlan wsry33hns4h6p on eth0 l3s'))
  assert.ok(plan.includes('sysctl net/ipv6/conf/wsry33hns4h6p/disable_ipv6 = 1'))
})

test('ipvlan: the host answers for its containers, where it is wished to', () => {
  const raw = { ipvlan_mode: 'l3', host_access: 'true', 'weft.proxy': 'true' }
  const reached = { ...network(raw), hostAddresses: ['10.7.0.9', 'fd00:7::9'] as Ip[] }
  assert.equal(
    print(driver.planEndpoint(reached, endpoint, facts)).filter(line => line.startsWith('proxy')),
    ['proxy 10.7.0.2 on eth0', 'proxy fd00:7::2 on eth0'],
  )
  const plan = print(driver.planHost(facts, [{ network: reached, used: true }]))
  assert.ok(plan.includes('sysctl net/ipv6/conf/eth0/proxy_ndp = 1'))
  // Off again with the last container, and also when nobody came to do it.
  const unused = print(driver.planHost(facts, [{ network: reached, used: false }]))
  assert.ok(unused.includes('sysctl net/ipv6/conf/eth0/proxy_ndp = 0'))
  assert.equal(driver.forwards(reached), [4, 6])
  assert.throws(() => network({ host_access: 'true', 'weft.proxy': 'true' }), /weft\.proxy=true has no meaning/)
})

test("ipvlan: the parent's switch for proxies stays on where it was on before", () => {
  const raw = { ipvlan_mode: 'l3', host_access: 'true', 'weft.proxy': 'true' }
  const on = { ...facts, foreignSwitches: ['net/ipv6/conf/eth0/proxy_ndp'] }
  const hosted = { hostAddresses: ['10.7.0.9', 'fd00:7::9'] as Ip[] }
  const first = { ...driver.admit(network(raw), [], facts), ...hosted }
  const kept = { ...driver.admit(network(raw), [], on), ...hosted }
  // It is on because another network of weft's is used.
  const second = driver.admit(network(raw, { id: '2'.repeat(64) as never }), [first], on)
  assert.equal(
    [first, kept, second].map(({ options }) => options.proxyKept ?? false),
    [false, true, false],
  )
  const switches = (used: boolean): unknown =>
    driver.planHost(facts, [{ network: kept, used }]).filter(wish => 'key' in wish && wish.key.endsWith('proxy_ndp'))
  assert.equal(switches(true), [{ type: 'sysctl', key: 'net/ipv6/conf/eth0/proxy_ndp', value: '1' }])
  assert.equal(switches(false), [])
})

test("ipvlan: a crash after the last container's record leaves no switch on", async () => {
  const { house, handlers, store, kernel } = await testHouse({ driver: 'ipvlan', facts: { links: facts.links } })
  const generic = { parent: 'eth0', ipvlan_mode: 'l3', host_access: '10.7.0.9,fd00:7::9', 'weft.proxy': 'true' }
  await handlers.createNetwork(createNetwork({ generic }))
  await handlers.createEndpoint(createEndpoint())
  const key = 'net/ipv6/conf/eth0/proxy_ndp'
  const value = async (): Promise<unknown> => {
    const seen = await kernel.observe([{ type: 'sysctl', key, value: '' }])
    return seen.flatMap(({ resource }) => (resource.type === 'sysctl' ? [resource.value] : []))
  }
  const [endpoint] = house.records.endpoints()
  assert.ok(endpoint)
  assert.equal(await value(), ['1'])
  await house.records.removeEndpoint(endpoint)
  const next = await testHouse({ driver: 'ipvlan', facts: { links: facts.links }, store, kernel })
  for (const difference of await next.house.reconciler.differences()) await next.house.reconciler.mend(difference)
  assert.equal(await value(), ['0'])
})

test('ipvlan: a MAC that somebody chose is refused, and one that the engine made', async () => {
  const { handlers } = await testHouse({ driver: 'ipvlan', facts: { links: facts.links } })
  await handlers.createNetwork(createNetwork({ generic: { parent: 'eth0' } }))
  const Interface = { Address: '10.7.0.2/24', MacAddress: '02:42:00:00:00:07' }
  const chosen = { 'com.docker.network.endpoint.macaddress': 'AkIAAAAH' }
  await rejects(
    handlers.createEndpoint(createEndpoint({ Interface, Options: chosen })),
    /ipvlan interfaces do not support custom mac address assignment/,
  )
  await rejects(handlers.createEndpoint(createEndpoint({ Interface })), /do not support custom mac/)
  // The engine would set what it is told.
  assert.equal(await handlers.createEndpoint(createEndpoint()), {})
})

test.run()
