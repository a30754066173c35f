/** The network half of one driver's socket: the engine's calls as edits of records. Wire names stop here. */
import type { Endpoint, Network, Subnet } from '../drivers/driver.ts'
import {
  addressOf,
  contains,
  familyOf,
  networkOf,
  overlaps,
  parseCidr,
  type Cidr,
  type Ip,
} from '../native/value/ip.ts'
import { isUsableMac, parseMac, type Mac } from '../native/value/mac.ts'
import { macOf } from '../drivers/names.ts'
import { UserError } from '../plugin-api/answer.ts'
import type { EndpointId, NetworkId } from '../plugin-api/ids.ts'
import type { NetworkHandlers } from '../plugin-api/methods.ts'
import type { CreateEndpoint, CreateNetwork, IpamData } from '../plugin-api/network.ts'
import { endpointOptions, networkOptions } from '../plugin-api/options.ts'
import { forward, putEndpoint, putNetwork, removeEndpoint, removeNetwork } from './edit.ts'
import { explained } from './explain.ts'
import { admissionLane, isForsaken, namedDriver, type House } from './house.ts'
import { publish, type PortChoices } from './ports.ts'

export function networkHandlers(house: House, driverName: string, ports: PortChoices): NetworkHandlers {
  const driver = namedDriver(house, driverName)
  const inLane = <T>(id: NetworkId, work: () => Promise<T>): Promise<T> => explained(house.lanes.run(id, work))

  return {
    async gwAllocCheck() {
      return { SkipIPv4: false, SkipIPv6: false }
    },

    createNetwork: request =>
      inLane(request.NetworkID, async () => {
        if (house.records.network(request.NetworkID)) {
          throw new UserError('NETWORK_EXISTS', `network ${request.NetworkID} exists already`)
        }
        const asked = recordOf(request, driverName, driver.parseOptions(genericOf(request)))
        await forgetForsaken(house, asked)
        // One after the other: a network that is still being made stands in no record that others are compared with.
        await house.lanes.within(admissionLane, async () => {
          await house.refresh()
          const others = house.records.networks().filter(other => other.driver === driverName)
          const pools = house.pools.grantsOf(asked.subnets.map(({ pool }) => pool))
          const admitted = driver.admit(asked, others, house.facts)
          const network = pools.length > 0 ? { ...admitted, pools } : admitted
          await putNetwork(house, network)
          house.log.info({ network: network.id, driver: driverName, subnets: network.subnets }, 'network created')
        })
      }),

    deleteNetwork: ({ NetworkID }) =>
      inLane(NetworkID, async () => {
        const network = house.records.network(NetworkID)
        if (!network) return
        await removeNetwork(house, network)
        house.log.info({ network: NetworkID }, 'network removed')
      }),

    createEndpoint: request =>
      inLane(request.NetworkID, async () => {
        const network = knownNetwork(house, request.NetworkID)
        const endpoint = newEndpoint(house, network, request)
        // The engine forgot the old holder without a word, or repeats itself: the address is given again.
        const same = house.records.endpoint(network.id, endpoint.id)
        const holders = endpoint.addresses.flatMap(cidr => house.records.holdersOf(addressOf(cidr)))
        for (const old of new Set([...(same ? [same] : []), ...holders])) {
          if (old.networkId === network.id) await removeEndpoint(house, old)
        }
        await putEndpoint(house, network, endpoint)
        house.log.info(
          { network: network.id, endpoint: endpoint.id, addresses: endpoint.addresses },
          'endpoint created',
        )
        return request.Interface.MacAddress ? {} : { Interface: { MacAddress: endpoint.mac } }
      }),

    async endpointOperInfo() {
      return { Value: {} }
    },

    join: request =>
      inLane(request.NetworkID, async () => {
        const network = knownNetwork(house, request.NetworkID)
        const endpoint = knownEndpoint(house, network.id, request.EndpointID)
        await forward(
          house,
          driver.forwards(network).filter(family => !house.forwards(family)),
        )
        await putEndpoint(house, network, {
          ...endpoint,
          phase: 'joined',
          sandboxKey: request.SandboxKey,
          changedAt: Date.now(),
        })
        const { srcName, dstPrefix, gateways, disableGatewayService } = driver.join(network, endpoint)
        const gateway = gateways.find(ip => familyOf(ip) === 4)
        const gateway6 = gateways.find(ip => familyOf(ip) === 6)
        return {
          InterfaceName: { SrcName: srcName, DstPrefix: dstPrefix },
          ...(gateway === undefined ? {} : { Gateway: gateway }),
          ...(gateway6 === undefined ? {} : { GatewayIPv6: gateway6 }),
          ...(disableGatewayService ? { DisableGatewayService: true } : {}),
        }
      }),

    leave: ({ NetworkID, EndpointID }) =>
      inLane(NetworkID, () =>
        change(house, NetworkID, EndpointID, { phase: 'left', ports: [], changedAt: Date.now() }),
      ),

    deleteEndpoint: ({ NetworkID, EndpointID }) =>
      inLane(NetworkID, async () => {
        const endpoint = house.records.endpoint(NetworkID, EndpointID)
        if (!endpoint) return
        await removeEndpoint(house, endpoint)
        house.log.info({ network: NetworkID, endpoint: EndpointID }, 'endpoint removed')
      }),

    programExternalConnectivity: request =>
      inLane(request.NetworkID, async () => {
        const network = knownNetwork(house, request.NetworkID)
        const endpoint = knownEndpoint(house, network.id, request.EndpointID)
        const bindings = endpointOptions('ProgramExternalConnectivity', request.Options).ports
        // An internal network publishes nothing; the engine may ask all the same.
        if (network.internal) return
        const published = await publish(house, network, endpoint, bindings, ports)
        if (published.length > 0) house.log.info({ endpoint: endpoint.id, ports: published }, 'ports published')
      }),

    revokeExternalConnectivity: ({ NetworkID, EndpointID }) =>
      inLane(NetworkID, () => change(house, NetworkID, EndpointID, { ports: [] })),
  }
}

/** The engine forgot a network without a word, and its subnet is given again. */
async function forgetForsaken(house: House, asked: Network): Promise<void> {
  const clash = (other: Network): boolean =>
    other.subnets.some(({ pool }) => asked.subnets.some(subnet => overlaps(pool, subnet.pool)))
  for (const other of house.records.networks().filter(other => isForsaken(house, other) && clash(other))) {
    await house.lanes.within(other.id, async () => {
      const still = house.records.network(other.id)
      if (!still || !isForsaken(house, still)) return
      await removeNetwork(house, still)
      house.log.warn({ network: other.id }, 'network given up: its subnet is given again')
    })
  }
}

/** A change of an endpoint that may be unknown by now; then there is nothing to do. */
async function change(house: House, networkId: NetworkId, id: EndpointId, more: Partial<Endpoint>): Promise<void> {
  const network = house.records.network(networkId)
  const endpoint = house.records.endpoint(networkId, id)
  if (network && endpoint) await putEndpoint(house, network, { ...endpoint, ...more })
}

function knownNetwork(house: House, id: NetworkId): Network {
  const network = house.records.network(id)
  if (network) return network
  throw new UserError('NETWORK_UNKNOWN', `weft has no record of network ${id}`, {
    hint: 'remove it with docker network rm and create it again',
  })
}

function knownEndpoint(house: House, networkId: NetworkId, id: EndpointId): Endpoint {
  const endpoint = house.records.endpoint(networkId, id)
  if (endpoint) return endpoint
  throw new UserError('ENDPOINT_UNKNOWN', `weft has no record of endpoint ${id}`, { hint: 'start the container again' })
}

function genericOf(request: CreateNetwork): Readonly<Record<string, string>> {
  return networkOptions('CreateNetwork', request.Options).generic
}

function recordOf(request: CreateNetwork, driver: string, options: unknown): Network {
  const { internal } = networkOptions('CreateNetwork', request.Options)
  return {
    id: request.NetworkID,
    driver,
    internal,
    subnets: [...request.IPv4Data, ...request.IPv6Data].map(subnetOf),
    options,
  }
}

function subnetOf({ Pool, Gateway, AuxAddresses }: IpamData): Subnet {
  const aux: Record<string, Ip> = {}
  for (const [name, address] of Object.entries(AuxAddresses)) aux[name] = addressOf(cidrIn('AuxAddresses', address))
  return {
    pool: networkOf(cidrIn('Pool', Pool)),
    ...(Gateway === undefined ? {} : { gateway: cidrIn('Gateway', Gateway) }),
    aux,
  }
}

function newEndpoint(house: House, network: Network, request: CreateEndpoint): Endpoint {
  const { Address, AddressIPv6, MacAddress } = request.Interface
  const addresses = [Address, AddressIPv6].flatMap(text => (text === undefined ? [] : [cidrIn('Interface', text)]))
  for (const cidr of addresses) {
    if (!network.subnets.some(({ pool }) => contains(pool, addressOf(cidr)))) {
      const pools = network.subnets.map(({ pool }) => pool).join(', ')
      throw new UserError('ADDRESS_OUTSIDE', `address ${cidr} is outside the network's subnets ${pools}`)
    }
  }
  const { driver } = endpointOptions('CreateEndpoint', request.Options)
  const [option] = Object.keys(driver)
  if (option !== undefined) {
    throw new UserError('OPTION_UNKNOWN', `weft-${network.driver} has no endpoint option ${option}`, {
      hint: 'leave out --driver-opt',
    })
  }
  return {
    id: request.EndpointID,
    networkId: network.id,
    phase: 'created',
    bootId: house.records.bootId,
    addresses,
    // The same address has the same MAC again: neighbours remember it for a minute, and nobody tells them otherwise.
    mac: MacAddress === undefined ? macOf(`${network.id} ${addresses[0] ?? request.EndpointID}`) : macIn(MacAddress),
    ports: [],
    changedAt: Date.now(),
  }
}

function cidrIn(field: string, text: string): Cidr {
  const cidr = parseCidr(text)
  if (cidr) return cidr
  throw new UserError('BAD_REQUEST', `${field}: expected an address with a prefix length, got ${JSON.stringify(text)}`)
}

function macIn(text: string): Mac {
  const mac = parseMac(text)
  if (mac && isUsableMac(mac)) return mac
  throw new UserError('BAD_MAC', `${text} is not a MAC address that a container can have`, {
    hint: 'the first byte must be even, as in 02:42:ac:11:00:02',
  })
}
