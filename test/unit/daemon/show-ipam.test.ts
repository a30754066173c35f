/** `weft ipam` over a real IPAM and real records; the engine's list is made up. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isMacless } from '../../../daemon/address.ts'
import type { Conflict } from '../../../daemon/conflicts.ts'
import type { EngineNetwork } from '../../../daemon/engine.ts'
import type { Watch } from '../../../daemon/evidence.ts'
import { Holders } from '../../../daemon/holders.ts'
import { ipamView } from '../../../daemon/show-ipam.ts'
import { MemoryStore } from '../../../daemon/store/memory.ts'
import { drivers } from '../../../drivers/registry.ts'
import type { Ipam } from '../../../ipam/ipam.ts'
import type { Cidr, Ip } from '../../../native/value/ip.ts'
import type { EndpointId, NetworkId } from '../../../plugin-api/ids.ts'
import { addressSpaces } from '../../../plugin-api/methods.ts'
import {
  createEndpoint,
  createNetwork,
  endpointId,
  networkId,
  pool,
  testHouse,
  type TestHouse,
} from '../../support/house.ts'
import { recordedLog } from '../../support/view.ts'
import { endpointAddress, ipamOver, poolWithGateway, refused } from '../ipam/house.ts'

const foreignId = 'f'.repeat(64) as NetworkId

interface Place extends TestHouse {
  readonly ipam: Ipam
  readonly holders: Holders
  readonly view: ReturnType<typeof ipamView>
  readonly listed: Map<NetworkId, EngineNetwork>
  readonly conflicts: Conflict[]
  engine: boolean
  looks: number
  /** What the engine tells when it is asked now. */
  onLook?: () => void
  /** Everything happens now from here on, and not a minute ago. */
  atOnce(): void
}

/**
 * A network of weft's on 10.7.0.0/24 with one endpoint and an auxiliary address, which the engine calls web and www; it was
 * made a minute ago.
 */
async function place(): Promise<Place> {
  let ageMs = 60_000
  const ipam = await ipamOver(new MemoryStore(), { now: () => Date.now() - ageMs })
  const house = await testHouse()
  house.house.pools = ipam
  const { id } = await poolWithGateway(ipam, '10.7.0.0/24')
  await endpointAddress(ipam, id, 2)
  await ipam.requestAddress(id, { purpose: 'reserved', address: '10.7.0.9' })
  const AuxAddresses = { printer: '10.7.0.9/24' }
  const own = { ...pool('10.7.0.0/24', '10.7.0.1/24'), AddressSpace: addressSpaces.local, AuxAddresses }
  await house.handlers.createNetwork(createNetwork({ IPv4Data: [own], IPv6Data: [] }))
  await house.handlers.createEndpoint(createEndpoint({ Interface: { Address: '10.7.0.2/24' } }))
  const www = [endpointId, { container: 'www', addresses: ['10.7.0.2' as Ip] }] as const
  const listed = new Map([[networkId, engineNetwork('web', 'weft-bridge', '10.7.0.0/24', [www])]])
  const watch = { names: listed, ipamNetworks: listed } as unknown as Watch
  const holders = new Holders(house.house, watch)
  const conflicts: Conflict[] = []
  const here: Place = {
    ...{ ...house, ipam, holders, listed, conflicts, engine: true, looks: 0 },
    atOnce() {
      ageMs = 0
    },
    view: ipamView({
      ...{ ipam, holders, records: house.house.records, log: recordedLog().log },
      listed: () => listed,
      answered: () => here.engine,
      conflicts: () => conflicts,
      async lookAtEngine() {
        here.looks += 1
        here.onLook?.()
      },
    }),
  }
  return here
}

function engineNetwork(
  name: string,
  driver: string,
  subnet: string,
  endpoints: readonly (readonly [EndpointId, { readonly container: string; readonly addresses: readonly Ip[] }])[] = [],
): EngineNetwork {
  return { name, driver, ipamDriver: 'weft-ipam', subnets: [subnet as Cidr], endpoints: new Map(endpoints) }
}

test('ipam ls: a pool with its network, and how full it is', async () => {
  const { view, ipam } = await place()
  await ipam.reserve('10.7.0.0-24' as never, { address: '10.7.0.50' as Ip })
  const [row] = await view.pools()
  assert.equal(row && { ...row, since: 0 }, {
    ...{ id: '10.7.0.0-24', subnet: '10.7.0.0/24', networkId, network: 'web', driver: 'weft-bridge', since: 0 },
    ...{ size: '254', free: '250', used: 3, outside: 0, kept: 1, reserved: 1, resting: 0 },
  })
})

test('ipam show: an address in each state', async () => {
  const { view, ipam, handlers } = await place()
  const id = '10.7.0.0-24' as never
  await endpointAddress(ipam, id, 3)
  await ipam.releaseAddress(id, '10.7.0.3')
  await endpointAddress(ipam, id, 4, '10.7.0.40')
  await ipam.releaseAddress(id, '10.7.0.40')
  await ipam.reserve(id, { address: '10.7.0.50' as Ip, note: 'printer' })
  const states = ['10.7.0.1', '10.7.0.2', '10.7.0.3', '10.7.0.40', '10.7.0.50', '10.7.0.255', '10.7.0.99']
  assert.equal(await Promise.all(states.map(async address => (await view.address(address)).state)), [
    'in use',
    'in use',
    'resting',
    'kept',
    'reserved',
    'special',
    'free',
  ])
  const { network, lease } = await view.address('10.7.0.2')
  assert.equal([network, lease?.container, lease?.endpoint], ['web', 'www', endpointId])
  assert.is((await view.address('10.7.0.50')).reservation?.note, 'printer')
  await refused(view.address('10.8.0.1'), 'NO_SUCH_POOL')
  assert.match(await refused(view.address('10.8.0'), 'BAD_ADDRESS'), 'write 10.0.0.1 or fd00::1')
  assert.match(await refused(view.address('10.7.0.1/24'), 'BAD_ADDRESS'), /: without \/24$/)
  await handlers.deleteEndpoint({ NetworkID: networkId, EndpointID: endpointId })
})

test('ipam check: agrees, while everything that is held is granted and the other way round', async () => {
  const { view, ipam } = await place()
  assert.equal(await view.suspects(), [])
  await ipam.hold('10.7.0.0-24' as never, 'network/x')
  assert.equal(await view.suspects(), [])
})

test('ipam check: an auxiliary address that the network does not have, and that no endpoint holds', async () => {
  const { view, ipam } = await place()
  const id = '10.7.0.0-24' as never
  await ipam.drop(ipam.leases().find(({ address }) => address === '10.7.0.2') as never)
  for (const address of ['10.7.0.2', '10.7.0.8']) await ipam.requestAddress(id, { purpose: 'reserved', address })
  const reason = 'no endpoint has it, and it is no auxiliary address of the network'
  assert.equal(await view.suspects(), [{ pool: id, network: 'web', address: '10.7.0.8', reason, idle: true }])
  assert.equal((await view.release({ what: '10.7.0.8', force: false })).ended, ['lease'])
  assert.equal(await view.suspects(), [])
})

test('ipam check: a lease that nobody uses, an address that nobody was granted, one that two have', async () => {
  const { view, ipam, listed, handlers } = await place()
  await endpointAddress(ipam, '10.7.0.0-24' as never, 3)
  const other = 'b'.repeat(64) as EndpointId
  await handlers.createEndpoint(createEndpoint({ EndpointID: other, Interface: { Address: '10.7.0.77/24' } }))
  const third = ['c'.repeat(64) as EndpointId, { container: 'cat', addresses: ['10.7.0.88' as Ip] }] as const
  const fourth = ['d'.repeat(64) as EndpointId, { container: 'dog', addresses: ['10.7.0.88' as Ip] }] as const
  listed.set(networkId, engineNetwork('web', 'weft-bridge', '10.7.0.0/24', [third, fourth]))
  const rows = await view.suspects()
  assert.equal(rows.map(({ address, network, reason }) => `${address} ${network}: ${reason}`).toSorted(), [
    '10.7.0.3 web: no endpoint has it, and the engine does not list it',
    '10.7.0.77 web: endpoint bbbbbbbbbbbb has it, and it is granted to nobody',
    '10.7.0.88 web: 2 have it: container cat, container dog',
    '10.7.0.88 web: container cat, container dog has it, and it is granted to nobody',
  ])
})

test("ipam check: other drivers' networks are judged by the engine's list alone, and only when it answers", async () => {
  const here = await place()
  const { view, ipam, listed } = here
  const { id } = await poolWithGateway(ipam, '10.70.0.0/24')
  await endpointAddress(ipam, id, 1)
  here.engine = false
  assert.equal(await view.suspects(), [])
  here.engine = true
  assert.equal(await view.suspects(), [{ pool: id, reason: 'no network uses this pool', idle: true }])
  listed.set(foreignId, engineNetwork('own', 'bridge', '10.70.0.0/24'))
  assert.equal(await view.suspects(), [
    { pool: id, network: 'own', address: '10.70.0.2', reason: 'the engine does not list it', idle: true },
  ])
  here.engine = false
  assert.equal(await view.suspects(), [])
})

test('ipam check: young leases are no suspects: their endpoint is yet to be made', async () => {
  const here = await place()
  const ipam = await ipamOver(new MemoryStore(), { now: Date.now })
  const { id } = await poolWithGateway(ipam, '10.7.0.0/24')
  await endpointAddress(ipam, id, 9)
  const view = ipamView({
    ...{ ipam, holders: here.holders, records: here.house.records, log: recordedLog().log },
    listed: () => here.listed,
    answered: () => true,
    conflicts: () => [],
    lookAtEngine: async () => undefined,
  })
  assert.not((await view.suspects()).some(({ reason }) => /no endpoint has it|no network/.test(reason)))
})

test('ipam check: a network that lost its pool, and a route that leads into one', async () => {
  const { view, ipam, conflicts } = await place()
  conflicts.push({
    ...{
      subnet: '10.7.0.0/24' as Cidr,
      owner: 'network web',
      route: '10.0.0.0/8' as Cidr,
      links: ['tun0'],
      table: 254,
    },
  })
  await ipam.releasePool('10.7.0.0-24' as never)
  const [lost, route] = await view.suspects()
  assert.equal(lost?.reason, 'the network was made on it, and it was released')
  assert.match(route?.reason ?? '', 'meets the route 10.0.0.0/8 by tun0')
  assert.equal([route?.pool, route?.network], [undefined, 'web'], 'the subnet is no pool any more')
  const { id } = await poolWithGateway(ipam, '10.7.0.0/24')
  assert.ok((await view.suspects()).some(({ pool, reason }) => pool === id && reason.includes('meets the route')))
})

test('ipam reserve: where is a network by name or id, or a pool; release tells who goes on', async () => {
  const { view } = await place()
  for (const where of ['web', networkId, networkId.slice(0, 12), '10.7.0.0/24', '10.7.0.0-24']) {
    assert.is((await view.reserve({ where, address: '10.7.0.60', note: where })).reservation?.note, where)
  }
  await refused(view.reserve({ where: 'nowhere', address: '10.7.0.60' }), 'NO_SUCH_POOL')
  await refused(view.reserve({ where: 'web', address: '10.8.0.60' }), 'ADDRESS_OUT_OF_RANGE')
  await refused(view.reserve({ where: 'web', address: '10.7.0.61', mac: '01:00:00:00:00:01' }), 'BAD_MAC')
  assert.equal(await view.release({ what: '10.7.0.60', force: false }), {
    what: '10.7.0.60',
    ended: ['reservation'],
  })
  await refused(view.release({ what: '10.7.0.60', force: false }), 'ADDRESS_FREE')
  assert.match(
    await refused(view.release({ what: '10.7.0.2', force: false }), 'ADDRESS_HELD'),
    'in use by container www',
  )
  assert.match(await refused(view.release({ what: '10.7.0.1', force: false }), 'ADDRESS_HELD'), 'in use by network web')
  assert.equal((await view.release({ what: '10.7.0.2', force: true })).ended, ['lease'])
})

test('ipam reserve: of the names weft serves, ipvlan alone is told no MACs', async () => {
  const { house } = await place()
  const macless = [...Object.keys(drivers), 'ipam'].filter(name => isMacless({ ...house, drivers }, `weft-${name}`))
  assert.equal(macless, ['ipvlan'])
})

test('ipam release: asks the engine first, and believes what it tells now', async () => {
  const here = await place()
  const { view, ipam, listed } = here
  const { id } = await poolWithGateway(ipam, '10.70.0.0/24')
  await endpointAddress(ipam, id, 1)
  const two = [endpointId, { container: 'two', addresses: ['10.70.0.2' as Ip] }] as const
  here.onLook = () => listed.set(foreignId, engineNetwork('own', 'bridge', '10.70.0.0/24', [two]))
  const told = await refused(view.release({ what: '10.70.0.2', force: false }), 'ADDRESS_HELD')
  assert.match(told, '10.70.0.2 is in use by container two: remove that first; --force')
  here.onLook = () => listed.set(foreignId, engineNetwork('own', 'bridge', '10.70.0.0/24'))
  assert.equal(await view.release({ what: '10.70.0.2', force: false }), { what: '10.70.0.2', ended: ['lease'] })
  assert.is(here.looks, 2)
})

test('ipam release: not what a network has, what is young, or what only a silent engine knows', async () => {
  const here = await place()
  const { view, ipam } = here
  const { id } = await poolWithGateway(ipam, '10.70.0.0/24')
  await ipam.requestAddress(id, { purpose: 'reserved', address: '10.70.0.9' })
  await endpointAddress(ipam, id, 1)
  const held = (what: string): Promise<string> => refused(view.release({ what, force: false }), 'ADDRESS_HELD')
  for (const what of ['10.70.0.1', '10.70.0.9']) {
    assert.match(await held(what), `${what} is kept for the network on 10.70.0.0/24: if no network has that`)
  }
  assert.match(await held('10.7.0.9'), 'is in use by network web')
  here.engine = false
  assert.match(await held('10.70.0.2'), 'may be in use: the engine does not answer')
  here.engine = true
  here.atOnce()
  await endpointAddress(ipam, id, 2)
  assert.match(await held('10.70.0.3'), /was granted 0 s ago, .*: ask again in 10 s; --force/)
  await ipam.reserve(id, { address: '10.70.0.3' as Ip })
  assert.match((await view.release({ what: '10.70.0.3', force: false })).stays ?? '', 'was granted')
  assert.equal((await view.release({ what: '10.70.0.3', force: true })).ended, ['lease'])
  assert.equal((await view.release({ what: '10.70.0.2', force: false })).ended, ['lease'])
  assert.equal((await view.release({ what: '10.70.0.9', force: true })).ended, ['lease'])
})

test('ipam release: ends a pool that no network uses, by its subnet or id', async () => {
  const here = await place()
  const { view, ipam, listed } = here
  const held = (what: string, force = false): Promise<string> => refused(view.release({ what, force }), 'POOL_HELD')
  for (const force of [false, true]) assert.match(await held('10.7.0.0/24', force), 'is in use by network web')
  const { id } = await poolWithGateway(ipam, '10.70.0.0/24')
  here.engine = false
  assert.match(await held(id), '10.70.0.0/24 may be in use: the engine does not answer')
  here.engine = true
  listed.set(foreignId, engineNetwork('own', 'bridge', '10.70.0.0/24'))
  assert.match(await held(id), 'is in use by network own')
  listed.delete(foreignId)
  await endpointAddress(ipam, id, 1)
  assert.match(await held(id), 'has 1 address of endpoints, among them 10.70.0.2')
  await view.release({ what: '10.70.0.2', force: false })
  assert.equal(await view.release({ what: '10.70.0.0/24', force: false }), { what: '10.70.0.0/24', ended: ['pool'] })
  here.atOnce()
  await poolWithGateway(ipam, '10.70.0.0/24')
  assert.match(await held(id), 'was granted just now')
  assert.equal((await view.release({ what: id, force: true })).ended, ['pool'])
  await refused(view.release({ what: '10.70.0.0/24', force: false }), 'NO_SUCH_POOL')
  await refused(view.release({ what: '10.70.0.1/24', force: false }), 'BAD_ADDRESS')
})

test('names: of networks and containers, for refusals; of endpoints where the engine has told nothing', async () => {
  const { holders, ipam, listed } = await place()
  const [entry] = ipam.pools()
  if (!entry) throw new Error('no pool')
  assert.equal([holders.nameOf(entry), holders.nameOf(entry, '10.7.0.2' as Ip)], ['network web', 'container www'])
  listed.clear()
  assert.equal(
    [holders.nameOf(entry), holders.nameOf(entry, '10.7.0.2' as Ip), holders.nameOf(entry, '10.7.0.9' as Ip)],
    [`network ${networkId.slice(0, 12)}`, `endpoint ${endpointId.slice(0, 12)}`, undefined],
  )
})

test('claims: subnets of weft, and of the engine where weft gave the addresses to its bridge driver', async () => {
  const { holders, house, listed } = await place()
  listed.set(foreignId, engineNetwork('own', 'bridge', '10.70.0.0/24'))
  // The host has no way into this one.
  const subnets = [{ pool: '10.80.0.0/24' as Cidr, aux: {} }]
  const none = { id: '9'.repeat(64) as NetworkId, driver: 'none', internal: false, subnets, options: {} }
  await house.records.putNetwork(none)
  listed.set('e'.repeat(64) as NetworkId, engineNetwork('lan', 'macvlan', '192.168.1.0/24'))
  const claims = holders.claims().map(({ subnet, owner, links }) => [subnet, owner, links.at(-1)])
  assert.equal(claims, [
    ['10.7.0.0/24', 'network web', claims[0]?.[2]],
    ['10.70.0.0/24', 'network own', `br-${foreignId.slice(0, 12)}`],
  ])
})

test.run()
