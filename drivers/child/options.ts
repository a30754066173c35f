/** Options that weft-macvlan and weft-ipvlan have in common, and the record of a network on a parent. */
import type { IfName, Ipvlan, Macvlan, Vlan } from '../../native/kernel/resource.ts'
import { isUnspecified, parseIp, type Ip } from '../../native/value/ip.ts'
import type { Network, Search } from '../driver.ts'
import { bool } from '../labels.ts'
import {
  announcements,
  families,
  ifacePrefix,
  isLinkName,
  mtu,
  number,
  strict,
  withoutDefaults,
} from '../network-labels.ts'

/** As they are recorded. What is absent has its default. */
export interface ChildOptions {
  /** Absent: a link that leads nowhere, of the network's own. */
  readonly parent?: IfName
  /** VLAN links that weft makes for the parent to be there, each on the one before it or on a link of the host. */
  readonly vlans?: readonly VlanLink[]
  /** What the children are. */
  readonly manner: Macvlan | Ipvlan
  /** Bytes; the parent's when absent. */
  readonly mtu?: number
  readonly txQueueLength?: number
  readonly promisc?: boolean
  readonly allMulticast?: boolean
  /** Of interface names in the container; `eth` when absent. */
  readonly ifacePrefix?: string
  /** `fast` when absent. */
  readonly dad?: 'off' | Search['timing']
  /** Addresses that the host shall have; true: one in each subnet. */
  readonly hostAccess?: true | readonly Ip[]
  /** The host answers in the LAN of the parent for the containers, which are behind it. */
  readonly proxy?: boolean
  /** The parent's own switch for that, with IPv6, was on before: it stays on. */
  readonly proxyKept?: boolean
  /** -p is left to the other networks of the container. */
  readonly ignorePorts?: boolean
  /** What the user said of the families, to be held against what the engine gave. */
  readonly ipv4?: boolean
  readonly ipv6?: boolean
  /** Options that weft does not know, and was told to ignore. */
  readonly ignored?: readonly string[]
}
export type ChildNetwork = Network<ChildOptions>

export interface VlanLink extends Pick<Vlan, 'id'> {
  readonly name: IfName
  readonly parent: IfName
}

/** What is mostly meant for a container of another network as well. */
export const commonTable = {
  parent: {
    label: 'parent',
    fallback: undefined,
    mayBeEmpty: true,
    expected: 'the name of a link of the host, or of a VLAN on it: eth0, eth0.50',
    parse: (text: string) => (isLinkName(text) ? text : undefined),
  },
  mtu,
  txQueueLength: number('txqueuelen', 0, 1_000_000),
  promisc: bool('promisc', false),
  allMulticast: bool('allmulti', false),
  ifacePrefix,
  hostAccess: {
    label: 'host_access',
    fallback: undefined,
    expected: 'true, false, or addresses of the subnets that the host shall have, separated by commas',
    parse: parseHostAccess,
  },
  dad: {
    label: 'weft.dad',
    fallback: 'fast',
    expected: '"fast", "rfc5227" or "off"',
    parse: (text: string) => (['fast', 'rfc5227', 'off'] as const).find(known => known === text),
  },
  publish: {
    label: 'weft.publish',
    fallback: 'open',
    expected: '"open", or "ignore"',
    parse: (text: string) => (['open', 'ignore'] as const).find(known => known === text),
  },
  ...families,
  ...announcements,
  strict,
} as const

/** What people know from elsewhere. */
export const refusedOptions = { vlan: 'a VLAN is part of the name of the parent: -o parent=eth0.50' } as const

/** Values of the table by the names that the record has. */
export function commonOptions(
  manner: ChildOptions['manner'],
  values: {
    readonly parent: IfName | undefined
    readonly mtu: number | undefined
    readonly txQueueLength: number | undefined
    readonly promisc: boolean
    readonly allMulticast: boolean
    readonly ifacePrefix: string | undefined
    readonly hostAccess: boolean | readonly Ip[] | undefined
    readonly dad: 'off' | Search['timing']
    readonly publish: 'open' | 'ignore'
    readonly ipv4: boolean | undefined
    readonly ipv6: boolean | undefined
  },
  ignored: readonly string[],
): ChildOptions {
  return withoutDefaults<ChildOptions>({
    parent: values.parent,
    manner,
    mtu: values.mtu === 0 ? undefined : values.mtu,
    txQueueLength: values.txQueueLength,
    promisc: values.promisc || undefined,
    allMulticast: values.allMulticast || undefined,
    ifacePrefix: values.ifacePrefix,
    dad: values.dad === 'fast' ? undefined : values.dad,
    hostAccess: values.hostAccess === false ? undefined : values.hostAccess,
    ignorePorts: values.publish === 'ignore' || undefined,
    ipv4: values.ipv4,
    ipv6: values.ipv6,
    ignored: ignored.length > 0 ? ignored : undefined,
  })
}

function parseHostAccess(text: string): boolean | readonly Ip[] | undefined {
  const said = bool('', false).parse(text)
  if (said !== undefined) return said
  const addresses = text.split(',').map(item => parseIp(item.trim()))
  const usable = addresses.filter(address => address !== undefined && !isUnspecified(address))
  return usable.length === addresses.length ? (usable as readonly Ip[]) : undefined
}
