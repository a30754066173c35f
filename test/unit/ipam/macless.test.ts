/**
 * An engine that was told to send no MACs (`weft-ipvlan.sock`): an auxiliary address, a repetition and a container with
 * `--ip` ask in the same words. docs/adr/0003-ipam-replay.md, 0006-ipam-kept-addresses.md
 */
import type { Ip } from '../../../native/value/ip.ts'
import type { Ipam } from '../../../ipam/ipam.ts'
import type { Store } from '../../../ipam/store.ts'
import type { PoolId } from '../../../plugin-api/ids.ts'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryStore } from '../../../daemon/store/memory.ts'
import { client, ipamOver, poolWithGateway, records, refused, wish } from './house.ts'

interface Place {
  readonly ipam: Ipam
  readonly store: Store
  readonly id: PoolId
  /** Without an address: any. */
  readonly ask: (address?: string) => Promise<string>
  /** The engine begins anew and repeats pool, gateway and these. */
  readonly begin: (...addresses: readonly string[]) => Promise<void>
}

/** A pool, 10.64.0.0/24, in the first life of an engine. */
async function place({ isMade = () => true }: { readonly isMade?: () => boolean } = {}): Promise<Place> {
  const store = new MemoryStore()
  const ipam = await ipamOver(store, { macless: () => true, isMade })
  await ipam.engineStarted(client)
  const { id, subnet } = await poolWithGateway(ipam)
  const ask = (address?: string): Promise<string> =>
    ipam.requestAddress(id, address === undefined ? { purpose: 'endpoint' } : { purpose: 'reserved', address })
  return {
    ...{ ipam, store, id, ask },
    async begin(...addresses) {
      await ipam.engineStarted(client)
      await ipam.requestPool(wish(subnet))
      await ipam.requestAddress(id, { purpose: 'gateway', address: '10.64.0.1' })
      for (const address of addresses) assert.is(await ask(address), `${address}/24`)
    },
  }
}

test('macless: chosen by name once the network is made, and not what an engine repeats', async () => {
  let made = false
  const { ipam, store, id, ask, begin } = await place({ isMade: () => made })
  await ask('10.64.0.9')
  assert.is(await ask(), '10.64.0.2/24')
  made = true
  await ask('10.64.0.77')
  await refused(ask('10.64.0.77'), 'ADDRESS_IN_USE')
  assert.equal(
    ipam.leases().map(({ address, purpose }) => `${address} ${purpose}`),
    ['10.64.0.1 gateway', '10.64.0.9 reserved', '10.64.0.2 endpoint', '10.64.0.77 endpoint'],
  )
  // A power cut took a lease.
  await ipam.release({ address: '10.64.0.2' as Ip, force: true })
  await begin('10.64.0.9', '10.64.0.2', '10.64.0.77')
  assert.equal(Object.keys(await records(store, 'chosen/')), [`chosen/${id}/10.64.0.77`])
  assert.is(await ask(), '10.64.0.3/24', 'the engine has begun')
  await refused(ask('10.64.0.77'), 'ADDRESS_IN_USE')
})

test('macless: no address twice, also where nobody knows yet that the network is made', async () => {
  const { ask } = await place({ isMade: () => false })
  await ask('10.64.0.5')
  await refused(ask('10.64.0.5'), 'ADDRESS_IN_USE')
  assert.is(await ask(), '10.64.0.2/24')
  for (const address of ['10.64.0.2', '10.64.0.5']) await refused(ask(address), 'ADDRESS_IN_USE')
})

test('macless: an engine that begins repeats each address once', async () => {
  const { ask, begin, ipam } = await place()
  await ask()
  await begin('10.64.0.2')
  // Nothing was asked for that is new: a container that runs on would share its address.
  await refused(ask('10.64.0.2'), 'ADDRESS_IN_USE')
  await begin('10.64.0.2')
  assert.is(await ask(), '10.64.0.3/24')
  await refused(ask('10.64.0.3'), 'ADDRESS_IN_USE')
  assert.is(ipam.leases().length, 3)
})

test('macless: what was asked for once in this life is asked for by a container, which chose it', async () => {
  const { ask, begin, ipam, store, id } = await place()
  await ask()
  await begin('10.64.0.2')
  assert.is(await ipam.releaseAddress(id, '10.64.0.2'), true)
  await ask('10.64.0.2')
  assert.is(ipam.leases().find(({ address }) => address === '10.64.0.2')?.purpose, 'endpoint')
  assert.equal(Object.keys(await records(store, 'chosen/')), [`chosen/${id}/10.64.0.2`])
  await ask('10.64.0.50')
  assert.ok(ipam.pool(id)?.chosen.has('10.64.0.50' as Ip), 'the engine has begun')
})

test('macless: the first address by name of a life is an endpoint, and may rest', async () => {
  const { ask, begin, ipam, id } = await place()
  await begin()
  await ask('10.64.0.50')
  assert.is(ipam.leases().find(({ address }) => address === '10.64.0.50')?.purpose, 'endpoint')
  assert.is(ipam.pool(id)?.chosen.size, 0, 'it may be what a power cut took')
  await ipam.releaseAddress(id, '10.64.0.50')
  assert.is(ipam.pool(id)?.past.size, 1)
})

test('macless: after a restart of the daemon alone nothing is repeated but the gateway', async () => {
  const { ask, store, id } = await place()
  await ask()
  const ipam = await ipamOver(store, { macless: () => true, isMade: () => true })
  await refused(ipam.requestAddress(id, { purpose: 'reserved', address: '10.64.0.2' }), 'ADDRESS_IN_USE')
  assert.is(await ipam.requestAddress(id, { purpose: 'gateway', address: '10.64.0.1' }), '10.64.0.1/24')
})

test.run()
