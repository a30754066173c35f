import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bridgeDriver } from '../../drivers/bridge/index.ts'
import type { BridgeOptions } from '../../drivers/bridge/options.ts'
import type { Network } from '../../drivers/driver.ts'
import type { Cidr, Ip } from '../../native/value/ip.ts'
import { facts, network, v4 } from '../support/bridge.ts'
import type { networkId } from '../support/house.ts'

const refused: readonly { readonly name: string; readonly raw: Record<string, string>; readonly text: RegExp }[] = [
  { name: 'unknown', raw: { 'com.docker.network.bridge.enable_ic': 'true' }, text: /has no option .*enable_ic/ },
  {
    name: "the mark of Docker's own network",
    raw: { 'com.docker.network.bridge.default_bridge': 'true' },
    text: /does not serve .*default_bridge/,
  },
  {
    name: 'unknown mode',
    raw: { 'com.docker.network.bridge.gateway_mode_ipv4': 'open' },
    text: /failed to parse .*gateway_mode_ipv4 value: "open"/,
  },
  { name: 'source of the other family', raw: { 'com.docker.network.host_ipv4': 'fd00::1' }, text: /host_ipv4 value/ },
  { name: 'any address as a source', raw: { 'com.docker.network.host_ipv6': '::' }, text: /host_ipv6 value/ },
  {
    name: 'a source without masquerade',
    raw: {
      'com.docker.network.host_ipv4': '192.0.2.1',
      'com.docker.network.bridge.enable_ip_masquerade': 'false',
    },
    text: /host_ipv4 has no meaning with/,
  },
  {
    name: "the host's INPUT rules, where the container's own address is open",
    raw: { 'weft.publish': 'host-firewall', 'com.docker.network.bridge.gateway_mode_ipv6': 'routed' },
    text: /publish=host-firewall cannot hold with .*gateway_mode_ipv6=routed/,
  },
  {
    name: "the host's INPUT rules, and interfaces that need not ask them",
    raw: { 'weft.publish': 'host-firewall', 'com.docker.network.bridge.trusted_host_interfaces': 'eth1' },
    text: /publish=host-firewall cannot hold with .*trusted_host_interfaces/,
  },
  { name: 'five announcements', raw: { 'com.docker.network.advertise_addr_nmsgs': '5' }, text: /nmsgs value/ },
  {
    name: 'long prefix',
    raw: { 'com.docker.network.container_iface_prefix': 'a-prefix-of-17-bs' },
    text: /prefix value/,
  },
  { name: 'no source', raw: { 'weft.publish.from': '192.0.2.0/24,' }, text: /publish\.from value/ },
  { name: 'a default route as a route', raw: { 'weft.routes': '0.0.0.0/0 via 10.7.0.9' }, text: /routes value/ },
  { name: 'a route between families', raw: { 'weft.routes': '10.0.0.0/8 via fd00::1' }, text: /routes value/ },
  { name: 'a route with a metric', raw: { 'weft.routes': '10.0.0.0/8 via 10.7.0.9 metric 5' }, text: /routes value/ },
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

test('options: unknown ones are ignored when the user says so, but bad values never', () => {
  const options = bridgeDriver.parseOptions({ 'weft.strict': 'false', 'some.label': 'x' })
  assert.equal(bridgeDriver.ignored(options), ['some.label'])
  assert.throws(() => bridgeDriver.parseOptions({ 'weft.strict': 'false', 'weft.publish': 'x' }), /weft\.publish value/)
})

test('endpoint options: unknown ones are refused', () => {
  assert.throws(
    () => bridgeDriver.parseEndpointOptions({ 'weft.antispof': 'false' }),
    /no endpoint option weft\.antispof/,
  )
})

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
  { name: 'overlapping subnets', asked: network({}, { subnets: [v4, v4] }), text: /of the network overlap/ },
  {
    name: 'isolated from the host, but not internal',
    asked: network({ 'com.docker.network.bridge.gateway_mode_ipv6': 'isolated' }),
    text: /gateway mode 'isolated' can only be used for an internal network/,
  },
  {
    name: 'no gateway',
    asked: network({}, { subnets: [{ pool: '10.7.0.0/24' as Cidr, aux: {} }] }),
    text: /without a gateway/,
  },
  {
    name: 'a family that is not there',
    asked: network({ 'com.docker.network.enable_ipv6': 'true' }, { subnets: [v4] }),
    text: /enable_ipv6=true, but the engine made a network without it/,
  },
  {
    name: 'a route by a stranger',
    asked: network({ 'weft.routes': '10.9.0.0/16 via 10.8.0.9' }),
    text: /by 10\.8\.0\.9, which no subnet of the network has/,
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
    name: 'another default gateway, elsewhere',
    asked: network({}, { subnets: [{ ...v4, aux: { DefaultGatewayIPv4: '10.8.0.9' as Ip } }] }),
    text: /default gateway ip must be part of the network/,
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
