/** The host's own addresses in a LAN: asked for all at once, beside other networks, and again before they are used. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { networkHandlers } from '../../../daemon/network.ts'
import { nobody, type Holder, type Question } from '../../../daemon/duplicates.ts'
import { kernelError } from '../../../native/netlink/errors.ts'
import { Ipam } from '../../../ipam/ipam.ts'
import type { Ip } from '../../../native/value/ip.ts'
import type { Mac } from '../../../native/value/mac.ts'
import type { NetworkId } from '../../../plugin-api/ids.ts'
import { facts } from '../../support/child.ts'
import {
  createEndpoint,
  createNetwork,
  endpointId,
  networkId,
  pool,
  rejects,
  testHouse,
  type TestHouse,
} from '../../support/house.ts'
import { recordedLog } from '../../support/view.ts'

const foreign = '02:00:00:00:00:99' as Mac
const ids = { NetworkID: networkId, EndpointID: endpointId }
const named = { parent: 'eth0', host_access: '10.7.0.9,fd00:7::9' }
const both = ['10.7.0.9', 'fd00:7::9'] as const

interface Lan extends TestHouse {
  readonly asked: Question[]
  /** Whoever answers. */
  readonly holders: Set<Holder>
  readonly lines: readonly Record<string, unknown>[]
}

async function lan(driver = 'macvlan'): Promise<Lan> {
  const h = await testHouse({ driver, facts: { links: facts.links } })
  const [asked, holders]: [Question[], Set<Holder>] = [[], new Set()]
  h.house.segment = {
    ...nobody,
    async holders(question) {
      asked.push(question)
      return [...holders].filter(({ address }) => question.addresses.includes(address))
    },
  }
  const { log, lines } = recordedLog()
  Object.assign(h.house, { log })
  return { ...h, asked, holders, lines }
}

function held(address: string, more: Partial<Holder> = {}): Holder {
  return { address: address as Ip, mac: foreign, ...more }
}

test('hosting: all addresses of the host are one question, and one that somebody has is refused', async () => {
  const h = await lan()
  await h.handlers.createNetwork(createNetwork({ generic: named }))
  assert.equal(
    h.asked.map(({ link, addresses, timing }) => ({ link, addresses, timing })),
    [{ link: 'eth0', addresses: [...both], timing: 'fast' }],
  )
  await h.handlers.deleteNetwork({ NetworkID: networkId })
  h.holders.add(held('fd00:7::9'))
  await rejects(
    h.handlers.createNetwork(createNetwork({ generic: named })),
    /address fd00:7::9 for the host is in use on eth0: 02:00:00:00:00:99 has it/,
  )
  assert.equal(h.house.records.networks(), [])
})

test('hosting: other networks do not wait while the segment is asked', async () => {
  const h = await lan()
  const answer = Promise.withResolvers<readonly Holder[]>()
  h.house.segment = { ...nobody, holders: () => answer.promise }
  const asking = h.handlers.createNetwork(createNetwork({ generic: named }))
  const other = createNetwork({ IPv4Data: [pool('10.8.0.0/24', '10.8.0.1/24')], IPv6Data: [] })
  const NetworkID = '2'.repeat(64) as NetworkId
  await networkHandlers(h.house, 'bridge', () => []).createNetwork({ ...other, NetworkID })
  assert.equal(
    h.house.records.networks().map(({ id }) => id),
    [NetworkID],
  )
  answer.resolve([])
  await asking
  assert.is(h.house.records.networks().length, 2)
})

test('hosting: an address that weft chose and somebody has is passed over, and none is kept for a network that fails', async () => {
  const h = await lan()
  const ipam = await Ipam.restore({ store: h.store, defaultPools: [] })
  h.house.pools = ipam
  const { id } = await ipam.requestPool({ client: 'weft-ipam', family: 4, pool: '10.7.0.0/29' })
  h.holders.add(held('10.7.0.1'))
  const data = { Pool: '10.7.0.0/29', AddressSpace: 'weft-local', AuxAddresses: {} }
  const request = createNetwork({ IPv4Data: [data], IPv6Data: [], generic: { parent: 'eth0', host_access: 'true' } })
  await h.handlers.createNetwork(request)
  assert.equal(h.house.records.network(networkId)?.hostAddresses, ['10.7.0.2'])
  assert.is(ipam.leaseCount, 2)
  // Repeated, when nothing could be chosen any more.
  for (const last of [2, 3, 4]) h.holders.add(held(`10.7.0.${last}`))
  await rejects(h.handlers.createNetwork(request), /exists already/)
  assert.is(ipam.leaseCount, 2)
  await ipam.releasePool(id)
  await h.handlers.deleteNetwork({ NetworkID: networkId })

  await ipam.requestPool({ client: 'weft-ipam', family: 4, pool: '10.7.0.0/29' })
  h.kernel.failOnceAt(0)
  const { parent } = named
  const vlan = { parent: `${parent}.50`, host_access: 'true' }
  await rejects(
    h.handlers.createNetwork({ ...request, ...createNetwork({ generic: vlan }), IPv4Data: [data], IPv6Data: [] }),
    /told to fail/,
  )
  assert.is(ipam.leaseCount, 0)
})

test('hosting: an address by name that the other IPAM may give to a container is told', async () => {
  const told = async (aux: Record<string, string>): Promise<readonly unknown[]> => {
    const h = await lan()
    const IPv4Data = [{ ...pool('10.7.0.0/24', '10.7.0.1/24'), AuxAddresses: aux }]
    const generic = { parent: 'eth0', host_access: '10.7.0.9' }
    await h.handlers.createNetwork(createNetwork({ IPv4Data, IPv6Data: [], generic }))
    return h.lines.filter(({ level }) => level === 'warn').map(({ addresses }) => addresses)
  }
  assert.equal(await told({}), [['10.7.0.9']])
  assert.equal(await told({ host: '10.7.0.9/24' }), [])
})

test('hosting: the host asks again before the first container, and before no other', async () => {
  const h = await lan()
  await h.handlers.createNetwork(createNetwork({ generic: { ...named, parent: 'eth0.50' } }))
  // The VLAN is made with the network.
  assert.equal(h.asked, [])
  h.holders.add(held('10.7.0.9'))
  await rejects(h.handlers.createEndpoint(createEndpoint()), /address 10\.7\.0\.9 for the host is in use on eth0\.50/)
  assert.equal(h.house.records.endpoints(), [])
  h.holders.clear()
  h.asked.length = 0
  await h.handlers.createEndpoint(createEndpoint())
  assert.equal(
    h.asked.map(({ link, addresses }) => ({ link, addresses })),
    [
      { link: 'eth0.50', addresses: ['10.7.0.2', 'fd00:7::2'] },
      { link: 'eth0.50', addresses: [...both] },
    ],
  )
  await h.handlers.createEndpoint(
    createEndpoint({ EndpointID: 'b'.repeat(64) as never, Interface: { Address: '10.7.0.3/24' } }),
  )
  assert.equal(h.asked.at(-1)?.addresses, ['10.7.0.3'])
  assert.is(h.asked.length, 3)
})

test("hosting: the host's own link, still on its way out, is nobody else", async () => {
  const h = await lan()
  await h.handlers.createNetwork(createNetwork({ generic: named }))
  h.holders.add(held('10.7.0.9', { link: 'wsry33hns4h6p' }))
  await h.handlers.createEndpoint(createEndpoint())
  await h.handlers.deleteEndpoint(ids)
  h.holders.add(held('fd00:7::9', { link: 'eth1' }))
  await rejects(
    h.handlers.createEndpoint(createEndpoint()),
    /fd00:7::9 for the host is in use .*the host itself has it on eth1/,
  )
})

test('hosting: a segment that cannot be asked is no reason to refuse, and is told', async () => {
  const h = await lan()
  const holders = async (): Promise<never> => {
    throw kernelError('ENETDOWN', { op: 'probe', object: 'eth0' })
  }
  h.house.segment = { ...nobody, holders }
  await h.handlers.createNetwork(createNetwork({ generic: named }))
  await h.handlers.createEndpoint(createEndpoint())
  assert.is(h.lines.filter(({ msg }) => String(msg).startsWith('nobody could be asked')).length, 3)
})

test.run()
