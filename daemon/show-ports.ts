/** Published ports as `weft ports` shows them: where they are served, how, and what of it is missing. */
import type { Endpoint } from '../drivers/driver.ts'
import { describe, keyOf, type Resource } from '../native/kernel/resource.ts'
import { addressOf, familyOf, type Family } from '../native/value/ip.ts'
import type { Watch } from './evidence.ts'
import { driverOf, type House } from './house.ts'
import { endpointKey } from './records.ts'
import type { PortRow } from './view.ts'

export async function portRows(house: House, watch: Watch): Promise<readonly PortRow[]> {
  const missing = new Set<string>()
  for (const { changes } of await house.reconciler.differences()) {
    for (const change of changes) if (change.op !== 'remove') missing.add(keyOf(change.want))
  }
  return house.records.endpoints().flatMap(endpoint => {
    const container = watch.names.get(endpoint.networkId)?.endpoints.get(endpoint.id)?.container
    const wishes = house.reconciler.wishOf(endpointKey(endpoint.networkId, endpoint.id))
    const network = house.records.network(endpoint.networkId)
    const direct = network ? driverOf(house, network).publishing(network, house.facts).direct : []
    const rows = [...publishedRows(endpoint, wishes, missing), ...directRows(endpoint, direct)]
    return container === undefined ? rows : rows.map(row => ({ ...row, container }))
  })
}

function publishedRows(
  endpoint: Endpoint,
  wishes: readonly Resource[],
  missing: ReadonlySet<string>,
): readonly PortRow[] {
  const byPort = Map.groupBy(wishes, portOf)
  const addresses = endpoint.addresses.map(addressOf)
  return endpoint.ports.map(port => {
    const { protocol, hostAddress, hostPort, containerPort } = port
    const serving = byPort.get(`${protocol} . ${hostPort}`) ?? []
    const socket = serving.find(wish => wish.type === 'port' && wish.address === hostAddress)
    const lost = serving.find(wish => missing.has(keyOf(wish)))
    const own = addresses.find(address => familyOf(address) === familyOf(hostAddress))
    return {
      protocol,
      way: socket?.type === 'port' && socket.relay ? 'relay' : 'rule',
      hostAddress,
      hostPort,
      endpointId: endpoint.id,
      containerAddress: own ?? addresses[0] ?? '',
      containerPort,
      ...(lost ? { state: 'degraded', reason: `missing: ${describe(lost)}` } : { state: 'ok' }),
    }
  })
}

/** The port of the host that a socket or an element of a map is about. */
function portOf(wish: Resource): string {
  if (wish.type === 'port') return `${wish.protocol} . ${wish.port}`
  return wish.type === 'element' && wish.value !== undefined ? wish.key.split(' . ').slice(-2).join(' . ') : ''
}

function directRows({ id, addresses, direct = [] }: Endpoint, families: readonly Family[]): readonly PortRow[] {
  const open = addresses.map(addressOf).filter(address => families.includes(familyOf(address)))
  return direct.flatMap(({ protocol, port, family }) =>
    open
      .filter(address => family === undefined || familyOf(address) === family)
      .map((address): PortRow => {
        const place = { hostAddress: address, hostPort: port, containerAddress: address, containerPort: port }
        return { protocol, way: 'direct', endpointId: id, ...place, state: 'ok' }
      }),
  )
}
