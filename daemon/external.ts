/** When an endpoint's ports are published: in the engine's own call for it, or in Join where the engine makes none. */
import type { Endpoint, JoinAnswer, Network, PublishedPort } from '../drivers/driver.ts'
import { familyOf, lengthOf, type Family } from '../native/value/ip.ts'
import type { EndpointCall, Join, ProgramExternalConnectivity } from '../plugin-api/network.ts'
import { endpointOptions } from '../plugin-api/options.ts'
import { forward, putEndpoint } from './edit.ts'
import { driverOf, type House } from './house.ts'
import { publish, type PortChoices } from './ports.ts'
import type { Place } from './publishing.ts'
import { refusePorts } from './requests.ts'

export interface Publisher {
  readonly house: House
  readonly choices: PortChoices
}

/** In a turn of the network. Publishes all of the request's ports or none; throws UserError. */
export async function program(
  { house, choices }: Publisher,
  endpoint: Endpoint,
  { Options }: Pick<ProgramExternalConnectivity, 'Options'>,
  signal?: AbortSignal,
): Promise<void> {
  const network = house.records.network(endpoint.networkId)
  // An internal network publishes nothing; the engine may ask all the same.
  if (!network || network.internal) return
  const driver = driverOf(house, network)
  const { ports: bindings, isIpv6Elsewhere } = endpointOptions('ProgramExternalConnectivity', Options)
  const served = driver.publishing(network, house.facts)
  if (bindings.length > 0) refusePorts(served)
  if (served.host.length + served.direct.length === 0) return
  // Since Join: an engine that knows of such gateways asks again.
  if (endpoint.ports.length > 0 && isUnprogrammed(house, network, driver.join(network, endpoint, house.facts))) return
  if (bindings.length > 0) await letForward(house, served.host)
  const elsewhere = sistersOf(house, endpoint).flatMap(ruledFamilies)
  const place: Place = { house, endpoint, served, elsewhere, unrelayed: isIpv6Elsewhere ? [6] : [] }
  const published = await publish(place, network, bindings, choices, signal)
  if (published.length > 0) house.log.info({ endpoint: endpoint.id, ports: published }, 'ports published')
}

/** Where the engine does not ask. */
export async function programAtJoin(
  publisher: Publisher,
  endpoint: Endpoint,
  answer: JoinAnswer,
  request: Join,
  signal?: AbortSignal,
): Promise<void> {
  const { house } = publisher
  const network = house.records.network(endpoint.networkId)
  if (!network || !isUnprogrammed(house, network, answer) || sistersOf(house, endpoint).length > 0) return
  if (endpointOptions('Join', request.Options).ports.length === 0) return
  await program(publisher, endpoint, request, signal)
}

/**
 * Before 28 the engine lets one endpoint of a container publish at a time, and knows nothing of what was published at Join;
 * from 28 on one for each family, and knows nothing of relays into the other one. In turns of the networks' own lanes,
 * before this one's begins: a turn must never wait for a lane of that sort.
 */
export async function yieldPorts(house: House, { NetworkID, EndpointID }: EndpointCall): Promise<void> {
  const endpoint = house.records.endpoint(NetworkID, EndpointID)
  if (!endpoint) return
  const own = endpoint.addresses.map(familyOf)
  for (const { networkId, id } of sistersOf(house, endpoint)) {
    await house.lanes.part(networkId, id, async () => {
      const network = house.records.network(networkId)
      const sister = house.records.endpoint(networkId, id)
      if (!network || !sister) return
      const answer = driverOf(house, network).join(network, sister, house.facts)
      const ruled = ruledFamilies(sister)
      const stays = ({ hostAddress }: PublishedPort): boolean => {
        const family = familyOf(hostAddress)
        return ruled.includes(family) || !own.includes(family)
      }
      const ports = isUnprogrammed(house, network, answer) ? [] : sister.ports.filter(stays)
      if (ports.length < sister.ports.length) await putEndpoint(house, network, { ...sister, ports })
    })
  }
}

/** Families in which its ports lead to an address of the same family, without a relay between the two. */
function ruledFamilies({ addresses, ports }: Endpoint): readonly Family[] {
  const published = new Set(ports.map(({ hostAddress }) => familyOf(hostAddress)))
  return addresses.map(familyOf).filter(family => published.has(family))
}

export async function letForward(house: House, families: readonly Family[]): Promise<void> {
  await forward(
    house,
    families.filter(family => !house.forwards(family)),
  )
}

/**
 * Engines ask for the ports of the container's gateway. Before 28 they take no endpoint for it whose default route has no
 * next hop; and none takes one that has no default route.
 */
function isUnprogrammed(house: House, network: Network, { gateways, routes }: JoinAnswer): boolean {
  if (driverOf(house, network).publishing(network, house.facts).atJoin) return true
  return gateways.length === 0 && routes.some(({ destination }) => lengthOf(destination) === 0)
}

/** Other endpoints of the same container that publish. */
function sistersOf({ records }: House, { id, sandboxKey }: Endpoint): readonly Endpoint[] {
  if (sandboxKey === undefined) return []
  return records
    .endpoints()
    .filter(other => other.sandboxKey === sandboxKey && other.id !== id && other.ports.length > 0)
}
