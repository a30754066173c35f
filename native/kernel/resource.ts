/**
 * Resources: the things that must exist in the kernel. Plain frozen values; a plan is a list of them in the order of
 * their creation. A key names one thing, whatever its attributes: two plans must never claim one key.
 */
import type { Cidr, Ip } from '../value/ip.ts'
import type { Mac } from '../value/mac.ts'

declare const brand: unique symbol

/** At most 15 bytes (IFNAMSIZ - 1), without `/` and white space. */
export type IfName = string & { readonly [brand]: 'IfName' }
export type Protocol = 'tcp' | 'udp' | 'sctp'

/** A bridge. `adopted`: made by somebody else; it is required to exist, never created, changed or removed. */
export interface Bridge {
  readonly type: 'bridge'
  readonly name: IfName
  readonly mac?: Mac
  readonly mtu?: number
  readonly adopted: boolean
  /** Shown by `ip link` and read back as weft's mark. */
  readonly alias: string
  /** Only of what is there: somebody has set it down. */
  readonly down?: boolean
}

/** A pair of links: the host's end in a bridge, and the end that the engine moves into the container. */
export interface Veth {
  readonly type: 'veth'
  readonly name: IfName
  readonly mac: Mac
  readonly mtu?: number
  readonly master: IfName
  /** No frames between two isolated ports of a bridge. */
  readonly isolated: boolean
  readonly peer: { readonly name: IfName; readonly mac: Mac }
  /** The peer was promised to a container: it is no longer wished here, and a lost pair is not made again. */
  readonly handed: boolean
  readonly alias: string
  /** Only of what is there: somebody has set it down. */
  readonly down?: boolean
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
 * A rule at the top of another program's chain that accepts what weft's own table has marked as allowed. Rules with
 * different bits are different things: one of before the setting changed may stand beside the one that is wished.
 * `legacy` chains belong to the old iptables and are changed by the host's own binary. `firewalld` has its own idea of
 * rules: there `chain` is a link, or `wb+` for all that weft names itself, in the zone of weft's bridges.
 */
export interface AcceptRule {
  readonly type: 'accept'
  /** `inet`: firewalld's only. */
  readonly family: 'ip' | 'ip6' | 'inet'
  readonly chain: string
  readonly backend: 'nft' | 'legacy' | 'firewalld'
  readonly mark: number
}

export type Resource = Bridge | Veth | Address | Sysctl | Ruleset | Element | HeldPort | AcceptRule
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
      return `link ${resource.name}`
    case 'address':
      return `address ${resource.link} ${resource.cidr}`
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

/** One line for people, golden tests and `weft diff`. */
export function describe(resource: Resource): string {
  switch (resource.type) {
    case 'bridge':
      return words('bridge', resource.name, resource.adopted && 'adopted', ...size(resource), resource.mac)
    case 'veth':
      return words(
        `veth ${resource.name} master ${resource.master}`,
        ...size(resource),
        resource.isolated && 'isolated',
        resource.handed ? 'handed' : `peer ${resource.peer.name}`,
        resource.peer.mac,
      )
    case 'address':
      return `address ${resource.cidr} on ${resource.link}`
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

function size(link: { readonly mtu?: number }): readonly (string | false)[] {
  return [link.mtu !== undefined && `mtu ${link.mtu}`]
}

function words(...parts: readonly (string | false | undefined)[]): string {
  return parts.filter(part => typeof part === 'string').join(' ')
}
