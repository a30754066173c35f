/** Records in memory: who holds what is known without looking at every endpoint. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Records } from '../../../daemon/records.ts'
import { MemoryStore } from '../../../daemon/store/memory.ts'
import type { Endpoint, PublishedPort } from '../../../drivers/driver.ts'
import type { Store, Write } from '../../../ipam/store.ts'
import type { Cidr, Ip } from '../../../native/value/ip.ts'
import type { Mac } from '../../../native/value/mac.ts'
import type { EndpointId, NetworkId } from '../../../plugin-api/ids.ts'

const networkId = 'n1' as NetworkId
const port: PublishedPort = { protocol: 'tcp', hostAddress: '0.0.0.0' as Ip, hostPort: 8080, containerPort: 80 }

function endpoint(id: string, more: Partial<Endpoint> = {}): Endpoint {
  return {
    ...{
      id: id as EndpointId,
      networkId,
      phase: 'created',
      bootId: 'b',
      mac: '02:00:00:00:00:01' as Mac,
      changedAt: 0,
    },
    addresses: ['10.0.0.2/24' as Cidr],
    ports: [],
    ...more,
  }
}

async function withNetwork(store: Store = new MemoryStore()): Promise<Records> {
  const records = await Records.load(store, 'b')
  await records.putNetwork({ id: networkId, driver: 'bridge', internal: false, subnets: [], options: {} })
  return records
}

test('records: holders of an address and publishers of a port follow every change', async () => {
  const records = await withNetwork()
  const holders = (): readonly string[] => records.holdersOf('10.0.0.2' as Ip).map(({ id }) => id)
  const publishers = (): readonly string[] => records.publishersOf(port).map(({ id }) => id)
  await records.putEndpoint(endpoint('a', { ports: [port, { ...port, hostAddress: '::' as Ip }] }))
  await records.putEndpoint(endpoint('b'))
  assert.equal([holders(), publishers()], [['a', 'b'], ['a']])
  await records.putEndpoint(endpoint('a', { addresses: ['10.0.0.3/24' as Cidr] }))
  assert.equal([holders(), publishers()], [['b'], []])
  assert.equal(records.publishersOf({ ...port, protocol: 'udp' }), [])
  await records.removeEndpoint(endpoint('b'))
  assert.equal(holders(), [])
  await records.removeNetwork(networkId)
  assert.equal(records.holdersOf('10.0.0.3' as Ip), [])
})

test('records: holders are known again after loading', async () => {
  const store = new MemoryStore()
  await (await withNetwork(store)).putEndpoint(endpoint('a', { ports: [port] }))
  const records = await Records.load(store, 'b')
  assert.equal(
    records.publishersOf(port).map(({ id }) => id),
    ['a'],
  )
  assert.equal((await Records.load(store, 'next boot')).publishersOf(port), [])
})

test('records: networks are on the disk, endpoints need not outlive the boot', async () => {
  const asked: string[] = []
  const memory = new MemoryStore()
  const store: Store = {
    get: key => memory.get(key),
    list: prefix => memory.list(prefix),
    async commit(writes: readonly Write[], options) {
      asked.push(`${writes[0]?.key ?? ''} ${options?.survives ?? 'power'}`)
      await memory.commit(writes)
    },
  }
  const records = await withNetwork(store)
  await records.putEndpoint(endpoint('a'))
  await records.removeEndpoint(endpoint('a'))
  await records.removeNetwork(networkId)
  assert.equal(asked, ['network/n1 power', 'endpoint/n1/a process', 'endpoint/n1/a process', 'network/n1 power'])
})

test.run()
