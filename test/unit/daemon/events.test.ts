/** Which events lead to a comparison with the kernel: most of what the kernel tells is weft's own doing. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { newsOf, type Sources } from '../../../daemon/events.ts'
import { ifName } from '../../../drivers/names.ts'
import type { KernelEvent } from '../../../native/diag/events.ts'
import { parseCidr } from '../../../native/value/ip.ts'
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

function link(op: 'new' | 'del', name: string): KernelEvent {
  return { type: 'link', op, index: 9, name, alias: undefined, newNetnsId: undefined }
}

function nftables(portId: number, table: string): KernelEvent {
  return { type: 'nftables', tables: [table], generation: 1, portId, program: 'nft' }
}

test("events: the birth of weft's own links is no news, their end is", async () => {
  const from = await sources()
  for (const name of [own, veth]) {
    assert.is(newsOf(from, link('new', name), new Set()), undefined)
    assert.is(newsOf(from, link('del', name), new Set())?.why, `link ${name} is gone`)
  }
})

test('events: links of others, and those that weft removes, are no news', async () => {
  const from = await sources()
  assert.is(newsOf(from, link('del', 'eth7'), new Set()), undefined)
  from.house.reconciler.wish('going', [
    { type: 'bridge', name: 'wv-going' as never, adopted: false, alias: 'weft network x' },
  ])
  assert.is(newsOf(from, link('del', 'wv-going'), new Set()), undefined)
})

test("events: a bridge of somebody else's is news when it appears, not whenever it changes", async () => {
  const from = await sources(true)
  const present = new Set<string>()
  assert.is(newsOf(from, link('new', own), present)?.why, `link ${own} appeared`)
  assert.is(newsOf(from, link('new', own), present), undefined)
  assert.is(newsOf(from, link('del', own), present)?.why, `link ${own} is gone`)
  assert.is(newsOf(from, link('new', own), present)?.why, `link ${own} appeared`)
})

test("events: changes of weft's rules by others are looked at at once", async () => {
  const from = await sources()
  assert.is(newsOf(from, nftables(7, 'inet weft'), new Set()), undefined)
  assert.equal(newsOf(from, nftables(8, 'inet weft'), new Set()), { why: "nft changed weft's rules", now: true })
  assert.equal(newsOf(from, nftables(8, 'ip filter'), new Set()), { why: 'nft changed ip filter', now: false })
  assert.is(newsOf(from, nftables(8, 'inet firewalld'), new Set()), undefined)
})

test('events: only a wished address is missed', async () => {
  const from = await sources()
  const removed = (text: string): string | undefined => {
    const cidr = parseCidr(text)
    if (!cidr) throw new Error(`${text} is no address`)
    return newsOf(from, { type: 'address', op: 'del', linkIndex: 9, cidr, protocol: 0 }, new Set())?.why
  }
  assert.is(removed('10.7.0.1/24'), 'address 10.7.0.1/24 was removed')
  assert.is(removed('10.7.0.9/24'), undefined)
})

test.run()
