/** From wishes and what is there to changes: what is compared, what is left to others, and in which order. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { compare, diff, surplus } from '../../../native/kernel/diff.ts'
import {
  describe,
  keyOf,
  type Bridge,
  type Child,
  type IfName,
  type Resource,
  type Veth,
} from '../../../native/kernel/resource.ts'
import type { Change } from '../../../native/kernel/kernel.ts'
import type { Cidr, Ip } from '../../../native/value/ip.ts'
import type { Mac } from '../../../native/value/mac.ts'

const mac = '02:00:00:00:00:01' as Mac
const br: Bridge = { type: 'bridge', name: 'wb1' as IfName, mac, adopted: false, alias: 'weft network 1' }
const pair: Veth = {
  type: 'veth',
  name: 'wv1' as IfName,
  mac,
  master: 'wb1' as IfName,
  isolated: false,
  peer: { name: 'wc1' as IfName, mac },
  handed: false,
  alias: 'weft endpoint 1',
}
const shim: Child = {
  ...{ type: 'child', kind: 'macvlan', name: 'wm1' as IfName, parent: 'eth0' as IfName, mode: 'bridge' },
  ...{ mac, alias: 'weft network 1', handed: false },
}
const ipvlan: Child = {
  ...{ type: 'child', kind: 'ipvlan', name: 'wi1' as IfName, parent: 'eth0' as IfName, mode: 'l2' },
  ...{ alias: 'weft network 1', handed: false },
}
const vlan: Child = {
  ...{ type: 'child', kind: 'vlan', name: 'eth0.5' as IfName, parent: 'eth0' as IfName, id: 5 },
  ...{ alias: 'weft vlan', handed: false },
}
const nowhere: Resource = { type: 'dummy', name: 'wd1' as IfName, alias: 'weft network 1' }
const route: Resource = {
  type: 'route',
  destination: '10.0.0.2/32' as Cidr,
  link: 'wm1' as IfName,
  source: '10.0.0.1' as Ip,
}
const proxy: Resource = { type: 'proxy', link: 'eth0' as IfName, address: '10.0.0.2' as Ip }
const address: Resource = { type: 'address', link: 'wb1' as IfName, cidr: '10.0.0.1/24' as Cidr }
const port: Resource = { type: 'port', protocol: 'tcp', address: '0.0.0.0' as Ip, port: 80 }
const relayed: Resource = { ...port, relay: { address: '10.0.0.2' as Ip, port: 80 } }
const rules: Resource = {
  type: 'ruleset',
  family: 'inet',
  table: 'weft',
  digest: 'one',
  program: { messages: [], sets: {} },
}
const accept: Resource = { type: 'accept', family: 'ip', chain: 'FORWARD', backend: 'nft', mark: 1 }
const forwarding: Resource = { type: 'sysctl', key: 'net/ipv4/ip_forward', value: '1' }
const element = (key: string, value?: string): Resource => ({
  type: 'element',
  table: 'weft',
  set: 'pub4any',
  key,
  ...(value === undefined ? {} : { value }),
})
const text = (change: Change): string => `${change.op} ${describe(change.op === 'remove' ? change.have : change.want)}`

test('diff: nothing to do where everything is there', () => {
  const links = [br, pair, shim, ipvlan, vlan, nowhere]
  const all = [rules, ...links, address, route, proxy, port, accept, forwarding, element('tcp . 80', '10.0.0.2 . 80')]
  assert.equal(diff(all, all), [])
})

test('diff: creations in the order of the plan, then removals in reverse', () => {
  const changes = diff([rules, br, address], [element('a'), pair, port])
  assert.equal(changes.map(text), [
    'create ruleset weft one',
    'create bridge wb1 02:00:00:00:00:01',
    'create address 10.0.0.1/24 on wb1',
    'remove port tcp 0.0.0.0 80',
    'remove veth wv1 master wb1 peer wc1 02:00:00:00:00:01',
    'remove element pub4any a',
  ])
})

test('diff: an accept rule with other bits is another one, and stands before the old one goes', () => {
  const old: Resource = { type: 'accept', family: 'ip', chain: 'FORWARD', backend: 'nft', mark: 2 }
  assert.equal(diff([accept], [old]).map(text), [
    'create accept ip FORWARD nft mark 0x1',
    'remove accept ip FORWARD nft mark 0x2',
  ])
})

test('diff: an accept rule is moved when others have come between it and its place', () => {
  assert.equal(diff([accept], [{ ...accept, misplaced: true }]).map(text), ['update accept ip FORWARD nft mark 0x1'])
})

test('diff: a link that a container got is not made again, nor is a bridge that others own', () => {
  assert.equal(
    diff(
      [
        { ...pair, handed: true },
        { ...shim, handed: true },
        { ...br, adopted: true },
      ],
      [],
    ),
    [],
  )
})

test('diff: what stands on a link that is made anew is made again, and nothing else', () => {
  const over: Child = { ...vlan, name: 'wm1.5' as IfName, parent: shim.name }
  const far: Resource = { type: 'address', link: over.name, cidr: '10.0.5.1/24' as Cidr }
  const near: Resource = { type: 'address', link: shim.name, cidr: '10.0.0.1/32' as Cidr }
  const before = [shim, near, route, over, far, proxy, br, address]
  const after: readonly Resource[] = before.map(resource => (resource === shim ? { ...shim, mode: 'vepa' } : resource))
  assert.equal(
    diff(after, before).map(({ op, ...change }) => `${op} ${keyOf('want' in change ? change.want : change.have)}`),
    [
      'recreate link wm1',
      'create address wm1 10.0.0.1/32',
      'create route 10.0.0.2/32',
      'create link wm1.5',
      'create address wm1.5 10.0.5.1/24',
    ],
  )
})

const rows: readonly {
  readonly name: string
  readonly want: Resource
  readonly have: Resource
  readonly verdict: string
}[] = [
  { name: 'an attribute that is not wished may be anything', want: br, have: { ...br, mtu: 9000 }, verdict: 'same' },
  { name: 'an MTU that is wished', want: { ...br, mtu: 1400 }, have: { ...br, mtu: 1500 }, verdict: 'update' },
  { name: 'a bridge without its mark', want: br, have: { ...br, alias: '' }, verdict: 'update' },
  {
    name: 'an adopted bridge is as its owner likes it',
    want: { ...br, adopted: true, mtu: 1400 },
    have: { ...br, snooping: true },
    verdict: 'same',
  },
  { name: 'a pair on another bridge', want: pair, have: { ...pair, master: 'br0' as IfName }, verdict: 'update' },
  { name: 'a pair that must be isolated', want: { ...pair, isolated: true }, have: pair, verdict: 'update' },
  {
    name: 'a pair whose port lets frames past the rules',
    want: pair,
    have: { ...pair, bypass: true },
    verdict: 'update',
  },
  {
    name: 'the same of what a container has',
    want: { ...pair, handed: true },
    have: { ...pair, handed: true, bypass: true },
    verdict: 'update',
  },
  { name: 'a bridge that snoops', want: br, have: { ...br, snooping: true }, verdict: 'update' },
  { name: 'a peer that has left', want: pair, have: { ...pair, handed: true }, verdict: 'same' },
  { name: 'a link of another sort', want: br, have: pair, verdict: 'recreate' },
  { name: 'a child of another parent', want: shim, have: { ...shim, parent: 'old0' as IfName }, verdict: 'recreate' },
  {
    name: 'a child whose parent is elsewhere',
    want: shim,
    have: { ...shim, parent: '' as IfName },
    verdict: 'recreate',
  },
  { name: 'a child of another kind', want: shim, have: { ...ipvlan, name: shim.name }, verdict: 'recreate' },
  { name: 'another mode', want: { ...shim, mode: 'vepa' }, have: shim, verdict: 'recreate' },
  { name: 'a mode of a parent', want: ipvlan, have: { ...ipvlan, mode: 'l3' }, verdict: 'recreate' },
  { name: 'a flag that is not wished', want: ipvlan, have: { ...ipvlan, flag: 'vepa' }, verdict: 'recreate' },
  { name: 'the flag without a name', want: ipvlan, have: { ...ipvlan, flag: 'bridge' }, verdict: 'same' },
  { name: 'another VLAN', want: vlan, have: { ...vlan, id: 6 }, verdict: 'recreate' },
  { name: 'a child that was set down', want: shim, have: { ...shim, down: true }, verdict: 'update' },
  { name: 'a child that may be down', want: { ...shim, up: false }, have: { ...shim, down: true }, verdict: 'same' },
  { name: "a child's MTU", want: { ...shim, mtu: 1400 }, have: { ...shim, mtu: 1300 }, verdict: 'update' },
  {
    name: 'what a container is about to get',
    want: { ...shim, handed: true },
    have: { ...shim, parent: '' as IfName, down: true },
    verdict: 'same',
  },
  { name: 'a dummy that was set down', want: nowhere, have: { ...nowhere, down: true }, verdict: 'update' },
  { name: 'a route by another link', want: route, have: { ...route, link: 'wm2' as IfName }, verdict: 'update' },
  {
    name: 'a route from another address',
    want: route,
    have: { ...route, source: '10.0.0.9' as Ip },
    verdict: 'update',
  },
  { name: 'an address that the host answers for', want: proxy, have: proxy, verdict: 'same' },
  { name: 'a switch', want: forwarding, have: { ...forwarding, value: '0' }, verdict: 'update' },
  { name: 'a map element', want: element('k', 'v'), have: element('k', 'w'), verdict: 'update' },
  { name: 'other rules', want: rules, have: { ...rules, digest: 'two' }, verdict: 'update' },
  { name: 'an accept rule', want: accept, have: { ...accept }, verdict: 'same' },
  { name: 'an address', want: address, have: address, verdict: 'same' },
  { name: 'a port', want: port, have: port, verdict: 'same' },
  { name: 'a port that is to be relayed', want: relayed, have: port, verdict: 'update' },
  { name: 'a relayed port', want: relayed, have: { ...relayed }, verdict: 'same' },
]
for (const { name, want, have, verdict } of rows) {
  test(`compare: ${name}: ${verdict}`, () => {
    assert.is(compare(want, have), verdict)
  })
}

test('surplus: what depends on others goes first, what is foreign or wished stays', () => {
  const have = [rules, accept, nowhere, br, shim, pair, address, route, proxy, port, element('a'), element('wished')]
  const seen = [
    ...have.map(resource => ({ resource, foreign: false })),
    { resource: { ...br, name: 'br0' as IfName }, foreign: true },
  ]
  const changes = surplus(seen, key => key === 'element pub4any wished')
  assert.equal(
    changes.map(({ have: { type } }) => type),
    [...['element', 'port', 'route', 'proxy', 'address', 'child', 'veth', 'dummy', 'bridge'], ...['accept', 'ruleset']],
  )
})

test('describe: links on links, and what the host needs to reach them', () => {
  const resources: readonly Resource[] = [
    { ...shim, mode: 'passthru', mtu: 1400, up: false },
    { ...ipvlan, flag: 'private', handed: true, up: false },
    vlan,
    nowhere,
    route,
    proxy,
  ]
  assert.equal(resources.map(describe), [
    `macvlan wm1 on eth0 passthru mtu 1400 down ${mac}`,
    'ipvlan wi1 on eth0 l2 private handed',
    'vlan eth0.5 on eth0 id 5',
    'dummy wd1',
    'route 10.0.0.2/32 on wm1 source 10.0.0.1',
    'proxy 10.0.0.2 on eth0',
  ])
})

test.run()
