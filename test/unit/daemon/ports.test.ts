/** Which host ports bindings get, and that all of a container's are published or none. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ephemeralPorts } from '../../../daemon/ephemeral.ts'
import { publish, type PortChoices } from '../../../daemon/ports.ts'
import { FakeKernel } from '../../../native/kernel/fake.ts'
import type { Change } from '../../../native/kernel/kernel.ts'
import { keyOf } from '../../../native/kernel/resource.ts'
import { kernelError } from '../../../native/netlink/errors.ts'
import type { PortBinding } from '../../../plugin-api/options.ts'
import type { EndpointId } from '../../../plugin-api/ids.ts'
import {
  createEndpoint,
  createNetwork,
  endpointId,
  networkId,
  rejects,
  testHouse,
  type TestHouse,
} from '../../support/house.ts'

/** Other programs of the host have these ports. */
class BusyKernel extends FakeKernel {
  readonly busy: Set<string>
  /** Creations that were refused for it. */
  refusals = 0

  constructor(busy: readonly string[]) {
    super()
    this.busy = new Set(busy)
  }

  override async apply(changes: readonly Change[]): Promise<void> {
    for (const change of changes) {
      if (change.op === 'create' && this.busy.has(keyOf(change.want))) {
        this.refusals += 1
        throw kernelError('EADDRINUSE', { op: 'hold', object: keyOf(change.want) })
      }
      await super.apply([change])
    }
  }
}

const otherId = 'b'.repeat(64) as EndpointId
const tcp = (Port: number, HostPort: number, HostPortEnd = HostPort, HostIP?: string): PortBinding => ({
  Proto: 6,
  Port,
  HostPort,
  HostPortEnd,
  ...(HostIP === undefined ? {} : { HostIP }),
})

const udp = (...args: Parameters<typeof tcp>): PortBinding => ({ ...tcp(...args), Proto: 17 })
const count = (length: number): readonly number[] => Array.from({ length }, (_, i) => i)

interface Scene extends TestHouse {
  readonly busy: BusyKernel
  publish(bindings: readonly PortBinding[], id?: EndpointId): Promise<readonly string[]>
}

interface SceneOptions {
  readonly busy?: readonly string[]
  /** The container has both families. */
  readonly v6?: boolean
  readonly only6?: boolean
  /** The host has IPv6. */
  readonly host6?: boolean
  readonly generic?: Record<string, string>
  readonly range?: PortChoices
}

async function scene(options: SceneOptions = {}): Promise<Scene> {
  const {
    busy = [],
    v6 = false,
    host6 = v6,
    only6 = false,
    generic = {},
    range = () => [50001, 50002, 50003],
  } = options
  const kernel = new BusyKernel(busy)
  const test = await testHouse({ kernel, facts: { loopback6: host6 } })
  await test.handlers.createNetwork(
    createNetwork({ generic, ...(v6 ? {} : { IPv6Data: [] }), ...(only6 ? { IPv4Data: [] } : {}) }),
  )
  for (const [id, last] of [
    [endpointId, 2],
    [otherId, 3],
  ] as const) {
    const Interface = {
      ...(only6 ? {} : { Address: `10.7.0.${last}/24` }),
      ...(v6 ? { AddressIPv6: `fd00:7::${last}/64` } : {}),
    }
    await test.handlers.createEndpoint(createEndpoint({ EndpointID: id, Interface }))
  }
  return {
    ...test,
    busy: kernel,
    async publish(bindings, id = endpointId) {
      const { house } = test
      const [network, endpoint] = [house.records.network(networkId), house.records.endpoint(networkId, id)]
      assert.ok(network && endpoint)
      const ports = await publish(house, network, endpoint, bindings, range)
      return ports.map(({ hostAddress, hostPort, containerPort }) => `${hostAddress} ${hostPort} ${containerPort}`)
    },
  }
}

test('ports: one that is named, on every address of each family that the container has', async () => {
  assert.equal(await (await scene()).publish([tcp(80, 8080)]), ['0.0.0.0 8080 80'])
  assert.equal(await (await scene({ v6: true })).publish([tcp(80, 8080)]), ['0.0.0.0 8080 80', ':: 8080 80'])
  assert.equal(await (await scene({ v6: true })).publish([tcp(80, 8080, 8080, '::1')]), ['::1 8080 80'])
})

test('ports: a named one that another program has is refused, and nothing is left', async () => {
  const h = await scene({ busy: ['port tcp 0.0.0.0 8081'] })
  const before = String(h.kernel)
  await rejects(h.publish([tcp(80, 8080), tcp(81, 8081)]), /Bind for 0\.0\.0\.0:8081 failed: port is already allocated/)
  assert.is(String(h.kernel), before)
  assert.equal(h.house.records.endpoint(networkId, endpointId)?.ports, [])
  assert.equal(await h.publish([tcp(80, 8080)]), ['0.0.0.0 8080 80'])
})

test('ports: a range gives its first one that is free of containers and of programs', async () => {
  const h = await scene({ busy: ['port tcp 0.0.0.0 9001'] })
  await h.publish([tcp(80, 9000)], otherId)
  assert.equal(await h.publish([tcp(80, 9000, 9003)]), ['0.0.0.0 9002 80'])
})

test('ports: of a range both families get the same one', async () => {
  const h = await scene({ v6: true, busy: ['port tcp :: 9000'] })
  assert.equal(await h.publish([tcp(80, 9000, 9003)]), ['0.0.0.0 9001 80', ':: 9001 80'])
  assert.not.match(String(h.kernel), /port tcp \S+ 9000/)
})

test('ports: an exhausted range says so', async () => {
  const h = await scene({ busy: ['port tcp 0.0.0.0 9000', 'port tcp 0.0.0.0 9001'] })
  const before = String(h.kernel)
  await rejects(h.publish([tcp(80, 9000, 9001)]), /all ports are allocated: none of 9000-9001 is free on 0\.0\.0\.0/)
  assert.is(String(h.kernel), before)
})

test('ports: two bindings of a container never share one', async () => {
  const h = await scene()
  assert.equal(await h.publish([tcp(80, 9000, 9001), tcp(81, 9000, 9001)]), ['0.0.0.0 9000 80', '0.0.0.0 9001 81'])
  await rejects(h.publish([tcp(80, 9000), tcp(81, 9000)]), /port is already allocated/)
})

test('ports: who names none gets one of the choices, as long as there is one', async () => {
  const h = await scene({ busy: ['port tcp 0.0.0.0 50001'] })
  assert.equal(await h.publish([tcp(80, 0)], otherId), ['0.0.0.0 50002 80'])
  assert.equal(await h.publish([tcp(80, 0)]), ['0.0.0.0 50003 80'])
  await rejects(h.publish([tcp(80, 0), tcp(81, 0)]), /none of the ephemeral range is free/)
})

test('ports: one address and all addresses exclude each other', async () => {
  const h = await scene()
  await h.publish([tcp(80, 8080, 8080, '192.0.2.11')], otherId)
  await rejects(h.publish([tcp(80, 8080)]), /port is already allocated/)
  assert.equal(await h.publish([tcp(80, 8080, 8080, '192.0.2.12')]), ['192.0.2.12 8080 80'])
})

test('ports: the same ones again are no conflict with oneself', async () => {
  const h = await scene()
  await h.publish([tcp(80, 8080)])
  assert.equal(await h.publish([tcp(80, 8080)]), ['0.0.0.0 8080 80'])
})

test('ports: what cannot be published is said in words', async () => {
  const h = await scene()
  const other = { ...tcp(80, 8080), Proto: 33 } as PortBinding
  await rejects(h.publish([other]), /port 80 of IP protocol 33 is not supported: tcp, udp and sctp are/)
  const sctp = { ...tcp(80, 8080, 8080, '::1'), Proto: 132 } as PortBinding
  await rejects(h.publish([sctp]), /the container has no IPv6 address, and sctp is not relayed/)
})

test('ports: the family that only the host has is relayed, where the host has it', async () => {
  assert.equal(await (await scene({ host6: true })).publish([tcp(80, 8080)]), ['0.0.0.0 8080 80', ':: 8080 80'])
  assert.equal(await (await scene()).publish([tcp(80, 8080, 8080, '::1')]), ['::1 8080 80'])
  assert.equal(await (await scene({ v6: true, only6: true })).publish([udp(53, 53)]), ['0.0.0.0 53 53', ':: 53 53'])
  const sctp = { ...tcp(80, 8080), Proto: 132 } as PortBinding
  assert.equal(await (await scene({ host6: true })).publish([sctp]), ['0.0.0.0 8080 80'])
})

test('ports: the address of the network is for those that name none', async () => {
  const generic = { 'com.docker.network.bridge.host_binding_ipv4': '127.0.0.1' }
  const h = await scene({ v6: true, generic })
  assert.equal(await h.publish([tcp(80, 8080), tcp(81, 8081, 8081, '::')]), ['127.0.0.1 8080 80', ':: 8081 81'])
})

test('ports: a family in mode routed has none on the host', async () => {
  const generic = { 'com.docker.network.bridge.gateway_mode_ipv6': 'routed' }
  const h = await scene({ v6: true, generic })
  assert.equal(await h.publish([tcp(80, 8080), tcp(81, 8081, 8081, '::')]), ['0.0.0.0 8080 80'])
  const both = { ...generic, 'com.docker.network.bridge.gateway_mode_ipv4': 'routed' }
  assert.equal(await (await scene({ v6: true, generic: both })).publish([tcp(80, 8080)]), [])
})

test('ports: the order of the bindings does not decide who gets a port', async () => {
  const asked = [tcp(82, 0), tcp(80, 9000, 9002), tcp(81, 9000), tcp(83, 9001, 9001)]
  const range = (): readonly number[] => [9000, 9002, 9003]
  for (const bindings of [asked, asked.toReversed()]) {
    const ports = await (await scene({ range })).publish(bindings)
    assert.equal(ports.toSorted(), ['0.0.0.0 9000 81', '0.0.0.0 9001 83', '0.0.0.0 9002 80', '0.0.0.0 9003 82'])
    assert.match(ports[0] ?? '', bindings === asked ? / 82$/ : / 83$/, 'the answer keeps the order of the bindings')
  }
})

test('ports: the narrower of two ranges chooses first', async () => {
  const asked = [tcp(80, 9000, 9002), tcp(81, 9000, 9001), tcp(82, 9000, 9001)]
  for (const bindings of [asked, asked.toReversed()]) {
    assert.ok((await (await scene()).publish(bindings)).includes('0.0.0.0 9002 80'))
  }
})

test('ports: the very same one twice is refused, also on all addresses and on one', async () => {
  const h = await scene({ v6: true })
  const before = String(h.kernel)
  const refusal = /^Bind for \S+ failed: port is already allocated$/
  await rejects(h.publish([tcp(80, 8080), tcp(80, 8080)]), refusal)
  await rejects(h.publish([tcp(80, 8080), tcp(81, 8080, 8080, '192.0.2.11')]), refusal)
  await rejects(h.publish([tcp(80, 8080, 8080, '192.0.2.11'), tcp(81, 8080)]), refusal)
  assert.is(h.busy.refusals, 0)
  assert.is(String(h.kernel), before)
  const apart = [
    tcp(80, 8080, 8080, '192.0.2.11'),
    tcp(80, 8080, 8080, '192.0.2.12'),
    udp(80, 8080, 8080, '192.0.2.11'),
  ]
  assert.is((await h.publish(apart)).length, 3)
})

test('ports: a range steps over what is on one address, whoever has it', async () => {
  const h = await scene()
  await h.publish([tcp(80, 9000, 9000, '192.0.2.11')], otherId)
  assert.equal(await h.publish([tcp(80, 9001, 9001, '192.0.2.11'), tcp(81, 9000, 9002)]), [
    '192.0.2.11 9001 80',
    '0.0.0.0 9002 81',
  ])
  assert.is(h.busy.refusals, 0)
})

test('ports: after a restart of weftd, those that containers have are stepped over without trying', async () => {
  const range = (): PortChoices => ephemeralPorts(name => (name === 'ip_local_port_range' ? '32768 60999' : ''))
  const h = await scene({ range: range() })
  await h.publish(
    count(3000).map(i => tcp(i, 0)),
    otherId,
  )
  const { house } = h
  const [network, endpoint] = [house.records.network(networkId), house.records.endpoint(networkId, endpointId)]
  assert.ok(network && endpoint)
  const ports = await publish(house, network, endpoint, [tcp(80, 0)], range())
  assert.equal(
    ports.map(({ hostPort }) => hostPort),
    [32_768 + 3000],
  )
  assert.is(h.busy.refusals, 0)
})

test('ports: the range is read once for all bindings, only where one needs it, and told what was given', async () => {
  let reads = 0
  const given: number[] = []
  const range = Object.assign(
    () => {
      reads += 1
      return [50001, 50002, 50003, 50004]
    },
    { given: (port: number) => given.push(port) },
  )
  const h = await scene({ range, busy: ['port tcp 0.0.0.0 50002'] })
  await h.publish([tcp(80, 8080)])
  assert.equal([reads, given], [0, []])
  await h.publish([tcp(80, 0), tcp(81, 0)])
  assert.equal([reads, given], [1, [50003]])
  await rejects(h.publish([tcp(80, 0), tcp(81, 0), tcp(82, 0), tcp(83, 0)]), /none of the ephemeral range is free/)
  assert.equal([reads, given], [2, [50003]])
})

test('ports: ten retries for each binding against other programs, and no more', async () => {
  const busy = count(12).map(i => `port tcp 0.0.0.0 ${50_000 + i}`)
  const range = (): readonly number[] => count(100).map(i => 50_000 + i)
  const last = await scene({ range, busy: busy.slice(0, 10) })
  assert.equal(await last.publish([tcp(80, 0)]), ['0.0.0.0 50010 80'])
  assert.is(last.busy.refusals, 10)
  const h = await scene({ range, busy })
  const before = String(h.kernel)
  await rejects(h.publish([tcp(80, 0)]), /all ports are allocated: 11 of the ephemeral range were tried on 0\.0\.0\.0/)
  assert.is(h.busy.refusals, 11)
  assert.is(String(h.kernel), before)
  const shared = await scene({ range, busy: busy.slice(0, 11) })
  assert.equal((await shared.publish([tcp(80, 0), tcp(81, 0)])).length, 2, 'what one found, the other need not try')
  assert.is(shared.busy.refusals, 11)
})

test('ports: ten thousand of them, named, of overlapping ranges and ephemeral', async () => {
  const n = 10_000
  const shapes = {
    named: count(n).map(i => tcp(i, 20_000 + i, 20_000 + i, '192.0.2.12')),
    ranges: count(n).map(i => tcp(i, 20_000, 30_000 + i)),
    ephemeral: count(n).map(i => tcp(i, 0)),
  }
  const range = ephemeralPorts(name => (name === 'ip_local_port_range' ? '32768 60999' : ''))
  for (const [shape, bindings] of Object.entries(shapes)) {
    const h = await scene({ range })
    // Another container has the same numbers on one address.
    await h.publish(
      count(n).map(i => tcp(i, 20_000 + i, 20_000 + i, '192.0.2.11')),
      otherId,
    )
    const started = performance.now()
    const ports = await h.publish([...bindings].reverse())
    console.log(`  ${n} ${shape}: ${Math.round(performance.now() - started)} ms`)
    assert.is(new Set(ports.map(port => port.split(' ')[1])).size, n)
  }
})

test.run()
