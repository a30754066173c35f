/** Endpoints in a LAN: addresses of others, the host's own, ports, and what of it is taken back. */
import { mock } from 'node:test'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { networkHandlers } from '../../../daemon/network.ts'
import { nobody, type Question } from '../../../daemon/duplicates.ts'
import type { Ip } from '../../../native/value/ip.ts'
import type { Mac } from '../../../native/value/mac.ts'
import { kernelError } from '../../../native/netlink/errors.ts'
import { facts, link } from '../../support/child.ts'
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

const foreign = { address: '10.7.0.2' as Ip, mac: '02:00:00:00:00:99' as Mac }
const ids = { NetworkID: networkId, EndpointID: endpointId }
const join = { ...ids, SandboxKey: '/var/run/docker/netns/5cc8fe204795', Options: {} }
const lan = { parent: 'eth0' }

async function onLan(generic: Record<string, string> = {}): Promise<TestHouse> {
  const h = await testHouse({ driver: 'macvlan', facts: { links: facts.links } })
  await h.handlers.createNetwork(createNetwork({ generic: { ...lan, ...generic } }))
  return h
}

test('duplicates: an address that somebody in the LAN has is refused with its MAC, and nothing is left', async () => {
  const h = await onLan()
  const asked: Question[] = []
  const holders = async (question: Question): Promise<readonly (typeof foreign)[]> => {
    asked.push(question)
    return [foreign]
  }
  h.house.segment = { ...nobody, holders }
  await rejects(h.handlers.createEndpoint(createEndpoint()), /address 10\.7\.0\.2 is in use on eth0: 02:00:00:00:00:99/)
  assert.equal(
    asked.map(({ link, addresses, timing }) => ({ link, addresses, timing })),
    [{ link: 'eth0', addresses: ['10.7.0.2', 'fd00:7::2'], timing: 'fast' }],
  )
  assert.is(String(h.kernel), '')
  assert.equal(await h.store.list('endpoint/'), [])
})

test('duplicates: a MAC that the user chose is looked for, one of ours is not', async () => {
  const h = await onLan()
  h.house.segment = { ...nobody, hasMac: async () => true }
  const Interface = { Address: '10.7.0.2/24', MacAddress: '02:42:00:00:00:07' }
  const chosen = { 'com.docker.network.endpoint.macaddress': 'AkIAAAAH' }
  await rejects(
    h.handlers.createEndpoint(createEndpoint({ Interface, Options: chosen })),
    /MAC address 02:42:00:00:00:07 is in use on eth0/,
  )
  await h.handlers.createEndpoint(createEndpoint({ Interface }))
})

test('duplicates: nobody is asked with weft.dad=off, and a link that cannot ask is no reason to refuse', async () => {
  const silent = await onLan({ 'weft.dad': 'off' })
  silent.house.segment = { ...nobody, holders: async () => [foreign] }
  await silent.handlers.createEndpoint(createEndpoint())

  const down = await onLan()
  down.house.segment = {
    ...nobody,
    async holders() {
      throw kernelError('ENETDOWN', { op: 'probe', object: 'eth0' })
    },
  }
  await down.handlers.createEndpoint(createEndpoint())
})

/** Until the first call would be late. */
async function aWhile(): Promise<void> {
  await new Promise(setImmediate)
  mock.timers.tick(3_500)
}

test('duplicates: a search that takes longer than a call ends in the next one, and outlives weftd', async () => {
  for (const restarts of [false, true]) {
    const h = await onLan({ 'weft.dad': 'rfc5227' })
    const { promise, resolve } = Promise.withResolvers<readonly (typeof foreign)[]>()
    h.house.segment = { ...nobody, holders: () => promise }
    mock.timers.enable({ apis: ['setTimeout'] })
    try {
      await Promise.all([h.handlers.createEndpoint(createEndpoint()), aWhile()])
    } finally {
      mock.timers.reset()
    }
    const handlers = restarts ? networkHandlers(h.house, 'macvlan', () => []) : h.handlers
    const joining = handlers.join(join)
    resolve([foreign])
    await rejects(joining, /10\.7\.0\.2 is in use on eth0/)
  }
})

test('duplicates: a long search ends with the call that fails', async () => {
  const h = await onLan({ 'weft.dad': 'rfc5227' })
  const signals: (AbortSignal | undefined)[] = []
  const holders = ({ signal }: Question): Promise<never> => {
    signals.push(signal)
    return Promise.withResolvers<never>().promise
  }
  h.house.segment = { ...nobody, holders }
  h.kernel.failOnceAt(0)
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    await Promise.all([rejects(h.handlers.createEndpoint(createEndpoint()), /told to fail/), aWhile()])
  } finally {
    mock.timers.reset()
  }
  assert.equal(
    signals.map(signal => signal?.aborted),
    [true],
  )
})

test('duplicates: a VLAN that weft makes, and a parent that came or came up since, are asked on', async () => {
  let links = facts.links
  const host = {
    get links() {
      return links
    },
  }
  const parentOf = { mac: '02:00:00:00:00:50' as Mac }
  const vlan = link('eth0.50', { own: true, kind: 'vlan', ...parentOf })
  for (const [driver, parent, later] of [
    ['macvlan', 'eth0.50', vlan],
    ['ipvlan', 'eth0.50', vlan],
    ['ipvlan', 'eth1', link('eth1', parentOf)],
  ] as const) {
    links = [
      ...facts.links.filter(({ name }) => name !== parent),
      ...(parent === 'eth1' ? [link('eth1', { up: false })] : []),
    ]
    const h = await testHouse({ driver, facts: host })
    const asked: string[] = []
    h.house.segment = {
      ...nobody,
      async holders(question) {
        asked.push(question.link)
        return []
      },
    }
    await h.handlers.createNetwork(createNetwork({ generic: { parent } }))
    links = [...facts.links.filter(({ name }) => name !== parent), later]
    await h.handlers.createEndpoint(createEndpoint())
    assert.equal(asked, [parent], `${driver} ${parent}`)
    if (driver === 'ipvlan') assert.is(h.house.records.endpoint(networkId, endpointId)?.mac, parentOf.mac)
  }
})

test('host access: without weft-ipam the address must be named', async () => {
  const h = await testHouse({ driver: 'macvlan', facts: { links: facts.links } })
  await rejects(
    h.handlers.createNetwork(createNetwork({ generic: { ...lan, host_access: 'true' } })),
    /cannot choose an address for the host in 10\.7\.0\.0\/24: another IPAM driver/,
  )
  const named = { host_access: '10.7.0.9,fd00:7::9' }
  await h.handlers.createNetwork(createNetwork({ generic: { ...lan, ...named } }))
  assert.equal(h.house.records.network(networkId)?.hostAddresses, ['10.7.0.9', 'fd00:7::9'])
})

test('host access: the place of the host comes with the first container and goes with the last', async () => {
  const h = await onLan({ host_access: '10.7.0.9' })
  const shim = (): boolean => / wsry33hns4h6p on eth0 /.test(String(h.kernel))
  assert.not.ok(shim())
  await h.handlers.createEndpoint(createEndpoint())
  assert.ok(shim())
  assert.match(String(h.kernel), 'route 10.7.0.2/32 on wsry33hns4h6p source 10.7.0.9')
  await h.handlers.deleteEndpoint(ids)
  assert.not.ok(shim())
  await h.handlers.deleteNetwork({ NetworkID: networkId })
  assert.is(String(h.kernel), '')
})

test('host access: a failure of any kernel change of the first container leaves all as it was', async () => {
  const count = await onLan({ host_access: '10.7.0.9' })
  const start = count.kernel.steps
  await count.handlers.createEndpoint(createEndpoint())
  for (let step = 0; step < count.kernel.steps - start; step += 1) {
    const h = await onLan({ host_access: '10.7.0.9' })
    const before = String(h.kernel)
    h.kernel.failOnceAt(step)
    await rejects(h.handlers.createEndpoint(createEndpoint()), /told to fail/)
    assert.is(String(h.kernel), before, `step ${step}`)
    assert.equal((await h.house.reconciler.differences()).length, 0, `step ${step}`)
    await h.handlers.createEndpoint(createEndpoint())
  }
})

const web = [{ Proto: 6, Port: 80, HostPort: 8080, HostPortEnd: 8080 }]
const ports = { 'com.docker.network.portmap': web }
const bare = { IPv4Data: [{ Pool: '10.7.0.0/24', AuxAddresses: {} }], IPv6Data: [] }

test('ports: refused at the first call without host access, or left to another network', async () => {
  const h = await onLan()
  await rejects(h.handlers.createEndpoint(createEndpoint({ Options: ports })), /publishes nothing by itself/)
  const ignoring = await onLan({ 'weft.publish': 'ignore' })
  await ignoring.handlers.createEndpoint(createEndpoint({ Options: ports }))
  await ignoring.handlers.programExternalConnectivity({ ...ids, Options: ports })
  assert.equal(ignoring.house.records.endpoint(networkId, endpointId)?.ports, [])
})

test('ports: published at Join where the default route has no gateway, for engines that do not call again', async () => {
  const h = await testHouse({ driver: 'macvlan', facts: { links: facts.links } })
  await h.handlers.createNetwork(createNetwork({ ...bare, generic: { ...lan, host_access: '10.7.0.9' } }))
  await h.handlers.createEndpoint(createEndpoint({ Interface: { Address: '10.7.0.2/24' }, Options: ports }))
  const answer = await h.handlers.join({ ...join, Options: ports })
  assert.equal(answer.StaticRoutes?.[0], { Destination: '0.0.0.0/0', RouteType: 1, NextHop: '' })
  assert.match(String(h.kernel), 'element pub4any tcp . 8080 : 10.7.0.2 . 80')
  const { steps } = h.kernel
  await h.handlers.programExternalConnectivity({ ...ids, Options: ports })
  assert.is(h.kernel.steps, steps)
  await h.handlers.revokeExternalConnectivity(ids)
  assert.not.match(String(h.kernel), 'pub4any')
})

test('ports: with a gateway they wait for the call of the engine', async () => {
  const h = await testHouse({ driver: 'macvlan', facts: { links: facts.links } })
  const addressed = { IPv4Data: [pool('10.7.0.0/24', '10.7.0.1/24')], IPv6Data: [] }
  await h.handlers.createNetwork(createNetwork({ ...addressed, generic: { ...lan, host_access: '10.7.0.9' } }))
  await h.handlers.createEndpoint(createEndpoint({ Interface: { Address: '10.7.0.2/24' }, Options: ports }))
  await h.handlers.join({ ...join, Options: ports })
  assert.not.match(String(h.kernel), 'pub4any')
  await h.handlers.programExternalConnectivity({ ...ids, Options: ports })
  assert.match(String(h.kernel), 'pub4any')
})

test.run()
