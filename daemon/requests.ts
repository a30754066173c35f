/** From the engine's words to records: what a request says of a network or an endpoint, checked. */
import type { DirectPort, Driver, Endpoint, Facts, JoinAnswer, Network, Publishing, Subnet } from '../drivers/driver.ts'
import { macOf } from '../drivers/names.ts'
import {
  addressOf,
  contains,
  familyOf,
  isLoopback,
  networkOf,
  parseCidr,
  type Cidr,
  type Ip,
} from '../native/value/ip.ts'
import { isUsableMac, parseMac, type Mac } from '../native/value/mac.ts'
import { UserError } from '../plugin-api/answer.ts'
import { addressSpaces } from '../plugin-api/methods.ts'
import type { CreateEndpoint, CreateNetwork, IpamData, Join, StaticRoute } from '../plugin-api/network.ts'
import { endpointOptions, networkOptions } from '../plugin-api/options.ts'
import { namedAddress, protocolOf } from './publishing.ts'

type JoinRoute = JoinAnswer['routes'][number]

interface EndpointHouse {
  readonly facts: Facts
  readonly records: { readonly bootId: string }
}

export function genericOf(request: CreateNetwork): Readonly<Record<string, string>> {
  return networkOptions('CreateNetwork', request.Options).generic
}

export function recordOf(request: CreateNetwork, driver: string, options: unknown): Network {
  const { internal } = networkOptions('CreateNetwork', request.Options)
  return {
    id: request.NetworkID,
    driver,
    internal,
    subnets: [...request.IPv4Data, ...request.IPv6Data].map(subnetOf),
    options,
  }
}

/** Subnets that weft's own IPAM gave, and not another one that happens to have the same. */
export function ownPools({ IPv4Data, IPv6Data }: CreateNetwork): readonly Cidr[] {
  return [...IPv4Data, ...IPv6Data]
    .filter(({ AddressSpace }) => AddressSpace === addressSpaces.local)
    .map(data => subnetOf(data).pool)
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

export function newEndpoint(house: EndpointHouse, network: Network, request: CreateEndpoint, driver: Driver): Endpoint {
  const { Address, AddressIPv6, MacAddress } = request.Interface
  const addresses = [Address, AddressIPv6].flatMap(text => (text === undefined ? [] : [cidrIn('Interface', text)]))
  for (const cidr of addresses) {
    if (!network.subnets.some(({ pool }) => contains(pool, addressOf(cidr)))) {
      const pools = network.subnets.map(({ pool }) => pool).join(', ')
      throw new UserError('ADDRESS_OUTSIDE', `address ${cidr} is outside the network's subnets ${pools}`)
    }
  }
  const { driver: raw, isMacChosen, ports } = endpointOptions('CreateEndpoint', request.Options)
  const options = driver.parseEndpointOptions(raw)
  if (ports.length > 0) refusePorts(driver.publishing(network, house.facts))
  if (MacAddress !== undefined) refuseMac(driver, { isMacChosen })
  return {
    id: request.EndpointID,
    networkId: network.id,
    phase: 'created',
    bootId: house.records.bootId,
    addresses,
    // The same address has the same MAC again: neighbours remember it for a minute, and nobody tells them otherwise.
    mac:
      MacAddress === undefined
        ? (driver.fixedMac?.(network, house.facts) ?? macOf(`${network.id} ${addresses[0] ?? request.EndpointID}`))
        : readMac(MacAddress),
    ports: [],
    ...(Object.keys(raw).length > 0 ? { options } : {}),
    changedAt: Date.now(),
  }
}

/** Throws UserError where nothing is ever published. */
export function refusePorts({ refusal }: Publishing): void {
  if (refusal) throw new UserError('PORTS_REFUSED', `published ports: ${refusal.why}`, { hint: refusal.hint })
}

/** With weft's own IPAM the engine makes a MAC for whom nobody chose one. */
function refuseMac({ name, macRefusal }: Driver, { isMacChosen }: { readonly isMacChosen: boolean }): void {
  if (macRefusal === undefined) return
  const hint = isMacChosen
    ? 'leave --mac-address out'
    : `with this IPAM driver the engine makes one for every container: use --ipam-driver weft-${name}, or the engine's own`
  throw new UserError('MAC_REFUSED', macRefusal, { hint })
}

/**
 * The container's ports where they are open by its own address: also in a network that is not its gateway. A named host
 * address is of one family; one that only the host reaches opens nothing, for the host has a way in anyway.
 */
export function directPorts(served: Publishing, request: Join): Pick<Endpoint, 'direct'> {
  if (served.direct.length === 0) return {}
  const direct = endpointOptions('Join', request.Options).ports.flatMap((binding): readonly DirectPort[] => {
    const named = namedAddress(served, binding)
    if (named !== undefined && isLoopback(named)) return []
    const family = named === undefined ? {} : { family: familyOf(named) }
    return [{ protocol: protocolOf(binding), port: binding.Port, ...family }]
  })
  return { direct }
}

export function staticRoute({ destination, via }: JoinRoute): StaticRoute {
  return { Destination: destination, RouteType: via === undefined ? 1 : 0, NextHop: via ?? '' }
}

function cidrIn(field: string, text: string): Cidr {
  const cidr = parseCidr(text)
  if (cidr) return cidr
  throw new UserError('BAD_REQUEST', `${field}: expected an address with a prefix length, got ${JSON.stringify(text)}`)
}

/** Throws UserError BAD_MAC. */
export function readMac(text: string): Mac {
  const mac = parseMac(text)
  if (mac && isUsableMac(mac)) return mac
  throw new UserError('BAD_MAC', `${text} is not a MAC address that a container can have`, {
    hint: 'the first byte must be even, as in 02:42:ac:11:00:02',
  })
}
