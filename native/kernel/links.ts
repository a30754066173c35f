/** Links as resources: everything with a name of `ip link`. */
import type { IpvlanFlag, IpvlanMode } from '../rtnl/ipvlan.ts'
import type { MacvlanMode } from '../rtnl/macvlan.ts'
import type { Mac } from '../value/mac.ts'

export type { IpvlanFlag, IpvlanMode, MacvlanMode }

declare const brand: unique symbol

/** At most 15 bytes (IFNAMSIZ - 1), without `/` and white space. */
export type IfName = string & { readonly [brand]: 'IfName' }

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
  /** Only of what is there: it snoops multicast, and a container that asks for groups decides which frames pass. */
  readonly snooping?: boolean
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
  /** Only of what is there: what comes for the link-local group goes past the rules of ports to the host. */
  readonly bypass?: boolean
}

/**
 * A link on top of another one, its parent. It goes with the parent, and is made again when the parent is back; so it is
 * when a parent of that name is another link by now.
 */
export type Child = ChildLink & (Macvlan | Ipvlan | Vlan)
export type ChildKind = Child['kind']

interface ChildLink {
  readonly type: 'child'
  readonly name: IfName
  readonly parent: IfName
  /** Not for ipvlan, which has its parent's; macvlan passthru takes its parent's. Absent: the kernel chooses. */
  readonly mac?: Mac
  /** At most the parent's. Absent: the parent's at birth, and lower when that is lowered. */
  readonly mtu?: number
  readonly alias: string
  /** It was promised to a container: no longer wished here, a lost one is not made again, one still here is not remade. */
  readonly handed: boolean
  /** false: it may be down, as what waits for a container should, or the host would speak by it. Absent: up. */
  readonly up?: boolean
  /** Packets. This and the next two are given at birth and never compared. */
  readonly txQueueLength?: number
  readonly promisc?: boolean
  readonly allMulticast?: boolean
  /** Only of what is there: somebody has set it down. */
  readonly down?: boolean
}

export interface Macvlan {
  readonly kind: 'macvlan'
  readonly mode: MacvlanMode
  /** Broadcasts that may wait for this link, in packets; the kernel's own is 1000. At birth, never compared. */
  readonly bcqueuelen?: number
  /**
   * How many links of the parent a multicast group may have before it is delivered later; -1: always at once. One value
   * for all links of the parent. At birth, never compared; kernels before 6.4 ignore it.
   */
  readonly bclim?: number
}

/** Mode and flag belong to the parent: a child that is made with others changes all of them. */
export interface Ipvlan {
  readonly kind: 'ipvlan'
  readonly mode: IpvlanMode
  /** Absent: bridge. */
  readonly flag?: IpvlanFlag
}

/** 802.1Q */
export interface Vlan {
  readonly kind: 'vlan'
  /** 1-4094 */
  readonly id: number
}

/**
 * A link that leads nowhere: the parent of networks that must not lead anywhere. Where the kernel has no dummy it is
 * another kind that drops what it is given; whoever wishes it need not care.
 */
export interface Dummy {
  readonly type: 'dummy'
  readonly name: IfName
  readonly mac?: Mac
  readonly mtu?: number
  readonly alias: string
  /** Only of what is there: somebody has set it down. */
  readonly down?: boolean
}

export type LinkResource = Bridge | Veth | Child | Dummy

export function describeLink(resource: LinkResource): string {
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
    case 'child':
      return words(
        `${resource.kind} ${resource.name} on ${resource.parent}`,
        ...manners(resource),
        ...size(resource),
        resource.handed ? 'handed' : resource.up === false && 'down',
        resource.mac,
      )
    case 'dummy':
      return words('dummy', resource.name, ...size(resource), resource.mac)
  }
}

function manners(child: Child): readonly (string | false | undefined)[] {
  switch (child.kind) {
    case 'macvlan':
      return [child.mode]
    case 'ipvlan':
      return [child.mode, child.flag !== 'bridge' && child.flag]
    case 'vlan':
      return [`id ${child.id}`]
  }
}

function size(link: { readonly mtu?: number }): readonly (string | false)[] {
  return [link.mtu !== undefined && `mtu ${link.mtu}`]
}

/** The parts that there are. */
export function words(...parts: readonly (string | false | undefined)[]): string {
  return parts.filter(part => typeof part === 'string').join(' ')
}
