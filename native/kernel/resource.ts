/**
 * Resources: the things that must exist in the kernel. Plain frozen values; a plan is a list of them in the order of
 * their creation. A key names one thing, whatever its attributes: two plans must never claim one key.
 */
import type { Cidr, Ip } from '../value/ip.ts'
import { describeLink, words, type IfName, type LinkResource } from './links.ts'

export type * from './links.ts'

export type Protocol = 'tcp' | 'udp' | 'sctp'

/** Of the main table, by a link and without gateway. Mark: weft's route protocol number. Goes with its link. */
export interface Route {
  readonly type: 'route'
  /** Host bits cleared. */
  readonly destination: Cidr
  readonly link: IfName
  /** Address with which this host speaks to it. */
  readonly source?: Ip
}

/**
 * The host answers on the link for an address that is behind it. Takes forwarding, and with IPv6 the link's switch
 * `proxy_ndp`. Goes with its link.
 */
export interface ProxyNeighbour {
  readonly type: 'proxy'
  readonly link: IfName
  readonly address: Ip
}

export interface Address {
  readonly type: 'address'
  readonly link: IfName
  readonly cidr: Cidr
}

/**
 * A kernel switch below /proc/sys: `net/ipv4/conf/br0/route_localnet` (names of links may contain dots). Those of a link
 * vanish with it.
 */
export interface Sysctl {
  readonly type: 'sysctl'
  readonly key: string
  readonly value: string
  /** Written when it is not wished any more. Absent: the switch stays as it is. */
  readonly setBack?: string
}

export type TableFamily = 'inet' | 'bridge'

/** A table of static rules. Everything variable is an element of its sets. */
export interface Ruleset {
  readonly type: 'ruleset'
  readonly family: TableFamily
  /** Unlike every other table of weft's, whatever their families. */
  readonly table: string
  /** Compiled form with its mark bits filled in; compared by `digest`, which the table carries as its comment. */
  readonly program: Program
  readonly digest: string
}

/** Opaque here: native/nft knows how to replay it. */
export interface Program {
  readonly messages: readonly { readonly type: number; readonly family: number; readonly attrs: string }[]
  readonly sets: Readonly<Record<string, SetShape>>
}

export type FieldType = 'ifname' | 'ether_addr' | 'ipv4_addr' | 'ipv6_addr' | 'inet_proto' | 'inet_service' | 'nf_proto'
export interface SetShape {
  readonly key: readonly FieldType[]
  /** Maps only. */
  readonly data?: readonly FieldType[]
  /** The last field of a key is a prefix: `10.0.0.0/8`, `br0 . 10.0.0.0/8`. */
  readonly interval?: boolean
  /** Filled by the rules themselves: never read, never kept. */
  readonly learned?: boolean
}

/** One element of a set or map; fields are joined by ` . ` as nft prints them: `tcp . 80`. */
export interface Element {
  readonly type: 'element'
  readonly table: string
  readonly set: string
  readonly key: string
  readonly value?: string
}

/**
 * A bound socket that reserves a published port. It lives as long as the daemon. Without `relay` it never listens: rules
 * serve the port. With it the daemon passes on what arrives, to where no rule could translate it: from `::1`, and from
 * one family to the other.
 */
export interface HeldPort {
  readonly type: 'port'
  readonly protocol: Protocol
  readonly address: Ip
  readonly port: number
  /** Address and port of the container; `from`: who may use it, beside the host. Not with sctp. */
  readonly relay?: { readonly address: Ip; readonly port: number; readonly from?: readonly Cidr[] }
}

/**
 * A rule in another program's chain that accepts what weft's own table has marked as allowed, after what the host's
 * administrator has to say (`native/nft/placing.ts`). Rules with different bits are different things: one of before the
 * setting changed may stand beside the one that is wished. `legacy` chains belong to the old iptables and are changed by
 * the host's own binary. `firewalld` has its own idea of rules: there `chain` is a link, or `wb+` for all that weft names
 * itself, in the zone of weft's bridges.
 */
export interface AcceptRule {
  readonly type: 'accept'
  /** `inet`: firewalld's only. */
  readonly family: 'ip' | 'ip6' | 'inet'
  readonly chain: string
  readonly backend: 'nft' | 'legacy' | 'firewalld'
  readonly mark: number
  /** Only of what is there: other rules have come between it and its place. */
  readonly misplaced?: true
}

export type Resource =
  LinkResource | Address | Route | ProxyNeighbour | Sysctl | Ruleset | Element | HeldPort | AcceptRule
export type ResourceType = Resource['type']

/** What is there. `foreign`: satisfies a wish, but does not carry weft's mark and is never removed. */
export interface Observed {
  readonly resource: Resource
  readonly foreign: boolean
}

/** The one name of the thing, whatever its attributes. */
export function keyOf(resource: Resource): string {
  switch (resource.type) {
    case 'bridge':
    case 'veth':
    case 'child':
    case 'dummy':
      return `link ${resource.name}`
    case 'address':
      return `address ${resource.link} ${resource.cidr}`
    case 'route':
      // The table has one for each destination.
      return `route ${resource.destination}`
    case 'proxy':
      return `proxy ${resource.link} ${resource.address}`
    case 'sysctl':
      return `sysctl ${resource.key}`
    case 'ruleset':
      return `ruleset ${resource.table}`
    case 'element':
      return `element ${resource.set} ${resource.key}`
    case 'port':
      return `port ${resource.protocol} ${resource.address} ${resource.port}`
    case 'accept':
      return `accept ${resource.family} ${resource.chain} ${resource.backend} ${resource.mark}`
  }
}

/** Does it go when that link goes? */
export function standsOn(resource: Resource, link: string): boolean {
  if (resource.type === 'child') return resource.parent === link
  if (resource.type === 'sysctl') return resource.key.split('/').includes(link)
  return 'link' in resource && resource.link === link
}

/** One line for people, golden tests and `weft diff`. */
export function describe(resource: Resource): string {
  switch (resource.type) {
    case 'bridge':
    case 'veth':
    case 'child':
    case 'dummy':
      return describeLink(resource)
    case 'address':
      return `address ${resource.cidr} on ${resource.link}`
    case 'route':
      return words(
        `route ${resource.destination} on ${resource.link}`,
        resource.source !== undefined && `source ${resource.source}`,
      )
    case 'proxy':
      return `proxy ${resource.address} on ${resource.link}`
    case 'sysctl':
      return `sysctl ${resource.key} = ${resource.value}`
    case 'ruleset':
      return `ruleset ${resource.table} ${resource.digest.slice(0, 12)}`
    case 'element':
      return words('element', resource.set, resource.key, resource.value !== undefined && `: ${resource.value}`)
    case 'port':
      return words(
        `port ${resource.protocol} ${resource.address} ${resource.port}`,
        resource.relay && `relayed to ${resource.relay.address} ${resource.relay.port}`,
        resource.relay?.from && `from ${resource.relay.from.join(',') || 'nobody'}`,
      )
    case 'accept':
      return `accept ${resource.family} ${resource.chain} ${resource.backend} mark 0x${resource.mark.toString(16)}`
  }
}
