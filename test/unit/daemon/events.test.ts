/** Which events lead to a comparison with the kernel: most of what the kernel tells is weft's own doing. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { newsOf, type Present, type Sources } from '../../../daemon/events.ts'
import { ifName } from '../../../drivers/names.ts'
import type { KernelEvent } from '../../../native/diag/events.ts'
import type { Child, IfName } from '../../../native/kernel/resource.ts'
import { parseCidr, type Cidr, type Ip } from '../../../native/value/ip.ts'
import { createEndpoint, createNetwork, endpointId, testHouse } from '../../support/house.ts'

const own = 'wb-own'
const veth = ifName('wv', endpointId)

async function sources(adopted = false): Promise<Omit<Sources, 'settler'>> {
  const { house, handlers } = await testHouse(adopted ? { facts: { foreignBridges: [own as never] } } : {})
  await handlers.createNetwork(createNetwork({ generic: { 'com.docker.network.bridge.name': own } }))
  await handlers.createEndpoint(createEndpoint())
  const tables = { own: ['inet weft'], others: ['ip filter'] }
  return { house, tables, portId: 7, removing: () => new Set(['wv-going']) }
}

type LinkEvent = KernelEvent & { readonly type: 'link' }
function link(op: 'new' | 'del', name: string, more: Partial<LinkEvent> = {}): LinkEvent {
  return { type: 'link', op, index: 9, name, alias: undefined, up: true, newNetnsId: undefined, ...more }
}

function nftables(portId: number, table: string): KernelEvent {
  return { type: 'nftables', tables: [table], generation: 1, portId, program: 'nft' }
}

test("events: the birth of weft's own links is no news, their end is", async () => {
  const from = await sources()
  for (const name of [own, veth]) {
    assert.is(newsOf(from, link('new', name), new Map()), undefined)
    assert.is(newsOf(from, link('del', name), new Map())?.why, `link ${name} is gone`)
  }
})

test('events: links of others, and those that weft removes, are no news', async () => {
  const from = await sources()
  assert.is(newsOf(from, link('del', 'eth7'), new Map()), undefined)
  from.house.reconciler.wish('going', [
    { type: 'bridge', name: 'wv-going' as never, adopted: false, alias: 'weft network x' },
  ])
  assert.is(newsOf(from, link('del', 'wv-going'), new Map()), undefined)
})

test("events: a bridge of somebody else's is news when it appears, not whenever it changes", async () => {
  const from = await sources(true)
  const present: Present = new Map()
  assert.is(newsOf(from, link('new', own), present)?.why, `link ${own} appeared`)
  assert.is(newsOf(from, link('new', own), present), undefined)
  assert.is(newsOf(from, link('del', own), present)?.why, `link ${own} is gone`)
  assert.is(newsOf(from, link('new', own), present)?.why, `link ${own} appeared`)
})

test("events: changes of weft's rules by others are looked at at once", async () => {
  const from = await sources()
  assert.is(newsOf(from, nftables(7, 'inet weft'), new Map()), undefined)
  assert.equal(newsOf(from, nftables(8, 'inet weft'), new Map()), { why: "nft changed weft's rules", now: true })
  assert.equal(newsOf(from, nftables(8, 'ip filter'), new Map()), { why: 'nft changed ip filter', now: false })
  assert.is(newsOf(from, nftables(8, 'inet firewalld'), new Map()), undefined)
})

test('events: only a wished address is missed', async () => {
  const from = await sources()
  const removed = (text: string): string | undefined => {
    const cidr = parseCidr(text)
    if (!cidr) throw new Error(`${text} is no address`)
    return newsOf(from, { type: 'address', op: 'del', linkIndex: 9, cidr, protocol: 0 }, new Map())?.why
  }
  assert.is(removed('10.7.0.1/24'), 'address 10.7.0.1/24 was removed')
  assert.is(removed('10.7.0.9/24'), undefined)
})

const shim: Child = {
  ...{ type: 'child', name: 'ws-own' as IfName, parent: 'eth0' as IfName, kind: 'macvlan', mode: 'bridge' },
  ...{ alias: 'weft network x', handed: false },
}
/** What a sequence of events means, with something on eth0. */
function told(from: Omit<Sources, 'settler'>, ...events: readonly KernelEvent[]): readonly (string | undefined)[] {
  const present: Present = new Map()
  return events.map(event => newsOf(from, event, present)?.why)
}

test('events: the parent of a wished link is news when it appears, is another one, or comes up', async () => {
  const from = await sources()
  const events = [
    link('new', 'eth0', { up: false }),
    link('new', 'eth0', { up: true }),
    link('new', 'eth0', { up: true }),
    link('new', 'eth0', { up: false }),
    link('del', 'eth0'),
    link('new', 'eth0', { index: 12 }),
    link('new', 'eth0', { index: 13 }),
    link('new', 'old0', { index: 13 }),
    link('new', 'eth0', { index: 13 }),
  ]
  assert.equal(told(from, ...events), Array(9).fill(undefined), 'nothing stands on it')
  from.house.reconciler.wish('x', [shim])
  const appeared = 'link eth0 appeared'
  assert.equal(told(from, ...events), [
    ...[appeared, 'link eth0 is up', undefined, undefined, undefined, appeared, appeared, undefined, appeared],
  ])
  from.house.reconciler.wish('x', [{ ...shim, handed: true }])
  assert.equal(told(from, ...events), Array(9).fill(undefined), 'what stands on it is not here')
  from.house.reconciler.wish('x', [{ type: 'proxy', link: 'eth0' as IfName, address: '10.0.0.2' as Ip }])
  assert.is(told(from, link('new', 'eth0'))[0], appeared, 'the host answers on it')
})

test('events: a link that a container gets is no news, one that is taken away or set down is', async () => {
  const from = await sources()
  const events = [
    link('del', shim.name, { newNetnsId: 3 }),
    link('new', shim.name, { up: false }),
    link('del', shim.name),
  ]
  from.house.reconciler.wish('x', [{ ...shim, handed: true }])
  assert.equal(told(from, ...events), [undefined, undefined, 'link ws-own is gone'])
  from.house.reconciler.wish('x', [shim])
  assert.equal(told(from, ...events), ['link ws-own is gone', 'link ws-own is down', 'link ws-own is gone'])
  from.house.reconciler.wish('x', [{ ...shim, up: false }])
  assert.is(told(from, ...events)[1], undefined)
})

test('events: only a wished route is missed', async () => {
  const from = await sources()
  const destination = '10.0.0.2/32' as Cidr
  const removed: KernelEvent = {
    ...{ type: 'route', op: 'del', destination, table: 254, outInterfaces: [9], gateway: undefined, protocol: 0x57 },
  }
  assert.is(told(from, removed)[0], undefined)
  from.house.reconciler.wish('x', [{ type: 'route', destination, link: shim.name }])
  assert.equal(told(from, removed, { ...removed, op: 'new' }), ['the route to 10.0.0.2/32 was removed', undefined])
})

test.run()
