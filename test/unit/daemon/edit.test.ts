import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryStore } from '../../../daemon/store/memory.ts'
import type { Store, Write } from '../../../ipam/store.ts'
import { FakeKernel } from '../../../native/kernel/fake.ts'
import type { IfName } from '../../../native/kernel/resource.ts'
import type { EndpointId, NetworkId } from '../../../plugin-api/ids.ts'
import { HeldKernel } from '../../support/held.ts'
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

const ids = { NetworkID: networkId, EndpointID: endpointId }
const join = { ...ids, SandboxKey: '/var/run/docker/netns/5cc8fe204795', Options: {} }
const portmap = (bindings: readonly object[]): object => ({
  ...ids,
  Options: { 'com.docker.network.portmap': bindings },
})
const web = { Proto: 6, Port: 80, HostPort: 8080, HostPortEnd: 8080 }

/** Every call of a network's and a container's life, and what must be there before it. */
const life: readonly { readonly name: string; readonly call: (h: TestHouse) => Promise<unknown> }[] = [
  { name: 'create network', call: h => h.handlers.createNetwork(createNetwork()) },
  { name: 'create endpoint', call: h => h.handlers.createEndpoint(createEndpoint()) },
  { name: 'join', call: h => h.handlers.join(join) },
  { name: 'publish', call: h => h.handlers.programExternalConnectivity(portmap([web]) as never) },
  { name: 'unpublish', call: h => h.handlers.revokeExternalConnectivity(ids) },
  { name: 'leave', call: h => h.handlers.leave(ids) },
  { name: 'delete endpoint', call: h => h.handlers.deleteEndpoint(ids) },
  { name: 'delete network', call: h => h.handlers.deleteNetwork({ NetworkID: networkId }) },
]
const growing = life.slice(0, 4)

async function at(call: number, options: Parameters<typeof testHouse>[0] = {}): Promise<TestHouse> {
  const h = await testHouse({ forwarding: false, ...options })
  for (const step of life.slice(0, call)) await step.call(h)
  return h
}

async function records(h: TestHouse): Promise<string> {
  return JSON.stringify((await h.store.list('')).map(({ key, value }) => ({ key, value })))
}

test('life: after its end nothing is left', async () => {
  const h = await at(life.length)
  assert.is(String(h.kernel), '')
  assert.is((await h.store.list('network/')).length + (await h.store.list('endpoint/')).length, 0)
})

for (const [index, { name, call }] of growing.entries()) {
  test(`${name}: a failure of any kernel change leaves all as it was`, async () => {
    const total = await stepsOf(index)
    assert.ok(total > 0)
    for (let step = 0; step < total; step += 1) {
      const h = await at(index)
      const before = { kernel: String(h.kernel), endpoints: JSON.stringify(await h.store.list('endpoint/')) }
      h.kernel.failOnceAt(step)
      await rejects(call(h), /told to fail/)
      if (name !== 'join') assert.is(String(h.kernel), before.kernel, `step ${step}`)
      assert.is(JSON.stringify(await h.store.list('endpoint/')), before.endpoints, `step ${step}`)
      assert.equal((await h.house.reconciler.differences()).length, 0, `step ${step}`)
      await call(h)
    }
  })

  test(`${name}: a failing commit leaves all as it was`, async () => {
    const store = new FailingStore()
    const h = await at(index, { store })
    const before = { kernel: String(h.kernel), records: await records(h) }
    store.failing = true
    await rejects(call(h), /disk is full/)
    store.failing = false
    assert.is(String(h.kernel), before.kernel)
    assert.is(await records(h), before.records)
    await call(h)
  })
}

for (const [index, { name, call }] of life.entries()) {
  test(`${name}: a crash at any kernel change is healed by the next start`, async () => {
    const total = await stepsOf(index)
    for (let step = 0; step < total; step += 1) {
      const h = await at(index)
      h.kernel.failOnceAt(step)
      // A crash undoes nothing: the kernel refuses everything after the failing change, and memory is lost.
      await call(h).catch(() => undefined)
      const next = await testHouse({ store: h.store, kernel: h.kernel, forwarding: false })
      for (const difference of await next.house.reconciler.differences()) await next.house.reconciler.mend(difference)
      assert.equal((await next.house.reconciler.differences()).length, 0, `${name} ${step}`)
    }
  })
}

test('delete: every removal may come twice, or for something never seen', async () => {
  const h = await testHouse()
  for (const step of life.slice(4)) await step.call(h)
  assert.is(String(h.kernel), '')
})

test('create endpoint: an address that is given again replaces its old holder', async () => {
  const h = await at(4)
  const other = 'b'.repeat(64) as EndpointId
  await h.handlers.createEndpoint(createEndpoint({ EndpointID: other }))
  assert.equal(
    h.house.records.endpoints().map(({ id }) => id),
    [other],
  )
  assert.not.match(String(h.kernel), /port tcp/)
})

test('create endpoint: one that is refused leaves the old holder of its address alone', async () => {
  const h = await at(4)
  const [elsewhere, id] = ['2'.repeat(64) as NetworkId, 'b'.repeat(64) as EndpointId]
  const pools = { IPv4Data: [pool('10.8.0.0/24', '10.8.0.1/24')], IPv6Data: [] }
  await h.handlers.createNetwork(createNetwork({ NetworkID: elsewhere, ...pools }))
  const Interface = { Address: '10.8.0.2/24' }
  await h.handlers.createEndpoint(createEndpoint({ NetworkID: elsewhere, EndpointID: id, Interface }))
  const before = String(h.kernel)
  await rejects(h.handlers.createEndpoint(createEndpoint({ EndpointID: id })), /belongs to/)
  assert.is(String(h.kernel), before)
  assert.is(h.house.records.endpoints().length, 2)
})

test('create network: a bridge that another network had is looked at when that one has gone', async () => {
  const br0 = 'br0' as IfName
  const kernel = new HeldKernel(({ type }) => type === 'address')
  kernel.put({ type: 'bridge', name: br0, adopted: true, alias: '' }, { foreign: true })
  const { handlers, house } = await testHouse({ kernel, facts: { foreignBridges: [br0] } })
  const generic = { 'com.docker.network.bridge.name': br0 }
  await handlers.createNetwork(createNetwork({ generic }))
  const seen: string[] = []
  const refresh = house.refresh.bind(house)
  house.refresh = () => {
    seen.push(String(kernel))
    return refresh()
  }

  const removal = handlers.deleteNetwork({ NetworkID: networkId })
  await new Promise(setImmediate)
  const Options = { 'com.docker.network.internal': true, 'com.docker.network.generic': generic }
  const creation = handlers.createNetwork({ ...createNetwork(), NetworkID: '2'.repeat(64) as NetworkId, Options })
  await new Promise(setImmediate)
  kernel.release()
  await Promise.all([removal, creation])

  assert.is(seen.length, 1)
  assert.not.match(seen.join(), /bridges br0|address/)
  assert.equal(await house.reconciler.differences(), [])
  assert.match(String(kernel), /element internal br0/)
})

test('create network: for a caller who has gone, no forgotten network is given up', async () => {
  const { handlers, house } = await testHouse()
  await handlers.createNetwork(createNetwork())
  house.isUnlisted = () => true
  const again = { ...createNetwork(), NetworkID: '2'.repeat(64) as NetworkId }
  await rejects(handlers.createNetwork(again, AbortSignal.abort(new Error('gone'))), /gone/)
  assert.ok(house.records.network(networkId))
  await handlers.createNetwork(again)
  assert.not(house.records.network(networkId))
})

test('create endpoint: what an old holder of the address had goes before it is made anew', async () => {
  const kernel = new HeldKernel(({ type }) => type === 'veth')
  const h = await testHouse({ kernel })
  await h.handlers.createNetwork(createNetwork({ generic: { 'weft.publish.from': '192.0.2.0/24' } }))
  await h.handlers.createEndpoint(createEndpoint())
  const removal = h.handlers.deleteEndpoint(ids)
  await new Promise(setImmediate)
  const creation = h.handlers.createEndpoint(createEndpoint({ EndpointID: 'b'.repeat(64) as EndpointId }))
  await new Promise(setImmediate)
  kernel.release()
  await Promise.all([removal, creation])
  assert.match(String(kernel), /element limited4/)
  assert.equal(await h.house.reconciler.differences(), [])
})

test('create endpoint: an address outside the subnets is refused and changes nothing', async () => {
  const h = await at(1)
  const before = String(h.kernel)
  await rejects(
    h.handlers.createEndpoint(createEndpoint({ Interface: { Address: '10.8.0.2/24' } })),
    /outside the network's subnets/,
  )
  assert.is(String(h.kernel), before)
})

test('create endpoint: the MAC is answered only when none was asked for', async () => {
  const h = await at(1)
  assert.match(JSON.stringify(await h.handlers.createEndpoint(createEndpoint())), /"MacAddress":"[0-9a-f]{2}:/)
  const given = createEndpoint({ Interface: { Address: '10.7.0.2/24', MacAddress: '02:42:ac:11:00:02' } })
  assert.equal(await h.handlers.createEndpoint(given), {})
})

test('create endpoint: an id that another network uses is refused, and nothing is changed', async () => {
  const h = await at(2)
  const other = '2'.repeat(64) as typeof networkId
  const IPv4Data = [pool('10.9.0.0/24', '10.9.0.1/24')]
  await h.handlers.createNetwork(createNetwork({ NetworkID: other, IPv4Data, IPv6Data: [] }))
  const before = String(h.kernel)
  const again = createEndpoint({ NetworkID: other, Interface: { Address: '10.9.0.2/24' } })
  await rejects(h.handlers.createEndpoint(again), /wv\w+ belongs to endpoint\/1+\/a+ already/)
  assert.is(String(h.kernel), before)
})

test('publish: a port that another endpoint has is refused in the words of the engine', async () => {
  const h = await at(4)
  const other = { NetworkID: networkId, EndpointID: 'b'.repeat(64) as EndpointId }
  await h.handlers.createEndpoint(createEndpoint({ ...other, Interface: { Address: '10.7.0.3/24' } }))
  await h.handlers.join({ ...join, ...other, SandboxKey: `${join.SandboxKey}2` })
  const before = String(h.kernel)
  const request = { ...portmap([web]), ...other }
  await rejects(
    h.handlers.programExternalConnectivity(request as never),
    /Bind for 0\.0\.0\.0:8080 failed: port is already allocated/,
  )
  assert.is(String(h.kernel), before)
})

test('publish: a range takes its first free port, the same for both families', async () => {
  const h = await at(4)
  const range = { Proto: 6, Port: 81, HostPort: 8080, HostPortEnd: 8082 }
  await h.handlers.programExternalConnectivity(portmap([web, range]) as never)
  const ports = h.house.records
    .endpoint(networkId, endpointId)
    ?.ports.filter(({ containerPort }) => containerPort === 81)
  assert.equal(
    ports?.map(({ hostAddress, hostPort }) => `${hostAddress} ${hostPort}`),
    ['0.0.0.0 8081', ':: 8081'],
  )
})

test('publish: one address of the host excludes all of them on that port', async () => {
  const h = await at(4)
  const other = { NetworkID: networkId, EndpointID: 'b'.repeat(64) as EndpointId }
  await h.handlers.createEndpoint(createEndpoint({ ...other, Interface: { Address: '10.7.0.3/24' } }))
  await h.handlers.join({ ...join, ...other, SandboxKey: `${join.SandboxKey}2` })
  const request = { ...portmap([{ ...web, HostIP: '192.0.2.11' }]), ...other }
  await rejects(h.handlers.programExternalConnectivity(request as never), /Bind for 192\.0\.2\.11:8080 failed/)
})

test('start: endpoints of an earlier boot are dropped, networks stay', async () => {
  const h = await at(4)
  const next = await testHouse({ store: h.store, kernel: new FakeKernel(), bootId: 'boot-2' })
  for (const difference of await next.house.reconciler.differences()) await next.house.reconciler.mend(difference)
  assert.is(next.house.records.endpoints().length, 0)
  assert.match(String(next.kernel), /^ruleset weft/)
  assert.match(String(next.kernel), /bridge wb/)
  assert.not.match(String(next.kernel), /veth|^port |^element ports|guarded/m)
})

test('join: forwarding is switched on once, guarded first, and only where it was off', async () => {
  const off = await at(3)
  assert.match(String(off.kernel), /element guarded ipv4\nelement guarded ipv6/)
  const on = await at(3, { forwarding: true })
  assert.not.match(String(on.kernel), /guarded/)
})

async function switchOf(h: TestHouse, key: string): Promise<string | undefined> {
  const seen = await h.kernel.observe([{ type: 'sysctl', key, value: '' }])
  const [found] = seen.flatMap(({ resource }) =>
    resource.type === 'sysctl' && resource.key === key ? [resource.value] : [],
  )
  return found
}

test('forwarding: what weft switched on is switched off before its guard goes, with the last network', async () => {
  const h = await at(life.length)
  assert.is(await switchOf(h, 'net/ipv4/ip_forward'), '0')
  assert.is(await switchOf(h, 'net/ipv6/conf/all/forwarding'), '0')
  assert.equal(h.house.records.forwarded, [])
})

test('forwarding: stays on where bridges of others need it', async () => {
  const h = await at(life.length, { facts: { foreignFamilies: [4] } })
  assert.is(await switchOf(h, 'net/ipv4/ip_forward'), '1')
  assert.is(await switchOf(h, 'net/ipv6/conf/all/forwarding'), '0')
})

test('create network: one that the engine does not list makes room for another with its subnet', async () => {
  const h = await at(1)
  const other = createNetwork({ NetworkID: '2'.repeat(64) as typeof networkId })
  await rejects(h.handlers.createNetwork(other), /networks have (overlapping IPv4|same bridge)/)
  h.house.isUnlisted = id => id === networkId
  await h.handlers.createNetwork(other)
  assert.equal(
    h.house.records.networks().map(({ id }) => id),
    [other.NetworkID],
  )
})

test('rules: nothing is connected while they are not loaded', async () => {
  const h = await at(2)
  h.house.rulesStand = () => false
  await rejects(h.handlers.join(join), /rules are not loaded/)
  await rejects(h.handlers.createEndpoint(createEndpoint()), /rules are not loaded/)
  await h.handlers.deleteEndpoint(ids)
})

async function stepsOf(index: number): Promise<number> {
  const h = await at(index)
  const before = h.kernel.steps
  await life[index]?.call(h)
  return h.kernel.steps - before
}

class FailingStore implements Store {
  readonly #inner = new MemoryStore()
  failing = false

  get(key: string): ReturnType<Store['get']> {
    return this.#inner.get(key)
  }

  list(prefix: string): ReturnType<Store['list']> {
    return this.#inner.list(prefix)
  }

  async commit(writes: readonly Write[]): Promise<void> {
    if (this.failing) throw new Error('disk is full')
    await this.#inner.commit(writes)
  }
}

test.run()
