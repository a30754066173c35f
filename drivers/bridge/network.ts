/** What a network needs: its bridge, the bridge's addresses and switches, and what the rules must know of it. */
import type { Element, IfName, Resource, Sysctl } from '../../native/kernel/resource.ts'
import { familyOf, type Cidr, type Family } from '../../native/value/ip.ts'
import type { Facts, Network } from '../driver.ts'
import { element } from '../firewall.ts'
import { ifName, macOf } from '../names.ts'
import { smallestMtu6 } from '../network-labels.ts'
import type { BridgeOptions, GatewayMode } from './options.ts'

export type BridgeNetwork = Network<BridgeOptions>

export function planNetwork(network: BridgeNetwork, facts: Facts): readonly Resource[] {
  const { icc, adopted, mtu } = network.options
  const name = bridgeOf(network)
  return [
    // The rules know the bridge before it exists: what is closed is closed from the first packet on.
    element('bridges', name),
    ...(network.internal ? [element('internal', name)] : []),
    ...blackholes(network).map(destination => element(`blackhole${familyOf(destination)}`, `${name} . ${destination}`)),
    {
      type: 'bridge',
      name,
      adopted,
      alias: `weft network ${network.id}`,
      ...(adopted ? {} : { mac: macOf(network.id) }),
      ...(mtu === undefined ? {} : { mtu }),
    },
    ...switches(network, name),
    ...addresses(network).map((cidr): Resource => ({ type: 'address', link: name, cidr })),
    element('hairpin', `${name} . ${name}`),
    ...(icc ? [element('same', `${name} . ${name}`)] : []),
    ...(network.internal ? [] : [...sources(network), ...openings(network, name, facts)]),
  ]
}

/** The network's bridge: the name that the user chose, or one made from the id. */
export function bridgeOf(network: BridgeNetwork): IfName {
  return network.options.name ?? ifName('wb', network.id)
}

export function familiesOf(network: Network): readonly Family[] {
  return [...new Set(network.subnets.map(({ pool }) => familyOf(pool)))]
}

export function modeOf({ mode4 = 'nat', mode6 = 'nat' }: BridgeOptions, family: Family): GatewayMode {
  return family === 4 ? mode4 : mode6
}

/** Are the published ports of this network's containers open by their own addresses, to some or to all? */
export function isDirect(network: BridgeNetwork, family: Family, facts: Facts): boolean {
  const isTrusting = !network.options.hostFirewall && (network.options.trusted ?? []).length > 0
  return isTrusting || isOpenToAll(network, family, facts)
}

/** Never beside the INPUT rules of the host, which see nothing of what goes to a container's own address. */
function isOpenToAll({ options }: BridgeNetwork, family: Family, facts: Facts): boolean {
  return !options.hostFirewall && (facts.directRouting || modeOf(options, family) === 'routed')
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
  // Without an address of its own the host has no link-local one either.
  const speaks6 = familiesOf(network).includes(6) && modeOf(network.options, 6) !== 'isolated'
  return [
    ...ownSwitches(name).map(own => (gets(own.key) ? own : sysctl(own.key, own.value))),
    // A link whose MTU is too small for IPv6 has none, nor its switches.
    ...(adopted || mtu < smallestMtu6
      ? []
      : [
          sysctl(`net/ipv6/conf/${name}/accept_ra`, '0'),
          sysctl(`net/ipv6/conf/${name}/disable_ipv6`, speaks6 ? '0' : '1'),
        ]),
  ]
}

/** The host's own on the bridge. */
function addresses({ subnets, options }: BridgeNetwork): readonly Cidr[] {
  return subnets.flatMap(({ pool, gateway }) => {
    const family = familyOf(pool)
    const none = modeOf(options, family) === 'isolated' || (family === 4 && options.inhibitIpv4)
    return gateway && !none ? [gateway] : []
  })
}

function blackholes({ options: { routes = [] } }: BridgeNetwork): readonly Cidr[] {
  return routes.filter(({ via }) => via === undefined).map(({ destination }) => destination)
}

/** With which address its pools leave the host. */
function sources({ subnets, options }: BridgeNetwork): readonly Element[] {
  if (!options.masquerade) return []
  return subnets.flatMap(({ pool }) => {
    const family = familyOf(pool)
    if (modeOf(options, family) === 'routed') return []
    const snat = family === 4 ? options.snat4 : options.snat6
    return [snat === undefined ? element(`masq${family}`, pool) : element(`snat${family}`, pool, snat)]
  })
}

/** Ways in by the addresses of the containers. */
function openings(network: BridgeNetwork, name: IfName, facts: Facts): readonly Element[] {
  const { options } = network
  return [
    ...familiesOf(network).flatMap(family => {
      const key = `ipv${family} . ${name}`
      const mode = modeOf(options, family)
      return [
        mode === 'nat-unprotected' && element('open', key),
        mode === 'routed' && element('routed', key),
        isOpenToAll(network, family, facts) && element('direct', key),
      ].filter(part => part !== false)
    }),
    ...(options.trusted ?? []).map(link => element('trusted', `${link} . ${name}`)),
  ]
}

function sysctl(key: string, value: string): Sysctl {
  return { type: 'sysctl', key, value }
}
