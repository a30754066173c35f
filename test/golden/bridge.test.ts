import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bridgeDriver } from '../../drivers/bridge/index.ts'
import type { BridgeOptions } from '../../drivers/bridge/options.ts'
import type { Facts, Network } from '../../drivers/driver.ts'
import type { IfName } from '../../native/kernel/resource.ts'
import type { Cidr, Ip } from '../../native/value/ip.ts'
import { endpoint, facts, network, print, v4, v6, web } from '../support/bridge.ts'

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
  assert.match(print(bridgeDriver.planEndpoint(small, endpoint, facts)).join(' '), / mtu 1400 /)
})

test('endpoint: ports are held before they are served', () => {
  assert.equal(print(bridgeDriver.planEndpoint(network({ 'weft.antispoof': 'false' }), endpoint, facts)), [
    'element ports_free wv7au62alng42',
    'veth wv7au62alng42 master wbry33hns4h6p handed 02:42:0a:07:00:02',
    'port tcp 0.0.0.0 8080',
    'port tcp :: 8080',
    'port tcp ::1 8080 relayed to fd00:7::2 80',
    'port udp 127.0.0.1 5353',
    'element pub4any tcp . 8080 : 10.7.0.2 . 80',
    'element pub6any tcp . 8080 : fd00:7::2 . 80',
    'element pub4 127.0.0.1 . udp . 5353 : 10.7.0.2 . 53',
  ])
})

function added(
  raw: Record<string, string>,
  more: Partial<Network<BridgeOptions>> = {},
  known = facts,
): readonly string[] {
  const plain = print(bridgeDriver.planNetwork(network({}, more), facts))
  return print(bridgeDriver.planNetwork(network(raw, more), known)).filter(line => !plain.includes(line))
}

const bridge = 'wbry33hns4h6p'

test('network: nat-unprotected opens it, routed opens what is published and is not translated', () => {
  const modes = {
    'com.docker.network.bridge.gateway_mode_ipv4': 'nat-unprotected',
    'com.docker.network.bridge.gateway_mode_ipv6': 'routed',
  }
  assert.equal(added(modes), [
    `element open ipv4 . ${bridge}`,
    `element routed ipv6 . ${bridge}`,
    `element direct ipv6 . ${bridge}`,
  ])
  assert.not.ok(print(bridgeDriver.planNetwork(network(modes), facts)).includes('element masq6 fd00:7::/64'))
})

test('network: isolated has no address of the host', () => {
  const raw = {
    'com.docker.network.bridge.gateway_mode_ipv4': 'isolated',
    'com.docker.network.bridge.gateway_mode_ipv6': 'isolated',
  }
  const plan = print(bridgeDriver.planNetwork(network(raw, { internal: true }), facts))
  assert.not.ok(plan.some(line => line.startsWith('address')))
  assert.ok(plan.includes(`sysctl net/ipv6/conf/${bridge}/disable_ipv6 = 1`))
  assert.equal(bridgeDriver.gateways(bridgeDriver.parseOptions(raw)), [])
})

test('network: inhibit_ipv4 leaves the gateway to another machine', () => {
  const inhibited = network({ 'com.docker.network.bridge.inhibit_ipv4': 'true' })
  const plan = print(bridgeDriver.planNetwork(inhibited, facts))
  assert.equal(
    plan.filter(line => line.startsWith('address')),
    [`address fd00:7::1/64 on ${bridge}`],
  )
  assert.equal(bridgeDriver.join(inhibited, endpoint, facts).gateways, ['10.7.0.1', 'fd00:7::1'])
})

test('network: a source address in place of masquerading', () => {
  const raw = { 'com.docker.network.host_ipv4': '192.0.2.7' }
  assert.equal(added(raw), ['element snat4 10.7.0.0/24 : 192.0.2.7'])
  assert.not.ok(print(bridgeDriver.planNetwork(network(raw), facts)).includes('element masq4 10.7.0.0/24'))
})

test('network: trusted interfaces, and direct routing for all', () => {
  const raw = { 'com.docker.network.bridge.trusted_host_interfaces': 'eth1:eth2.7' }
  assert.equal(added(raw), [`element trusted eth1 . ${bridge}`, `element trusted eth2.7 . ${bridge}`])
  assert.equal(added({}, {}, { ...facts, directRouting: true }), [
    `element direct ipv4 . ${bridge}`,
    `element direct ipv6 . ${bridge}`,
  ])
})

test('network: an internal one opens nothing, whatever its options', () => {
  const raw = {
    'com.docker.network.bridge.gateway_mode_ipv4': 'nat-unprotected',
    'com.docker.network.bridge.gateway_mode_ipv6': 'routed',
    'com.docker.network.bridge.trusted_host_interfaces': 'eth1',
    'com.docker.network.host_ipv4': '192.0.2.7',
  }
  assert.equal(added(raw, { internal: true }, { ...facts, directRouting: true }), [])
})

test('network: blackholes are closed before the bridge exists', () => {
  const holed = network({ 'weft.routes': 'blackhole 10.0.0.0/8, blackhole 10.1.0.0/16,10.9.0.0/16 via 10.7.0.9' })
  const plan = print(bridgeDriver.planNetwork(holed, facts))
  assert.is(plan[1], `element blackhole4 ${bridge} . 10.0.0.0/8`)
  assert.not.ok(plan.some(line => line.includes('10.1.0.0') || line.includes('10.9.0.0')))
  assert.equal(bridgeDriver.join(holed, endpoint, facts).routes, [{ destination: '10.9.0.0/16', via: '10.7.0.9' }])
})

const more4 = { pool: '10.8.0.0/24' as Cidr, gateway: '10.8.0.1/24' as Cidr, aux: {} }

test('network: several subnets of a family, each with its gateway', () => {
  const wide = network({}, { subnets: [v4, more4] })
  const plan = print(bridgeDriver.planNetwork(wide, facts))
  assert.ok(plan.includes(`address 10.7.0.1/24 on ${bridge}`))
  assert.ok(plan.includes(`address 10.8.0.1/24 on ${bridge}`))
  assert.ok(plan.includes('element masq4 10.8.0.0/24'))
  const inOther = { ...endpoint, addresses: ['10.8.0.2/24'] as Cidr[] }
  const { gateways, routes } = bridgeDriver.join(wide, inOther, facts)
  assert.equal(gateways, ['10.8.0.1'])
  assert.equal(routes, [{ destination: '10.7.0.0/24' }], 'the other subnet is on the same link')
})

test('join: the default route leads to another router of the network', () => {
  const other = network({}, { subnets: [{ ...v4, aux: { DefaultGatewayIPv4: '10.7.0.9' as Ip } }] })
  assert.equal(bridgeDriver.admit(other, [], facts), other)
  assert.equal(bridgeDriver.join(other, endpoint, facts).gateways, ['10.7.0.9'])
})

test('join: no default route, and none by docker_gwbridge either', () => {
  const answer = bridgeDriver.join(network({ 'weft.default_route': 'false' }), endpoint, facts)
  assert.equal([answer.gateways, answer.disableGatewayService], [[], true])
})

test('join: the prefix of the interface in the container', () => {
  const named = network({ 'com.docker.network.container_iface_prefix': 'lan' })
  assert.is(bridgeDriver.join(named, endpoint, facts).dstPrefix, 'lan')
})

const link = 'wv7au62alng42'

test('endpoint: the rules know its MAC and addresses before it exists', () => {
  assert.equal(print(bridgeDriver.planEndpoint(network(), { ...endpoint, ports: [] }, facts)), [
    `element ports ${link}`,
    `element ports_mac ${link} . 02:42:0a:07:00:02`,
    `element ports4 ${link} . 02:42:0a:07:00:02 . 10.7.0.2`,
    `element ports6 ${link} . 02:42:0a:07:00:02 . fd00:7::2`,
    `element ports6 ${link} . 02:42:0a:07:00:02 . fe80::42:aff:fe07:2`,
    `veth ${link} master ${bridge} handed 02:42:0a:07:00:02`,
  ])
})

test('endpoint: sources of its ports are limited before they are served; its own list goes first', () => {
  const limited = network({ 'weft.publish.from': '192.0.2.0/24,192.0.2.7' })
  const plan = print(bridgeDriver.planEndpoint(limited, endpoint, facts))
  const start = plan.findIndex(line => line.includes('from4'))
  assert.equal(plan.slice(start, start + 3), [
    'element from4 10.7.0.2 . 192.0.2.0/24',
    'element limited4 10.7.0.2',
    'element limited6 fd00:7::2',
  ])
  assert.ok(start < plan.findIndex(line => line.includes('pub4any')))
  const options = bridgeDriver.parseEndpointOptions({ 'weft.publish.from': '2001:db8::7' })
  const own = print(bridgeDriver.planEndpoint(limited, { ...endpoint, options }, facts))
  assert.equal(
    own.filter(line => line.includes('from')),
    ['element from6 fd00:7::2 . 2001:db8::7/128'],
  )
})

test('endpoint: the host firewall is asked about a port before it is open', () => {
  const asked = print(bridgeDriver.planEndpoint(network({ 'weft.publish': 'host-firewall' }), endpoint, facts))
  const start = asked.findIndex(line => line.includes('asked'))
  assert.equal(asked.slice(start, start + 4), [
    'element asked4any tcp . 8080',
    'element pub4any tcp . 8080 : 10.7.0.2 . 80',
    'element asked6any tcp . 8080',
    'element pub6any tcp . 8080 : fd00:7::2 . 80',
  ])
})

test('endpoint: with trusted interfaces its published ports are open by its address, each once', () => {
  const trusting = network({ 'com.docker.network.bridge.trusted_host_interfaces': 'eth1' })
  const twice = { ...endpoint, ports: [...endpoint.ports, { ...web, hostPort: 8081 }] }
  const plan = print(bridgeDriver.planEndpoint(trusting, twice, facts))
  assert.equal(
    plan.filter(line => line.includes(' direct')),
    ['element direct4 10.7.0.2 . tcp . 80', 'element direct6 fd00:7::2 . tcp . 80'],
  )
})

test('endpoint: a port is open by its own address in the family of its host address, on loopback by none', () => {
  const trusting = network({ 'com.docker.network.bridge.trusted_host_interfaces': 'eth1' })
  const opened = (some: ReturnType<typeof network>, change: object, more: object = {}): readonly string[] =>
    print(bridgeDriver.planEndpoint(some, { ...endpoint, ...change }, { ...facts, ...more })).filter(line =>
      line.includes(' direct'),
    )
  const on = (hostAddress: string): object => ({ ports: [{ ...web, hostAddress: hostAddress as Ip }] })
  assert.equal(opened(trusting, on('192.0.2.11')), ['element direct4 10.7.0.2 . tcp . 80'])
  assert.equal(opened(trusting, on('127.0.0.1')), [])
  assert.equal(opened(trusting, on('::1')), [])
  assert.equal(opened(network(), on('127.0.0.1'), { directRouting: true }), [])
  const routed = network({ 'com.docker.network.bridge.gateway_mode_ipv6': 'routed' })
  const direct = [{ protocol: 'tcp', port: 80 }]
  assert.equal(opened(routed, { ports: [], direct }), ['element direct6 fd00:7::2 . tcp . 80'])
  assert.equal(opened(routed, { ports: [], direct: [{ ...direct[0], family: 4 }] }), [])
  const asked = network({ 'weft.publish': 'host-firewall' })
  assert.equal(opened(asked, on('192.0.2.11'), { directRouting: true }), [], 'INPUT rules would not be asked')
})

test('endpoint: the other family of the host, and ::1, are relayed', () => {
  const only4 = { ...endpoint, addresses: ['10.7.0.2/24'] as Cidr[] }
  const lines = print(bridgeDriver.planEndpoint(network({}, { subnets: [v4] }), only4, facts))
  const relay = lines.indexOf('port tcp :: 8080 relayed to 10.7.0.2 80')
  // Internal networks are kept from it before it serves.
  assert.is(lines[relay - 1], 'element relayed6any tcp . 8080')
  assert.not.ok(lines.some(line => line.includes('pub6')))
  const named = { ...endpoint, ports: [{ ...web, hostAddress: '::1' as Ip }] }
  const loop = print(bridgeDriver.planEndpoint(network(), named, facts)).filter(line =>
    /^(port |element (pub|relayed))/.test(line),
  )
  assert.equal(loop, ['port tcp ::1 8080 relayed to fd00:7::2 80'])
})

test('endpoint: the name of its link', () => {
  const options = bridgeDriver.parseEndpointOptions({ 'weft.link': 'web0' })
  const plan = print(bridgeDriver.planEndpoint(network(), { ...endpoint, options }, facts))
  assert.ok(plan.includes(`veth web0 master ${bridge} handed 02:42:0a:07:00:02`))
  const evidence = { hasLink: (name: string) => name === 'web0', hasNamespace: () => false, now: 0 }
  assert.ok(bridgeDriver.alive({ ...endpoint, options }, evidence))
})

test('host: forwarding is guarded before it is switched on, and other firewalls are told', () => {
  const known: Facts = {
    ...facts,
    forwarded: [4, 6],
    uplinks: ['br0' as IfName],
    acceptHooks: [{ family: 'ip', chain: 'DOCKER-USER', backend: 'nft' }],
  }
  const plan = bridgeDriver.planHost(known, [])
  assert.equal(print(plan), [
    'ruleset weft',
    'ruleset weft_ports',
    'element uplinks br0',
    'element switched br0 . br0',
    'element guarded ipv4',
    'element guarded ipv6',
    'sysctl net/ipv4/ip_forward = 1',
    'sysctl net/ipv6/conf/all/forwarding = 1',
    'accept ip DOCKER-USER nft mark 0x100000',
  ])
})

test('join: a gateway per family, and none for an internal network', () => {
  assert.equal(bridgeDriver.join(network(), endpoint, facts).gateways, ['10.7.0.1', 'fd00:7::1'])
  assert.equal(bridgeDriver.join(network({}, { internal: true }), endpoint, facts).gateways, [])
})

test.run()
