/** What an endpoint needs: its pair of links, what the rules must know of it, and its ports. */
import type { Element, IfName, Resource } from '../../native/kernel/resource.ts'
import { addressOf, contains, familyOf, ipFromBytes, isLoopback, type Cidr, type Ip } from '../../native/value/ip.ts'
import { macToBytes, type Mac } from '../../native/value/mac.ts'
import type { Endpoint, Facts, JoinAnswer, Subnet } from '../driver.ts'
import { element } from '../firewall.ts'
import { ifName, macOf, portsTableName } from '../names.ts'
import { held, published } from '../published.ts'
import { bridgeOf, isDirect, modeOf, type BridgeNetwork } from './network.ts'
import type { BridgeEndpointOptions } from './options.ts'

export function planEndpoint(network: BridgeNetwork, endpoint: Endpoint, facts: Facts): readonly Resource[] {
  const { icc, mtu } = network.options
  return [
    // The rules know the link before it exists.
    ...identity(network, endpoint),
    ...sourceLists(network, endpoint),
    {
      type: 'veth',
      name: linkOf(endpoint),
      mac: macOf(`host end of ${endpoint.id}`),
      master: bridgeOf(network),
      isolated: !icc,
      peer: { name: ifName('wc', endpoint.id), mac: endpoint.mac },
      handed: endpoint.phase !== 'created',
      alias: `weft endpoint ${endpoint.id}`,
      ...(mtu === undefined ? {} : { mtu }),
    },
    // A port is held before it is served, so that it is never served for two.
    ...endpoint.ports.flatMap(port => held(port, endpoint, { facts, from: listOf(network, endpoint) })),
    ...endpoint.ports.flatMap(port => published(port, endpoint, { asked: network.options.hostFirewall ?? false })),
    ...directPorts(network, endpoint, facts),
  ]
}

export function join(network: BridgeNetwork, endpoint: Endpoint): JoinAnswer {
  const { defaultRoute = true, ifacePrefix = 'eth', routes = [] } = network.options
  const own = network.subnets.filter(({ pool }) => endpoint.addresses.some(cidr => contains(pool, addressOf(cidr))))
  const families = own.map(({ pool }) => familyOf(pool))
  // What the other subnets of the network have is on the same link.
  const sisters = network.subnets.filter(subnet => !own.includes(subnet) && families.includes(familyOf(subnet.pool)))
  // The kernel refuses a route by way of an own address: the router itself has none to where it leads.
  const addresses = endpoint.addresses.map(addressOf)
  const led = routes.filter(({ via }) => via !== undefined && !addresses.includes(via))
  return {
    srcName: ifName('wc', endpoint.id),
    dstPrefix: ifacePrefix,
    // On an internal network the engine would make a gateway the default route.
    gateways: network.internal || !defaultRoute ? [] : own.flatMap(subnet => gatewayOf(network, subnet)),
    routes: [
      ...sisters.map(({ pool }) => ({ destination: pool })),
      ...led.filter(({ destination }) => families.includes(familyOf(destination))),
    ],
    disableGatewayService: !defaultRoute,
  }
}

/** The host's end of the pair. */
export function linkOf({ id, options }: Endpoint): IfName {
  return (options as BridgeEndpointOptions | undefined)?.link ?? ifName('wv', id)
}

/** Where the containers' default route leads: to the bridge, unless the user named another router. */
function gatewayOf({ options }: BridgeNetwork, { pool, gateway, aux }: Subnet): readonly Ip[] {
  const family = familyOf(pool)
  if (modeOf(options, family) === 'isolated') return []
  const other = aux[`DefaultGatewayIPv${family}`]
  return other === undefined ? (gateway ? [addressOf(gateway)] : []) : [other]
}

/** With which addresses it may send. */
function identity(network: BridgeNetwork, endpoint: Endpoint): readonly Element[] {
  const { antispoof = network.options.antispoof ?? true } = optionsOf(endpoint)
  const link = linkOf(endpoint)
  if (!antispoof) return [portElement('ports_free', link)]
  const own = `${link} . ${endpoint.mac}`
  const addresses = endpoint.addresses.map(addressOf)
  const has6 = addresses.some(address => familyOf(address) === 6)
  return [
    portElement('ports', link),
    portElement('ports_mac', own),
    ...[...addresses, ...(has6 ? [linkLocalOf(endpoint.mac)] : [])].map(address =>
      portElement(`ports${familyOf(address)}`, `${own} . ${address}`),
    ),
  ]
}

/** Who may use its published ports. A family without an entry in the list is closed. */
function sourceLists(network: BridgeNetwork, endpoint: Endpoint): readonly Element[] {
  const from = listOf(network, endpoint)
  if (!from) return []
  return endpoint.addresses.map(addressOf).flatMap(address => {
    const family = familyOf(address)
    const listed = from.filter(prefix => familyOf(prefix) === family)
    return [
      ...listed.map(prefix => element(`from${family}`, `${address} . ${prefix}`)),
      element(`limited${family}`, address),
    ]
  })
}

function listOf(network: BridgeNetwork, endpoint: Endpoint): readonly Cidr[] | undefined {
  return optionsOf(endpoint).from ?? network.options.from
}

/**
 * Two host ports may lead to one of the container. What was published for one family is open in that one; what was
 * published on a loopback address is open to nobody.
 */
function directPorts(network: BridgeNetwork, endpoint: Endpoint, facts: Facts): readonly Element[] {
  if (network.internal) return []
  const translated = endpoint.ports
    .filter(({ hostAddress }) => !isLoopback(hostAddress))
    .map(({ protocol, containerPort, hostAddress }) => ({
      protocol,
      port: containerPort,
      family: familyOf(hostAddress),
    }))
  const keys = endpoint.addresses.map(addressOf).flatMap(address => {
    const family = familyOf(address)
    if (!isDirect(network, family, facts)) return []
    return [...translated, ...(endpoint.direct ?? [])]
      .filter(port => (port.family ?? family) === family)
      .map(({ protocol, port }) => [`direct${family}`, `${address} . ${protocol} . ${port}`] as const)
  })
  return [...new Map(keys.map(([set, key]) => [key, element(set, key)])).values()]
}

function optionsOf({ options }: Endpoint): BridgeEndpointOptions {
  return options ?? {}
}

function portElement(set: string, key: string): Element {
  return { type: 'element', table: portsTableName, set, key }
}

/** fe80::/64 and the modified EUI-64 of the MAC: RFC 4291, appendix A. */
function linkLocalOf(mac: Mac): Ip {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = macToBytes(mac)
  return ipFromBytes(Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f))
}
