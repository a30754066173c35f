/** What weft-macvlan and weft-ipvlan refuse, in whose words. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ChildOptions } from '../../drivers/child/options.ts'
import type { Network } from '../../drivers/driver.ts'
import { ipvlanDriver } from '../../drivers/ipvlan/index.ts'
import { macvlanDriver } from '../../drivers/macvlan/index.ts'
import type { Cidr, Ip } from '../../native/value/ip.ts'
import { endpoint as published, v4, v6 } from '../support/bridge.ts'
import { facts, fresh, link, maker } from '../support/child.ts'
import type { networkId } from '../support/house.ts'

const macvlan = maker(macvlanDriver)
const ipvlan = maker(ipvlanDriver)
const endpoint = fresh(published)
const id2 = '2'.repeat(64) as typeof networkId
const known = {
  ...facts,
  links: [
    ...facts.links,
    link('port0', { bridge: 'br0' as never }),
    link('wbaaaaaaaaaaa', { own: true, kind: 'bridge' }),
    link('ipvl0', { kind: 'ipvlan', ipvlan: { mode: 'l2', flag: 'bridge', parent: 'eth1' as never } }),
  ],
}
const admit = (network: Network<ChildOptions>, others: readonly Network<ChildOptions>[] = []): unknown =>
  (network.driver === 'macvlan' ? macvlanDriver : ipvlanDriver).admit(network, others, known)

const refused: readonly { readonly name: string; readonly act: () => unknown; readonly text: RegExp }[] = [
  {
    name: 'an unknown option',
    act: () => macvlan({ macvlan_mod: 'bridge' }),
    text: /weft-macvlan has no option macvlan_mod/,
  },
  {
    name: 'a VLAN as an option of its own',
    act: () => macvlan({ vlan: '50' }),
    text: /weft-macvlan does not serve vlan: .* -o parent=eth0\.50/,
  },
  {
    name: 'an unknown mode',
    act: () => macvlan({ macvlan_mode: 'x' }),
    text: /requested macvlan mode 'x' is not valid/,
  },
  {
    name: 'an unknown ipvlan mode',
    act: () => ipvlan({ ipvlan_mode: 'l4' }),
    text: /requested ipvlan mode 'l4' is not valid/,
  },
  {
    name: 'an unknown ipvlan flag',
    act: () => ipvlan({ ipvlan_flag: 'x' }),
    text: /requested ipvlan flag 'x' is not valid/,
  },
  { name: 'a strange way of searching', act: () => macvlan({ 'weft.dad': 'slow' }), text: /failed to parse weft\.dad/ },
  {
    name: 'host access in mode private',
    act: () => macvlan({ macvlan_mode: 'private', host_access: 'true' }),
    text: /no meaning with macvlan_mode=private/,
  },
  {
    name: 'host access with flag vepa',
    act: () => ipvlan({ ipvlan_flag: 'vepa', host_access: 'true' }),
    text: /no meaning with ipvlan_flag=vepa/,
  },
  {
    name: 'host access for no address',
    act: () => macvlan({ host_access: 'yes' }),
    text: /failed to parse host_access/,
  },
  {
    name: 'passthru on nothing',
    act: () => macvlan({ parent: '', macvlan_mode: 'passthru' }),
    text: /passthru needs a parent/,
  },
  {
    name: 'loopback',
    act: () => admit(macvlan({ parent: 'lo' })),
    text: /loopback interface is not a valid macvlan parent link/,
  },
  {
    name: 'a missing parent',
    act: () => admit(macvlan({ parent: 'eth9' })),
    text: /-o parent interface was not found on the host: eth9/,
  },
  {
    name: 'a VLAN of a missing parent',
    act: () => admit(macvlan({ parent: 'eth9.5' })),
    text: /not found on the host: eth9$/,
  },
  { name: 'a port of a bridge', act: () => admit(macvlan({ parent: 'port0' })), text: /port0 is a port of bridge br0/ },
  {
    name: "a bridge of weft's",
    act: () => admit(macvlan({ parent: 'wbaaaaaaaaaaa' })),
    text: /a link that weft made for another purpose/,
  },
  {
    name: 'VLAN 0',
    act: () => admit(macvlan({ parent: 'eth0.0' })),
    text: /vlan id must be between 1-4094, received: 0/,
  },
  {
    name: 'VLAN 4095',
    act: () => admit(ipvlan({ parent: 'eth0.4095' })),
    text: /vlan id must be between 1-4094, received: 4095/,
  },
  {
    name: 'a VLAN without a number',
    act: () => admit(macvlan({ parent: 'eth0.x' })),
    text: /required interface name format is: name\.vlan_id/,
  },
  {
    name: 'an MTU above that of the parent',
    act: () => admit(macvlan({ 'com.docker.network.driver.mtu': '9000' })),
    text: /MTU 9000 is larger than that of the parent eth0: 1500/,
  },
  {
    name: 'an MTU too small for IPv6',
    act: () => admit(macvlan({ 'com.docker.network.driver.mtu': '1279' }, { subnets: [v6] })),
    text: /MTU 1279 is too small for IPv6/,
  },
  {
    name: 'subnets that overlap',
    act: () => admit(macvlan({}, { subnets: [v4, v4] })),
    text: /of the network overlap/,
  },
  {
    name: 'a gateway elsewhere',
    act: () => admit(macvlan({}, { subnets: [{ ...v4, gateway: '10.9.0.1/24' as Cidr }] })),
    text: /outside its subnet/,
  },
  {
    name: 'a family that is not there',
    act: () => admit(macvlan({ 'com.docker.network.enable_ipv6': 'true' }, { subnets: [v4] })),
    text: /enable_ipv6=true, but/,
  },
  {
    name: 'passthru beside another network',
    act: () => admit(macvlan({ macvlan_mode: 'passthru' }), [macvlan({}, { id: id2 })]),
    text: /cannot use mode passthru, macvlan network 2+ is already using parent interface eth0/,
  },
  {
    name: 'another network beside passthru',
    act: () => admit(macvlan(), [macvlan({ macvlan_mode: 'passthru' }, { id: id2 })]),
    text: /macvlan network 2+ is already using parent interface eth0 in mode passthru/,
  },
  {
    name: 'another ipvlan mode',
    act: () => admit(ipvlan({ ipvlan_mode: 'l3' }), [ipvlan({}, { id: id2 })]),
    text: /network 2+ is already using parent interface eth0 in another mode \(l2, bridge\)/,
  },
  {
    name: 'another ipvlan mode than that of a link of the host',
    act: () => admit(ipvlan({ parent: 'eth1', ipvlan_mode: 'l3' })),
    text: /link ipvl0 of the host is already using parent interface eth1 in another mode \(l2, bridge\)/,
  },
  {
    name: 'the same on that link',
    act: () => admit(ipvlan({ parent: 'ipvl0', ipvlan_flag: 'vepa' })),
    text: /link ipvl0 of the host is already using/,
  },
  {
    name: 'macvlan beside ipvlan',
    act: () => admit(macvlan(), [ipvlan({}, { id: id2 })]),
    text: /cannot use parent eth0: ipvlan network 2+ is using it/,
  },
  {
    name: 'a kernel without ipvlan',
    act: () => ipvlanDriver.admit(ipvlan(), [], { ...known, childKinds: ['macvlan', 'vlan'] }),
    text: /this kernel has no ipvlan/,
  },
  {
    name: 'a kernel without VLANs',
    act: () => macvlanDriver.admit(macvlan({ parent: 'eth0.5' }), [], { ...known, childKinds: ['macvlan'] }),
    text: /this kernel has no VLAN links/,
  },
]
for (const { name, act, text } of refused) {
  test(`refused: ${name}`, () => {
    assert.throws(act, text)
  })
}

test('admitted: several networks on one parent, and other parents whatever they carry', () => {
  admit(macvlan({ macvlan_mode: 'private' }), [macvlan({}, { id: id2 })])
  admit(ipvlan({ ipvlan_mode: 'l3' }), [ipvlan({ ipvlan_mode: 'l3' }, { id: id2 })])
  admit(macvlan({ parent: 'eth1' }), [ipvlan({}, { id: id2 })])
  admit(ipvlan({ parent: 'eth1' }))
  admit(macvlan({ parent: 'eth0.5' }), [macvlan({ macvlan_mode: 'passthru' }, { id: id2 })])
  admit(macvlan({}, { subnets: [{ pool: '0.0.0.0/0' as Cidr, aux: {} }] }))
})

const neighbour = {
  ...endpoint,
  id: 'b'.repeat(64) as typeof endpoint.id,
  networkId: id2,
  addresses: ['10.7.0.3/24' as Cidr],
}
const admitBeside = (network: Network<ChildOptions>, one: typeof endpoint): void => {
  const theirs = macvlan({}, { id: id2 })
  const driver = network.driver === 'macvlan' ? macvlanDriver : ipvlanDriver
  driver.admitEndpoint?.(network, one, { network: () => theirs, endpoints: [one, neighbour] }, facts)
}
const beside: readonly { readonly name: string; readonly act: () => void; readonly text: RegExp }[] = [
  {
    name: 'a MAC that another container of the parent has',
    act: () => {
      admitBeside(macvlan(), { ...endpoint, addresses: [] })
    },
    text: /MAC address 02:42:0a:07:00:02 is in use in this segment: endpoint b{12} of network 2{12}/,
  },
  {
    name: "the parent's own MAC",
    act: () => {
      admitBeside(macvlan(), { ...endpoint, mac: link('eth0').mac })
    },
    text: /MAC address 02:00:00:00:02:0b is in use .*: eth0 itself has it/,
  },
  {
    name: 'an address that a container of another network has',
    act: () => {
      admitBeside(ipvlan(), { ...endpoint, addresses: ['10.7.0.3/24' as Cidr] })
    },
    text: /address 10\.7\.0\.3 is in use in this segment: endpoint b/,
  },
  {
    name: "the host's own address",
    act: () => {
      admitBeside(ipvlan(), { ...endpoint, addresses: ['10.7.0.200/24' as Cidr] })
    },
    text: /10\.7\.0\.200 is in use in this segment: the host itself has it on eth0/,
  },
  {
    name: 'a second container in passthru',
    act: () => {
      admitBeside(macvlan({ macvlan_mode: 'passthru' }, { id: id2 }), { ...endpoint, networkId: id2 })
    },
    text: /weft-macvlan cannot use parent eth0: endpoint b{12} of network 2{12} has it, and passthru takes the whole link/,
  },
  {
    name: "the address of the host's place",
    act: () => {
      admitBeside({ ...ipvlan(), hostAddresses: ['10.7.0.2' as Ip] }, endpoint)
    },
    text: /10\.7\.0\.2 is in use .*host_access/,
  },
]
test('endpoint admitted: passthru after one that left, or whose address is given again', () => {
  const passthru = macvlan({ macvlan_mode: 'passthru' }, { id: id2 })
  const mine = { ...endpoint, networkId: id2 }
  for (const other of [
    { ...neighbour, phase: 'left' as const },
    { ...neighbour, addresses: endpoint.addresses },
  ]) {
    macvlanDriver.admitEndpoint?.(passthru, mine, { network: () => passthru, endpoints: [other] }, facts)
  }
})

for (const { name, act, text } of beside) {
  test(`endpoint refused: ${name}`, () => {
    assert.throws(act, text)
  })
}

test.run()
