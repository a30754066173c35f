/** weft-none: nothing in the kernel, whatever the IPAM. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { noneDriver } from '../../drivers/none/index.ts'
import { createEndpoint, createNetwork, endpointId, networkId, rejects, testHouse } from '../support/house.ts'

const ids = { NetworkID: networkId, EndpointID: endpointId }
const join = { ...ids, SandboxKey: '/var/run/docker/netns/5cc8fe204795', Options: {} }
const nullPool = { IPv4Data: [{ AddressSpace: 'null', Pool: '0.0.0.0/0', AuxAddresses: {} }], IPv6Data: [] }

for (const [name, request] of [
  ['with subnets', createNetwork()],
  ['with the null IPAM', createNetwork(nullPool)],
  ['without any', createNetwork({ IPv4Data: [], IPv6Data: [] })],
] as const) {
  test(`none: a container lives on a network ${name}, and nothing is made`, async () => {
    const { handlers, kernel } = await testHouse({ driver: 'none' })
    await handlers.createNetwork(request)
    const bare = request.IPv4Data[0]?.Gateway === undefined ? { Interface: {} } : {}
    assert.equal(await handlers.createEndpoint(createEndpoint(bare)), {})
    assert.equal(await handlers.join(join), {
      InterfaceName: { SrcName: '', DstPrefix: 'eth' },
      DisableGatewayService: true,
    })
    assert.is(kernel.steps, 0)
    await handlers.leave(ids)
    await handlers.deleteEndpoint(ids)
    await handlers.deleteNetwork(ids)
    assert.is(kernel.steps, 0)
  })
}

test('none: published ports are refused in words', async () => {
  const { handlers } = await testHouse({ driver: 'none' })
  await handlers.createNetwork(createNetwork())
  const ports = { 'com.docker.network.portmap': [{ Proto: 6, Port: 80, HostPort: 8080, HostPortEnd: 8080 }] }
  await rejects(handlers.createEndpoint(createEndpoint({ Options: ports })), /a container of weft-none has no network/)
  await handlers.createEndpoint(createEndpoint())
  await rejects(handlers.programExternalConnectivity({ ...ids, Options: ports }), /has no network/)
})

test('none: options of links are refused with the reason', () => {
  assert.throws(() => noneDriver.parseOptions({ 'com.docker.network.driver.mtu': '1400' }), /containers get no link/)
  assert.throws(() => noneDriver.parseOptions({ parent: 'eth0' }), /has no option parent/)
  assert.equal(noneDriver.ignored(noneDriver.parseOptions({ parent: 'eth0', 'weft.strict': 'false' })), ['parent'])
})

test('none: no gateway is reserved', () => {
  assert.equal(noneDriver.gateways({}), [])
})

test.run()
