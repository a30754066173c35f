/** Plans of weft-macvlan as text, and what containers are told. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ChildOptions } from '../../drivers/child/options.ts'
import type { Endpoint, Network } from '../../drivers/driver.ts'
import { ipvlanDriver } from '../../drivers/ipvlan/index.ts'
import { macvlanDriver as driver } from '../../drivers/macvlan/index.ts'
import type { Cidr, Ip } from '../../native/value/ip.ts'
import { endpoint as published, print, v4, v6, web } from '../support/bridge.ts'
import { bare, facts, fresh, link, maker } from '../support/child.ts'
import type { networkId } from '../support/house.ts'

const network = maker(driver)
const endpoint = fresh(published)
const hosted = { hostAddresses: ['10.7.0.9', 'fd00:7::9'] as Ip[] }
const admitted = (raw: Record<string, string>, others: readonly Network[] = [], known = facts): Network<ChildOptions> =>
  driver.admit(network(raw), others, known)
const host = (some: Network<ChildOptions>, used = true): readonly string[] =>
  print(driver.planHost(facts, [{ network: some, used }]))
const other = (raw: Record<string, string>): Network<ChildOptions> => ({
  ...admitted(raw),
  id: '2'.repeat(64) as typeof networkId,
})

test('macvlan: an endpoint is one link, which goes to the container', () => {
  assert.equal(print(driver.planEndpoint(network(), endpoint, facts)), [
    'macvlan wc7au62alng42 on eth0 bridge down 02:42:0a:07:00:02',
  ])
  assert.equal(print(driver.planEndpoint(network(), { ...endpoint, phase: 'joined' }, facts)), [
    'macvlan wc7au62alng42 on eth0 bridge handed 02:42:0a:07:00:02',
  ])
  assert.equal(driver.planNetwork(network(), facts), [])
  assert.equal(host(network()), [])
})

test('macvlan: mode, MTU and what else is given at birth', () => {
  const raw = {
    macvlan_mode: 'vepa',
    'com.docker.network.driver.mtu': '1400',
    txqueuelen: '50',
    promisc: 'true',
    allmulti: 'true',
    bclim: '-1',
    bcqueuelen: '5000',
  }
  const [child] = driver.planEndpoint(network(raw), endpoint, facts)
  assert.is.not(child, undefined)
  const { mode, mtu, txQueueLength, promisc, allMulticast, bclim, bcqueuelen, up } = child as never
  assert.equal(
    [mode, mtu, txQueueLength, promisc, allMulticast, bclim, bcqueuelen, up],
    [...['vepa', 1400, 50, true, true, -1, 5000, false]],
  )
})

test('macvlan: passthru has the MAC of the parent', () => {
  const passthru = network({ macvlan_mode: 'passthru' })
  assert.equal(print(driver.planEndpoint(passthru, endpoint, facts)), ['macvlan wc7au62alng42 on eth0 passthru down'])
  assert.is(driver.fixedMac?.(passthru, facts), link('eth0').mac)
  assert.is(driver.fixedMac?.(network(), facts), undefined)
})

test('options: an empty value is as good as none, as Compose gives it', () => {
  const empty = driver.parseOptions({ parent: '', macvlan_mode: '' })
  assert.equal(empty, driver.parseOptions({}))
  assert.equal(ipvlanDriver.parseOptions({ ipvlan_mode: '', ipvlan_flag: '' }), ipvlanDriver.parseOptions({}))
  assert.throws(() => driver.parseOptions({ promisc: '' }), /failed to parse promisc/)
})

test('macvlan: a VLAN that is not there is made, and shared', () => {
  const first = admitted({ parent: 'eth0.50' })
  assert.equal(host(first, false), ['vlan eth0.50 on eth0 id 50'])
  const seen = { ...facts, links: [...facts.links, link('eth0.50', { own: true, kind: 'vlan' })] }
  const second = admitted({ parent: 'eth0.50' }, [other({ parent: 'eth0.50' })], seen)
  assert.equal(second.options.vlans, first.options.vlans)
  // One that somebody else made stays theirs.
  const foreign = { ...facts, links: [...facts.links, link('eth0.50', { kind: 'vlan' })] }
  assert.equal(host(admitted({ parent: 'eth0.50' }, [], foreign), false), [])
  assert.equal(host(admitted({ parent: 'eth0.50.60' }), false), [
    'vlan eth0.50 on eth0 id 50',
    'vlan eth0.50.60 on eth0.50 id 60',
  ])
})

test('macvlan: without a parent it stands on a link that leads nowhere', () => {
  const apart = admitted({ parent: '' })
  assert.equal(print(driver.planNetwork(apart, facts)), ['dummy wdry33hns4h6p'])
  const wide = admitted({ parent: '', 'com.docker.network.driver.mtu': '9000' })
  assert.equal(print(driver.planNetwork(wide, facts)), ['dummy wdry33hns4h6p mtu 9000'])
  assert.equal(print(driver.planEndpoint(apart, endpoint, facts)), [
    'macvlan wc7au62alng42 on wdry33hns4h6p bridge down 02:42:0a:07:00:02',
  ])
  assert.equal(driver.join(apart, endpoint, facts), {
    srcName: 'wc7au62alng42',
    dstPrefix: 'eth',
    gateways: [],
    routes: [],
    disableGatewayService: true,
  })
})

test('macvlan: host access is a link of the host, and a route for each container', () => {
  const reached = { ...network({ host_access: 'true' }), ...hosted }
  const plan = host(reached)
  const link = plan.findIndex(line => line.startsWith('macvlan wsry33hns4h6p on eth0 bridge '))
  // The rules know the link before it exists.
  assert.ok(link > plan.indexOf('element shims wsry33hns4h6p') && plan.indexOf('element shims wsry33hns4h6p') > 0)
  assert.ok(plan.includes('sysctl net/ipv4/conf/wsry33hns4h6p/arp_ignore = 1'))
  assert.ok(plan.includes('address 10.7.0.9/32 on wsry33hns4h6p'))
  assert.ok(plan.includes('address fd00:7::9/128 on wsry33hns4h6p'))
  // It goes with the last container; the rules stay.
  assert.equal(host(reached, false), ['ruleset weft', 'ruleset weft_ports'])
  assert.equal(print(driver.planEndpoint(reached, endpoint, facts)).slice(1), [
    'route 10.7.0.2/32 on wsry33hns4h6p source 10.7.0.9',
    'route fd00:7::2/128 on wsry33hns4h6p source fd00:7::9',
  ])
})

test('macvlan: published ports are held and translated', () => {
  const reached = { ...network({ host_access: 'true' }), ...hosted }
  const plan = print(driver.planEndpoint(reached, { ...endpoint, phase: 'joined', ports: [web] }, facts))
  assert.equal(plan.slice(3), ['port tcp 0.0.0.0 8080', 'element pub4any tcp . 8080 : 10.7.0.2 . 80'])
  assert.equal(driver.publishing(reached, facts), { host: [4, 6], direct: [] })
  const apart = { ...network({ parent: '', host_access: 'true' }), ...hosted }
  assert.equal(driver.publishing(apart, facts), { host: [4, 6], direct: [], atJoin: true })
  for (const some of [network(), reached]) {
    assert.equal(driver.publishing({ ...some, internal: true }, facts), { host: [], direct: [] })
  }
  assert.match(driver.publishing(network(), facts).refusal?.hint ?? '', /host_access=true/)
  assert.equal(driver.publishing(network({ 'weft.publish': 'ignore' }), facts), { host: [], direct: [] })
})

test('macvlan: join: the gateway if there is one, else the link itself', () => {
  assert.equal(driver.join(network(), endpoint, facts).gateways, ['10.7.0.1', 'fd00:7::1'])
  assert.equal(driver.join(network(), endpoint, facts).routes, [])
  const mixed = network({ 'com.docker.network.container_iface_prefix': 'lan' }, { subnets: [bare, v6] })
  assert.equal(driver.join(mixed, endpoint, facts), {
    srcName: 'wc7au62alng42',
    dstPrefix: 'lan',
    gateways: ['fd00:7::1'],
    routes: [{ destination: '0.0.0.0/0' }],
    disableGatewayService: true,
  })
  const internal = driver.join(network({}, { internal: true }), endpoint, facts)
  assert.equal([internal.gateways, internal.routes], [[], []])
})

test('macvlan: join: the host by its place in the network, under its own address too', () => {
  const reached = { ...network({ host_access: 'true' }), ...hosted }
  assert.equal(driver.join(reached, endpoint, facts).routes, [{ destination: '10.7.0.200/32', via: '10.7.0.9' }])
})

test('macvlan: host access: which addresses', () => {
  const wishes = (raw: Record<string, string>, more: Partial<Network<ChildOptions>> = {}): unknown =>
    driver.hostWishes?.(network(raw, more))
  assert.equal(wishes({}), [])
  assert.equal(wishes({ host_access: 'true' }), [{ pool: v4.pool }, { pool: v6.pool }])
  assert.equal(wishes({ host_access: 'true' }, { subnets: [{ ...v4, aux: { host: '10.7.0.9' as Ip } }] }), [
    { pool: v4.pool, address: '10.7.0.9' },
  ])
  assert.equal(wishes({ host_access: '10.7.0.9' }), [{ pool: v4.pool, address: '10.7.0.9' }])
  assert.throws(() => wishes({ host_access: '10.8.0.9' }), /10\.8\.0\.9 is in none of its subnets/)
  assert.throws(() => wishes({ host_access: '10.7.0.1' }), /10\.7\.0\.1 is the gateway/)
  assert.throws(
    () => wishes({ host_access: 'true' }, { subnets: [{ pool: '0.0.0.0/0' as Cidr, aux: {} }] }),
    /no subnet/,
  )
})

test('macvlan: alive: by the namespace, and while the link waits for it', () => {
  const joined: Endpoint = { ...endpoint, phase: 'joined', sandboxKey: '/run/docker/netns/x', changedAt: 0 }
  const alive = (hasNamespace: boolean, hasLink: boolean, now: number): unknown =>
    driver.alive(joined, { hasLink: () => hasLink, hasNamespace: () => hasNamespace, now })
  assert.is(alive(true, false, 1e9), true)
  assert.is(alive(false, true, 59_000), true)
  assert.is(alive(false, true, 60_000), false)
  assert.is(alive(true, true, 60_000), 'unknown')
  assert.is(alive(false, false, 1), 'unknown')
})

test('macvlan: addresses are searched for on the parent, unless the user says no', () => {
  assert.equal(driver.search?.(network()), { link: 'eth0', timing: 'fast' })
  assert.equal(driver.search?.(network({ 'weft.dad': 'rfc5227' })), { link: 'eth0', timing: 'rfc5227' })
  assert.is(driver.search?.(network({ 'weft.dad': 'off' })), undefined)
  assert.is(driver.search?.(network({ parent: '' })), undefined)
})

test.run()
