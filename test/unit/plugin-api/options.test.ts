import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { UserError } from '../../../plugin-api/answer.ts'
import { RequestAddress } from '../../../plugin-api/ipam.ts'
import { addressOptions, endpointOptions, networkOptions } from '../../../plugin-api/options.ts'
import type { AddressOptions } from '../../../plugin-api/options.ts'
import { parse } from '../../../plugin-api/read.ts'

const portmap = 'com.docker.network.portmap'

function refusal(run: () => unknown): string {
  try {
    run()
  } catch (cause) {
    assert.instance(cause, UserError)
    assert.is((cause as UserError).code, 'BAD_REQUEST')
    return (cause as UserError).text
  }
  assert.unreachable('accepted')
  return ''
}

test('network options: an engine before 28 says nothing about IPv4', () => {
  const raw = { 'com.docker.network.enable_ipv6': false, 'com.docker.network.generic': {} }
  assert.equal(networkOptions('CreateNetwork', raw), {
    internal: false,
    enableIpv4: true,
    enableIpv6: false,
    generic: {},
  })
})

test('network options: all that an engine of today says', () => {
  const raw = {
    'com.docker.network.internal': true,
    'com.docker.network.enable_ipv4': false,
    'com.docker.network.enable_ipv6': true,
    'com.docker.network.generic': { 'com.docker.network.driver.mtu': '1400', flag: '', count: 3 },
    'com.docker.network.new': { some: 'thing' },
  }
  assert.equal(networkOptions('CreateNetwork', raw), {
    internal: true,
    enableIpv4: false,
    enableIpv6: true,
    generic: { 'com.docker.network.driver.mtu': '1400', flag: '', count: '3' },
  })
})

test('network options: no options at all', () => {
  const defaults = { internal: false, enableIpv4: true, enableIpv6: false, generic: {} }
  assert.equal(networkOptions('GwAllocCheck', {}), defaults)
  assert.equal(networkOptions('GwAllocCheck', { 'com.docker.network.generic': null }), defaults)
})

test('network options: a nested driver option is refused by name', () => {
  const raw = { 'com.docker.network.generic': { mtu: { value: 1 } } }
  assert.is(
    refusal(() => networkOptions('CreateNetwork', raw)),
    'CreateNetwork: Options: ["com.docker.network.generic"].mtu: expected a string, got an object',
  )
})

test('endpoint options: ports, and what the user gave the driver', () => {
  const raw = {
    [portmap]: [
      { Proto: 6, IP: '', Port: 80, HostIP: '127.0.0.1', HostPort: 8080, HostPortEnd: 8080 },
      { Proto: 17, IP: '', Port: 53, HostIP: '', HostPort: 0, HostPortEnd: 0 },
      { Proto: 6, IP: '', Port: 9000, HostIP: '', HostPort: 9000, HostPortEnd: 9009 },
    ],
    'com.docker.network.endpoint.exposedports': [{ Proto: 17, Port: 53 }],
    'com.docker.network.endpoint.dnsservers': ['192.0.2.1'],
    'com.docker.network.endpoint.macaddress': 'AqoAAAAz',
    'com.docker.network.driver.private.no_proxy_6to4': true,
    k1: 'v1',
    flag: '',
  }
  assert.equal(endpointOptions('CreateEndpoint', raw), {
    ports: [
      { Proto: 6, Port: 80, HostIP: '127.0.0.1', HostPort: 8080, HostPortEnd: 8080 },
      { Proto: 17, Port: 53, HostPort: 0, HostPortEnd: 0 },
      { Proto: 6, Port: 9000, HostPort: 9000, HostPortEnd: 9009 },
    ],
    exposedPorts: [{ Proto: 17, Port: 53 }],
    dnsServers: ['192.0.2.1'],
    isIpv6Elsewhere: true,
    isMacChosen: true,
    driver: { k1: 'v1', flag: '' },
  })
})

test('endpoint options: absent lists are empty ones', () => {
  const none = { ports: [], exposedPorts: [], dnsServers: [], isIpv6Elsewhere: false, isMacChosen: false, driver: {} }
  assert.equal(endpointOptions('Join', {}), none)
  assert.equal(endpointOptions('Join', { [portmap]: null }), none)
})

test('endpoint options: a port without an end is a range of one', () => {
  const [binding] = endpointOptions('Join', { [portmap]: [{ Proto: 6, Port: 80, HostPort: 8080 }] }).ports
  assert.is(binding?.HostPortEnd, 8080)
})

test('endpoint options: a bad port is refused by its place', () => {
  const bind = (binding: object): string => refusal(() => endpointOptions('Join', { [portmap]: [binding] }))
  const place = 'Join: Options: ["com.docker.network.portmap"][0].'
  assert.is(bind({ Proto: 6, Port: 70_000 }), `${place}Port: expected an integer from 0 to 65535, got 70000`)
  assert.is(bind({ Port: 80 }), `${place}Proto: expected an integer, got nothing`)
  assert.is(bind({ Proto: 6, Port: 80, HostIP: 'x' }), `${place}HostIP: expected an address, like 10.0.0.2, got "x"`)
  assert.is(
    bind({ Proto: 6, Port: 80, HostPort: 9, HostPortEnd: 8 }),
    'Join: published port range 9-8 ends before it begins',
  )
})

const mac = '02:42:99:c0:10:6d'
const macKey = 'com.docker.network.endpoint.macaddress'
const purposes: readonly { name: string; wish: object; want: AddressOptions }[] = [
  {
    name: 'a gateway to be chosen',
    wish: { Address: '', Options: { RequestAddressType: 'com.docker.network.gateway' } },
    want: { purpose: 'gateway', mac: undefined },
  },
  {
    name: "a gateway of the user's",
    wish: { Address: '10.0.0.1', Options: { RequestAddressType: 'com.docker.network.gateway' } },
    want: { purpose: 'gateway', mac: undefined },
  },
  { name: 'an endpoint', wish: { Options: { [macKey]: mac } }, want: { purpose: 'endpoint', mac } },
  {
    name: 'an endpoint with --ip',
    wish: { Address: '10.0.0.9', Options: { [macKey]: mac } },
    want: { purpose: 'endpoint', mac },
  },
  { name: 'an endpoint without a MAC', wish: { Options: null }, want: { purpose: 'endpoint', mac: undefined } },
  {
    name: 'an auxiliary address, or a repeated one',
    wish: { Address: '10.0.0.9', Options: null },
    want: { purpose: 'reserved', mac: undefined },
  },
]
for (const { name, wish, want } of purposes) {
  test(`address options: ${name}`, () => {
    assert.equal(addressOptions(parse('RequestAddress', RequestAddress, { PoolID: 'p', ...wish })), want)
  })
}

test('address options: a MAC that is none is refused', () => {
  const request = parse('RequestAddress', RequestAddress, { PoolID: 'p', Options: { [macKey]: 'AqoAAAAz' } })
  assert.match(
    refusal(() => addressOptions(request)),
    /endpoint.macaddress.*: expected a hardware address/,
  )
})

test.run()
