/** weft-bridge: one Linux bridge per network, routed and translated by the rule set of the host plan. */
import { UserError } from '../../plugin-api/answer.ts'
import type { AcceptRule, Element, HeldPort, IfName, Resource, Sysctl } from '../../native/kernel/resource.ts'
import { addressOf, contains, familyOf, overlaps, type Cidr, type Family } from '../../native/value/ip.ts'
import { forwardingSwitch } from '../driver.ts'
import type { Driver, Endpoint, Network, PublishedPort, Subnet } from '../driver.ts'
import { ifName, macOf, tableName } from '../names.ts'
import { parseBridgeOptions, type BridgeOptions } from './options.ts'
import { bridgeRuleset } from './ruleset.ts'

type BridgeNetwork = Network<BridgeOptions>

export const bridgeDriver: Driver<BridgeOptions> = {
  name: 'bridge',
  parseOptions: parseBridgeOptions,

  admit(network, others, facts) {
    for (const family of [4, 6] as const) checkSubnets(network, family)
    const bridge = bridgeOf(network)
    for (const other of others as readonly BridgeNetwork[]) {
      if (bridgeOf(other) === bridge) {
        throw new UserError(
          'BRIDGE_NAME_TAKEN',
          `networks have same bridge name: ${bridge} belongs to network ${other.id}`,
        )
      }
      checkOverlap(network, other)
    }
    const adopted = facts.foreignBridges.includes(bridge)
    const kept = ownSwitches(bridge).flatMap(({ key }) => (facts.foreignSwitches.includes(key) ? [key] : []))
    return adopted ? { ...network, options: { ...network.options, adopted, kept } } : network
  },

  planHost(facts) {
    return [
      bridgeRuleset(facts.marks),
      ...facts.uplinks.map(name => element('uplinks', name)),
      // Forwarding that weft switches on must not open ways between other links, not even for an instant.
      ...facts.forwarded.map(family => element('guarded', family === 4 ? 'ipv4' : 'ipv6')),
      ...facts.forwarded.map(family => forwardingSwitch(family, '1')),
      ...facts.acceptHooks.map((hook): AcceptRule => ({ type: 'accept', ...hook, mark: facts.marks.allowed })),
    ]
  },

  planNetwork(network) {
    const { icc, masquerade, adopted, mtu } = network.options
    const name = bridgeOf(network)
    return [
      // The rules know the bridge before it exists: what is closed is closed from the first packet on.
      element('bridges', name),
      ...(network.internal ? [element('internal', name)] : []),
      {
        type: 'bridge',
        name,
        adopted,
        alias: `weft network ${network.id}`,
        ...(adopted ? {} : { mac: macOf(network.id) }),
        ...(mtu === undefined ? {} : { mtu }),
      },
      ...switches(network, name),
      ...network.subnets.flatMap(({ gateway }): Resource[] =>
        gateway ? [{ type: 'address', link: name, cidr: gateway }] : [],
      ),
      element('hairpin', `${name} . ${name}`),
      ...(icc ? [element('same', `${name} . ${name}`)] : []),
      ...(masquerade && !network.internal
        ? network.subnets.map(({ pool }) => element(`masq${familyOf(pool)}`, pool))
        : []),
    ]
  },

  planEndpoint(network, endpoint) {
    const { icc, mtu } = network.options
    return [
      {
        type: 'veth',
        name: ifName('wv', endpoint.id),
        mac: macOf(`host end of ${endpoint.id}`),
        master: bridgeOf(network),
        isolated: !icc,
        peer: { name: ifName('wc', endpoint.id), mac: endpoint.mac },
        handed: endpoint.phase !== 'created',
        alias: `weft endpoint ${endpoint.id}`,
        ...(mtu === undefined ? {} : { mtu }),
      },
      // A port is held before it is served, so that it is never served for two.
      ...endpoint.ports.map(held),
      ...endpoint.ports.map(port => published(port, endpoint)),
    ]
  },

  forwards: network => (network.internal ? [] : families(network)),

  join(network, endpoint) {
    return {
      srcName: ifName('wc', endpoint.id),
      dstPrefix: 'eth',
      // On an internal network the engine would make a gateway the default route.
      gateways: network.internal ? [] : network.subnets.flatMap(({ gateway }) => (gateway ? [addressOf(gateway)] : [])),
      disableGatewayService: false,
    }
  },

  alive: (endpoint, evidence) => evidence.hasLink(ifName('wv', endpoint.id)),
}

/** RFC 8200, section 5. */
const smallestMtu6 = 1280

/** The network's bridge: the name that the user chose, or one made from the id. */
export function bridgeOf(network: BridgeNetwork): IfName {
  return network.options.name ?? ifName('wb', network.id)
}

function families(network: Network): readonly Family[] {
  return [...new Set(network.subnets.map(({ pool }) => familyOf(pool)))]
}

/** What the rule set needs of every bridge. */
export function ownSwitches(name: IfName): readonly Required<Sysctl>[] {
  return [
    // 127.0.0.1 of the host reaches published ports through it; the rule set drops such addresses from the wire.
    { ...sysctl(`net/ipv4/conf/${name}/route_localnet`, '1'), setBack: '0' },
    { ...sysctl(`net/ipv4/conf/${name}/send_redirects`, '0'), setBack: '1' },
  ]
}

/** Switches of the bridge itself; an adopted bridge keeps those that concern its owner, and gets back the others. */
function switches(network: BridgeNetwork, name: IfName): readonly Sysctl[] {
  const { adopted, kept = [], mtu = 1500 } = network.options
  const gets = (key: string): boolean => adopted && !kept.includes(key)
  return [
    ...ownSwitches(name).map(own => (gets(own.key) ? own : sysctl(own.key, own.value))),
    // A link whose MTU is too small for IPv6 has none, nor its switches.
    ...(adopted || mtu < smallestMtu6
      ? []
      : [
          sysctl(`net/ipv6/conf/${name}/accept_ra`, '0'),
          sysctl(`net/ipv6/conf/${name}/disable_ipv6`, families(network).includes(6) ? '0' : '1'),
        ]),
  ]
}

function held(port: PublishedPort): HeldPort {
  return { type: 'port', protocol: port.protocol, address: port.hostAddress, port: port.hostPort }
}

function published(port: PublishedPort, endpoint: Endpoint): Element {
  const family = familyOf(port.hostAddress)
  const anywhere = port.hostAddress === '0.0.0.0' || port.hostAddress === '::'
  const address = endpoint.addresses.find(cidr => familyOf(cidr) === family)
  if (!address) throw new Error(`endpoint ${endpoint.id} has no IPv${family} address to publish`)
  const key = `${port.protocol} . ${port.hostPort}`
  return {
    ...element(`pub${family}${anywhere ? 'any' : ''}`, anywhere ? key : `${port.hostAddress} . ${key}`),
    value: `${addressOf(address)} . ${port.containerPort}`,
  }
}

function element(set: string, key: string): Element {
  return { type: 'element', table: tableName, set, key }
}

function sysctl(key: string, value: string): Sysctl {
  return { type: 'sysctl', key, value }
}

function checkSubnets(network: BridgeNetwork, family: Family): void {
  const subnets = network.subnets.filter(({ pool }) => familyOf(pool) === family)
  const [subnet] = subnets
  if (network.subnets.length === 0) {
    throw new UserError('NO_SUBNET', 'weft-bridge needs a subnet of IPv4 or IPv6', {
      hint: 'add --subnet, or leave IPv4 on',
    })
  }
  if (subnets.length > 1) {
    throw new UserError('SUBNETS_MANY', `weft-bridge has one subnet per family, got ${subnets.length} of IPv${family}`)
  }
  if (subnet) checkSubnet(subnet, network.options.mtu)
}

function checkSubnet({ pool, gateway, aux }: Subnet, mtu: number | undefined): void {
  if (pool.endsWith('/0')) {
    throw new UserError('POOL_EMPTY', `ipv${familyOf(pool)} pool is empty`, {
      hint: 'weft-bridge needs an IPAM driver that gives subnets',
    })
  }
  if (!gateway) throw new UserError('GATEWAY_MISSING', `subnet ${pool} came without a gateway address`)
  if (!contains(pool, addressOf(gateway))) {
    throw new UserError('GATEWAY_OUTSIDE', `gateway ${gateway} is outside its subnet ${pool}`)
  }
  const route = Object.keys(aux).find(name => /^DefaultGatewayIPv[46]$/.test(name))
  if (route) {
    throw new UserError(
      'OPTION_UNSUPPORTED',
      `aux address ${route} (a gateway other than the bridge) is not supported yet`,
    )
  }
  if (familyOf(pool) === 6 && mtu !== undefined && mtu < smallestMtu6) {
    throw new UserError('MTU_TOO_SMALL', `MTU ${mtu} is too small for IPv6`, {
      hint: `the smallest is ${smallestMtu6}`,
    })
  }
}

function checkOverlap(network: BridgeNetwork, other: BridgeNetwork): void {
  const clash = network.subnets.flatMap(({ pool }) => other.subnets.filter(theirs => overlaps(pool, theirs.pool)))[0]
  if (!clash) return
  const family: Cidr = clash.pool
  throw new UserError(
    'SUBNET_OVERLAP',
    `cannot create network ${network.id} (${bridgeOf(network)}): conflicts with network ${other.id} (${bridgeOf(other)}): ` +
      `networks have overlapping IPv${familyOf(family)}`,
    { hint: `${family} is taken: choose another --subnet` },
  )
}
