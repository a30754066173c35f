/** Which host ports bindings get, and that all of a container's are published or none. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ephemeralPorts } from '../../../daemon/ephemeral.ts'
import { publish, type PortChoices } from '../../../daemon/ports.ts'
import type { PortBinding } from '../../../plugin-api/options.ts'
import { endpointId, networkId, rejects } from '../../support/house.ts'
import { count, otherId, placeOf, scene, tcp, udp } from '../../support/publishing.ts'

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
  const ports = await publish(placeOf(house, network, endpoint), network, [tcp(80, 0)], range())
  assert.equal(
    ports.map(({ hostPort }) => hostPort),
    [32_768 + 3000],
  )
  assert.is(h.busy.refusals, 0)
})

test('ports: the range is read once for all bindings, only where one needs it, and told what was tried', async () => {
  let reads = 0
  const tried: number[] = []
  const range = Object.assign(
    () => {
      reads += 1
      return [50001, 50002, 50003, 50004]
    },
    { tried: (port: number) => tried.push(port) },
  )
  const h = await scene({ range, busy: ['port tcp 0.0.0.0 50002'] })
  await h.publish([tcp(80, 8080)])
  assert.equal([reads, tried], [0, []])
  await h.publish([tcp(80, 0), tcp(81, 0)])
  assert.equal([reads, tried], [1, [50003]])
  await rejects(h.publish([tcp(80, 0), tcp(81, 0), tcp(82, 0), tcp(83, 0)]), /none of the ephemeral range is free/)
  assert.equal([reads, tried], [2, [50003, 50004]], 'also in vain: the next one begins elsewhere')
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
