/** Options of a weft-bridge network and of its endpoints: from `-o key=value` to what is recorded. */
import type { IfName } from '../../native/kernel/resource.ts'
import { isUnspecified, familyOf, parseIp, type Cidr, type Family, type Ip } from '../../native/value/ip.ts'
import { UserError } from '../../plugin-api/answer.ts'
import { bool, parseLabels } from '../labels.ts'
import { isMadeName } from '../names.ts'
import {
  announcements,
  families,
  ifacePrefix,
  isLinkName,
  mtu,
  strict,
  sysctls,
  withoutDefaults,
} from '../network-labels.ts'
import { parseRoutes, parseSources, type Route } from './lists.ts'

/**
 * nat: published ports are translated. nat-unprotected: those, and every port by the container's address. routed: no
 * translation, published ports by the container's address. isolated: the host has no address on the bridge.
 */
export type GatewayMode = (typeof gatewayModes)[number]
const gatewayModes = ['nat', 'nat-unprotected', 'routed', 'isolated'] as const

/** Options of a weft-bridge network, as they are recorded. What is absent has its default. */
export interface BridgeOptions {
  /** Name of the bridge; a name made from the network's id when absent. */
  readonly name?: IfName
  /** The bridge was there before the network and stays when the network goes. */
  readonly adopted: boolean
  /** Switches of an adopted bridge that were set before: they are not set back. */
  readonly kept?: readonly string[]
  readonly icc: boolean
  readonly masquerade: boolean
  /** Bytes; the kernel's default (1500) when absent. */
  readonly mtu?: number
  /** `nat` when absent. */
  readonly mode4?: GatewayMode
  readonly mode6?: GatewayMode
  /** Interfaces that reach published ports by the container's address. */
  readonly trusted?: readonly IfName[]
  /** The bridge gets no IPv4 address: the gateway is somewhere else in the L2 segment. */
  readonly inhibitIpv4?: boolean
  /** Host address of ports that name none. */
  readonly bindAddress?: Ip
  /** Source addresses in place of masquerading. */
  readonly snat4?: Ip
  readonly snat6?: Ip
  /** Of interface names in the container; `eth` when absent. */
  readonly ifacePrefix?: string
  /** What the user said of the families, to be held against what the engine gave. */
  readonly ipv4?: boolean
  readonly ipv6?: boolean
  /** The INPUT rules of the host decide who reaches published ports. */
  readonly hostFirewall?: boolean
  /** The only sources that reach published ports. */
  readonly from?: readonly Cidr[]
  /** false: containers may send with any address. */
  readonly antispoof?: boolean
  readonly routes?: readonly Route[]
  /** false: containers get no default route from this network. */
  readonly defaultRoute?: boolean
  /** Options that weft does not know, and was told to ignore. */
  readonly ignored?: readonly string[]
}

/** Of one endpoint, `--driver-opt`. They go before those of the network. */
export interface BridgeEndpointOptions {
  readonly from?: readonly Cidr[]
  readonly antispoof?: boolean
  /** Name of the host's end of the pair. */
  readonly link?: IfName
}

const linkNames = 'an interface name of at most 15 characters, and none that weft makes itself'

const table = {
  name: { label: 'com.docker.network.bridge.name', fallback: undefined, expected: linkNames, parse: linkName },
  icc: bool('com.docker.network.bridge.enable_icc', true),
  masquerade: bool('com.docker.network.bridge.enable_ip_masquerade', true),
  mtu,
  mode4: mode('com.docker.network.bridge.gateway_mode_ipv4'),
  mode6: mode('com.docker.network.bridge.gateway_mode_ipv6'),
  trusted: {
    label: 'com.docker.network.bridge.trusted_host_interfaces',
    fallback: undefined,
    expected: 'interface names, separated by colons',
    parse: linkNameList,
  },
  inhibitIpv4: bool('com.docker.network.bridge.inhibit_ipv4', false),
  bindAddress: ip('com.docker.network.bridge.host_binding_ipv4', 'an address of the host, of IPv4 or IPv6', [4, 6]),
  snat4: ip('com.docker.network.host_ipv4', 'an IPv4 address of the host', [4]),
  snat6: ip('com.docker.network.host_ipv6', 'an IPv6 address of the host', [6]),
  ifacePrefix,
  ...families,
  ...announcements,
  strict,
  publish: {
    label: 'weft.publish',
    fallback: 'open',
    expected: '"open", or "host-firewall"',
    parse: (text: string) => (text === 'open' || text === 'host-firewall' ? text : undefined),
  },
  from: {
    label: 'weft.publish.from',
    fallback: undefined,
    expected: 'addresses and prefixes, separated by commas: 192.0.2.0/24,2001:db8::7',
    parse: parseSources,
  },
  antispoof: bool('weft.antispoof', true),
  routes: {
    label: 'weft.routes',
    fallback: undefined,
    expected: '"PREFIX via ADDRESS" or "blackhole PREFIX", separated by commas',
    parse: parseRoutes,
  },
  defaultRoute: bool('weft.default_route', true),
} as const

const endpointTable = {
  from: table.from,
  antispoof: { ...table.antispoof, fallback: undefined },
  link: { label: 'weft.link', fallback: undefined, expected: linkNames, parse: linkName },
  sysctls,
} as const

export const bridgeLabels: readonly string[] = Object.values(table).map(({ label }) => label)
export const bridgeEndpointLabels: readonly string[] = Object.values(endpointTable).map(({ label }) => label)

/** Docker's own bridge driver has it as well. */
const dockerOnly = { 'com.docker.network.bridge.default_bridge': "it marks the engine's own network docker0" }

export function parseBridgeOptions(raw: Readonly<Record<string, string>>): BridgeOptions {
  const { values, ignored } = parseLabels('weft-bridge', { table, refused: dockerOnly, strictLabel: table.strict }, raw)
  checkTogether(values)
  return withoutDefaults({
    name: values.name,
    adopted: false,
    icc: values.icc,
    masquerade: values.masquerade,
    mtu: values.mtu === 0 ? undefined : values.mtu,
    mode4: values.mode4,
    mode6: values.mode6,
    trusted: values.trusted,
    inhibitIpv4: values.inhibitIpv4 || undefined,
    bindAddress: values.bindAddress,
    snat4: values.snat4,
    snat6: values.snat6,
    ifacePrefix: values.ifacePrefix,
    ipv4: values.ipv4,
    ipv6: values.ipv6,
    hostFirewall: values.publish === 'host-firewall' || undefined,
    from: values.from,
    antispoof: values.antispoof ? undefined : false,
    routes: values.routes,
    defaultRoute: values.defaultRoute ? undefined : false,
    ignored: ignored.length > 0 ? ignored : undefined,
  })
}

export function parseBridgeEndpointOptions(raw: Readonly<Record<string, string>>): BridgeEndpointOptions {
  const { values } = parseLabels('weft-bridge', { table: endpointTable, what: 'endpoint option', refused: {} }, raw)
  const { from, antispoof, link } = values
  return withoutDefaults({ from, antispoof, link })
}

/** What contradicts itself, whatever the network is like. */
function checkTogether(values: {
  readonly masquerade: boolean
  readonly snat4: Ip | undefined
  readonly snat6: Ip | undefined
  readonly publish: string
  readonly mode4: GatewayMode | undefined
  readonly mode6: GatewayMode | undefined
  readonly trusted: readonly IfName[] | undefined
}): void {
  const snat = values.snat4 ?? values.snat6
  if (snat !== undefined && !values.masquerade) {
    const label = table[values.snat4 === undefined ? 'snat6' : 'snat4'].label
    throw contradiction(`${label} has no meaning with ${table.masquerade.label}=false`)
  }
  if (values.publish !== 'host-firewall') return
  // What goes to a container's own address is forwarded: INPUT rules never see it.
  const around = (['mode4', 'mode6'] as const).find(key => ['routed', 'nat-unprotected'].includes(values[key] ?? ''))
  const asked = `${table.publish.label}=host-firewall cannot hold with`
  if (around) throw contradiction(`${asked} ${table[around].label}=${values[around] ?? ''}`)
  if (values.trusted) throw contradiction(`${asked} ${table.trusted.label}`)
}

function contradiction(text: string): UserError {
  return new UserError('OPTION_CONFLICT', text, { hint: 'leave one of them out' })
}

/** What the kernel accepts, less names that mean something else: `all` and `default` in sysctls, and weft's own. */
function linkName(text: string): IfName | undefined {
  return isLinkName(text) && !['lo', 'all', 'default'].includes(text) && !isMadeName(text) ? text : undefined
}

function linkNameList(text: string): readonly IfName[] | undefined {
  const names = [...new Set(text.split(':'))]
  return names.every(isLinkName) ? names : undefined
}

function mode(label: string) {
  return {
    label,
    fallback: undefined,
    expected: `a gateway mode: ${gatewayModes.join(', ')}`,
    parse: (text: string): GatewayMode | undefined => gatewayModes.find(known => known === text),
  }
}

/** Not `0.0.0.0` and `::`, which are what is meant without the option; but for the host's address they are allowed. */
function ip(label: string, expected: string, families: readonly Family[]) {
  return {
    label,
    fallback: undefined,
    expected,
    parse(text: string): Ip | undefined {
      const address = parseIp(text)
      if (address === undefined || !families.includes(familyOf(address))) return undefined
      return isUnspecified(address) && families.length === 1 ? undefined : address
    },
  }
}
