import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bridgeDriver } from '../../drivers/bridge/index.ts'
import type { BridgeOptions } from '../../drivers/bridge/options.ts'
import type { Endpoint, Facts, Network } from '../../drivers/driver.ts'
import { describe, type IfName, type Resource } from '../../native/kernel/resource.ts'
import type { Cidr, Ip } from '../../native/value/ip.ts'
import type { Mac } from '../../native/value/mac.ts'
import { endpointId, facts as defaults, networkId } from '../support/house.ts'

const facts: Facts = { ...defaults, forwarded: [] }
const v4 = { pool: '10.7.0.0/24' as Cidr, gateway: '10.7.0.1/24' as Cidr, aux: {} }
const v6 = { pool: 'fd00:7::/64' as Cidr, gateway: 'fd00:7::1/64' as Cidr, aux: {} }

function network(raw: Record<string, string> = {}, more: Partial<Network<BridgeOptions>> = {}): Network<BridgeOptions> {
  const options = bridgeDriver.parseOptions(raw)
  return { id: networkId, driver: 'bridge', internal: false, subnets: [v4, v6], options, ...more }
}

const endpoint: Endpoint = {
  id: endpointId,
  networkId,
  phase: 'joined',
  bootId: 'boot',
  addresses: ['10.7.0.2/24', 'fd00:7::2/64'] as Cidr[],
  mac: '02:42:0a:07:00:02' as Mac,
  ports: [
    { protocol: 'tcp', hostAddress: '0.0.0.0' as Ip, hostPort: 8080, containerPort: 80 },
    { protocol: 'tcp', hostAddress: '::' as Ip, hostPort: 8080, containerPort: 80 },
    { protocol: 'udp', hostAddress: '127.0.0.1' as Ip, hostPort: 5353, containerPort: 53 },
  ],
  changedAt: 0,
}

function print(plan: readonly Resource[]): readonly string[] {
  return plan.map(describe).map(line => line.replace(/^ruleset weft \w+$/, 'ruleset weft'))
}

test('network: the rules know the bridge before it exists', () => {
  assert.equal(print(bridgeDriver.planNetwork(network(), facts)), [
    'element bridges wbry33hns4h6p',
    'bridge wbry33hns4h6p d2:0b:57:f1:3c:60',
    'sysctl net/ipv4/conf/wbry33hns4h6p/route_localnet = 1',
    'sysctl net/ipv4/conf/wbry33hns4h6p/send_redirects = 0',
    'sysctl net/ipv6/conf/wbry33hns4h6p/accept_ra = 0',
    'sysctl net/ipv6/conf/wbry33hns4h6p/disable_ipv6 = 0',
    'address 10.7.0.1/24 on wbry33hns4h6p',
    'address fd00:7::1/64 on wbry33hns4h6p',
    'element hairpin wbry33hns4h6p . wbry33hns4h6p',
    'element same wbry33hns4h6p . wbry33hns4h6p',
    'element masq4 10.7.0.0/24',
    'element masq6 fd00:7::/64',
  ])
})

test('network: internal is closed first and never masqueraded', () => {
  const plan = print(bridgeDriver.planNetwork(network({}, { internal: true }), facts))
  assert.equal(plan.slice(0, 2), ['element bridges wbry33hns4h6p', 'element internal wbry33hns4h6p'])
  assert.not.ok(plan.some(line => line.includes('masq')))
})

test('network: without icc its ports are isolated and it is not in `same`', () => {
  const closed = network({ 'com.docker.network.bridge.enable_icc': 'false' })
  assert.not.ok(print(bridgeDriver.planNetwork(closed, facts)).some(line => line.includes('same')))
  assert.match(print(bridgeDriver.planEndpoint(closed, endpoint, facts)).join('\n'), / isolated /)
})

test('network: masquerade can be left out', () => {
  const plan = print(
    bridgeDriver.planNetwork(network({ 'com.docker.network.bridge.enable_ip_masquerade': '0' }), facts),
  )
  assert.not.ok(plan.some(line => line.includes('masq')))
})

test('network: v6 only', () => {
  const plan = print(bridgeDriver.planNetwork(network({}, { subnets: [v6] }), facts))
  assert.ok(plan.includes('address fd00:7::1/64 on wbry33hns4h6p'))
  assert.not.ok(plan.some(line => line.includes('10.7')))
})

test('network: v4 only has no IPv6 on its bridge', () => {
  const plan = print(bridgeDriver.planNetwork(network({}, { subnets: [v4] }), facts))
  assert.ok(plan.includes('sysctl net/ipv6/conf/wbry33hns4h6p/disable_ipv6 = 1'))
})

test('network: a link too small for IPv6 has no switches of it', () => {
  const small = network({ 'com.docker.network.driver.mtu': '1279' }, { subnets: [v4] })
  assert.not.ok(print(bridgeDriver.planNetwork(small, facts)).some(line => line.includes('ipv6')))
})

test('network: a bridge of somebody else is adopted, with its MAC and IPv6 left alone', () => {
  const asked = network({ 'com.docker.network.bridge.name': 'br0' })
  const recorded = bridgeDriver.admit(asked, [], { ...facts, foreignBridges: ['br0' as IfName] })
  const plan = print(bridgeDriver.planNetwork(recorded, facts))
  assert.is(plan[1], 'bridge br0 adopted')
  assert.not.ok(plan.some(line => line.includes('ipv6')))
})

test('network: an adopted bridge gets its switches back, but for those that were set before', () => {
  const asked = network({ 'com.docker.network.bridge.name': 'br0' })
  const set = 'net/ipv4/conf/br0/route_localnet'
  const seen = { ...facts, foreignBridges: ['br0' as IfName], foreignSwitches: [set] }
  const plan = bridgeDriver.planNetwork(bridgeDriver.admit(asked, [], seen), seen)
  const back = plan.flatMap(wish => (wish.type === 'sysctl' ? [`${wish.key} ${wish.setBack ?? 'stays'}`] : []))
  assert.equal(back, [`${set} stays`, 'net/ipv4/conf/br0/send_redirects 1'])
})

test('network: the MTU is set on the bridge and on both ends', () => {
  const small = network({ 'com.docker.network.driver.mtu': '1400' })
  assert.match(print(bridgeDriver.planNetwork(small, facts))[1] ?? '', / mtu 1400 /)
  assert.match(print(bridgeDriver.planEndpoint(small, endpoint, facts))[0] ?? '', / mtu 1400 /)
})

test('endpoint: ports are held before they are served', () => {
  assert.equal(print(bridgeDriver.planEndpoint(network(), endpoint, facts)), [
    'veth wv7au62alng42 master wbry33hns4h6p handed 02:42:0a:07:00:02',
    'port tcp 0.0.0.0 8080',
    'port tcp :: 8080',
    'port udp 127.0.0.1 5353',
    'element pub4any tcp . 8080 : 10.7.0.2 . 80',
    'element pub6any tcp . 8080 : fd00:7::2 . 80',
    'element pub4 127.0.0.1 . udp . 5353 : 10.7.0.2 . 53',
  ])
})

test('host: forwarding is guarded before it is switched on, and other firewalls are told', () => {
  const plan = bridgeDriver.planHost({
    ...facts,
    forwarded: [4, 6],
    uplinks: ['br0' as IfName],
    acceptHooks: [{ family: 'ip', chain: 'DOCKER-USER', backend: 'nft' }],
  })
  assert.equal(print(plan), [
    'ruleset weft',
    'element uplinks br0',
    'element guarded ipv4',
    'element guarded ipv6',
    'sysctl net/ipv4/ip_forward = 1',
    'sysctl net/ipv6/conf/all/forwarding = 1',
    'accept ip DOCKER-USER nft mark 0x100000',
  ])
})

test('join: a gateway per family, and none for an internal network', () => {
  assert.equal(bridgeDriver.join(network(), endpoint).gateways, ['10.7.0.1', 'fd00:7::1'])
  assert.equal(bridgeDriver.join(network({}, { internal: true }), endpoint).gateways, [])
})

const refused: readonly { readonly name: string; readonly raw: Record<string, string>; readonly text: RegExp }[] = [
  { name: 'unknown', raw: { 'com.docker.network.bridge.enable_ic': 'true' }, text: /has no option .*enable_ic/ },
  { name: 'known, later', raw: { 'com.docker.network.bridge.gateway_mode_ipv4': 'nat' }, text: /is not supported yet/ },
  {
    name: 'no boolean',
    raw: { 'com.docker.network.bridge.enable_icc': 'maybe' },
    text: /failed to parse .*enable_icc value: "maybe"/,
  },
  {
    name: 'negative MTU',
    raw: { 'com.docker.network.driver.mtu': '-1' },
    text: /failed to parse .*driver\.mtu value: "-1"/,
  },
  {
    name: "the name of an endpoint's link",
    raw: { 'com.docker.network.bridge.name': 'wv7au62alng42' },
    text: /bridge\.name value/,
  },
  { name: 'long name', raw: { 'com.docker.network.bridge.name': 'a-name-of-16-bytes' }, text: /bridge\.name value/ },
]
for (const { name, raw, text } of refused) {
  test(`options: refused by name: ${name}`, () => {
    assert.throws(() => bridgeDriver.parseOptions(raw), text)
  })
}

test('options: a misspelt one is answered with the nearest', () => {
  try {
    bridgeDriver.parseOptions({ 'com.docker.network.bridge.enable_ic': 'true' })
    assert.unreachable()
  } catch (error) {
    assert.match((error as { text: string }).text, /did you mean com\.docker\.network\.bridge\.enable_icc\?/)
  }
})

const inadmissible: readonly {
  readonly name: string
  readonly asked: Network<BridgeOptions>
  readonly text: RegExp
}[] = [
  { name: 'no subnet', asked: network({}, { subnets: [] }), text: /needs a subnet/ },
  {
    name: 'null IPAM',
    asked: network({}, { subnets: [{ pool: '0.0.0.0/0' as Cidr, aux: {} }] }),
    text: /ipv4 pool is empty/,
  },
  {
    name: 'two of a family',
    asked: network({}, { subnets: [v4, { ...v4, pool: '10.8.0.0/24' as Cidr }] }),
    text: /one subnet per family/,
  },
  {
    name: 'gateway elsewhere',
    asked: network({}, { subnets: [{ ...v4, gateway: '10.9.0.1/24' as Cidr }] }),
    text: /outside its subnet/,
  },
  {
    name: 'MTU below 1280 with v6',
    asked: network({ 'com.docker.network.driver.mtu': '1000' }),
    text: /too small for IPv6/,
  },
  {
    name: 'another default gateway',
    asked: network({}, { subnets: [{ ...v4, aux: { DefaultGatewayIPv4: '10.7.0.9' as Ip } }] }),
    text: /not supported yet/,
  },
]
for (const { name, asked, text } of inadmissible) {
  test(`admit: refused: ${name}`, () => {
    assert.throws(() => bridgeDriver.admit(asked, [], facts), text)
  })
}

test('admit: a subnet or a bridge that another network has is refused, and the other is named', () => {
  const other = { ...network(), id: '2'.repeat(64) as typeof networkId }
  assert.throws(() => bridgeDriver.admit(network(), [other], facts), /conflicts with network 2+ .*overlapping IPv4/)
  const named = network(
    { 'com.docker.network.bridge.name': 'br7' },
    { subnets: [{ ...v4, pool: '10.9.0.0/24' as Cidr, gateway: '10.9.0.1/24' as Cidr }] },
  )
  const rival = { ...network({ 'com.docker.network.bridge.name': 'br7' }), id: '3'.repeat(64) as typeof networkId }
  assert.throws(() => bridgeDriver.admit(named, [rival], facts), /networks have same bridge name/)
})

test.run()
