/** What a driver is: pure functions from records and facts to wishes. No driver awaits, locks or touches the kernel. */
import type { EndpointId, NetworkId, PoolId } from '../plugin-api/ids.ts'
import type { AcceptRule, ChildKind, IfName, Ipvlan, Protocol, Resource, Sysctl } from '../native/kernel/resource.ts'
import type { Cidr, Family, Ip } from '../native/value/ip.ts'
import type { Mac } from '../native/value/mac.ts'

/** One IPAM pool of a network. Several per family are possible. */
export interface Subnet {
  /** Host bits cleared. */
  readonly pool: Cidr
  /** In the pool; absent when the engine reserved none. */
  readonly gateway?: Cidr
  /** `--aux-address name=address` */
  readonly aux: Readonly<Record<string, Ip>>
}

/** A pool of weft's own IPAM as it was granted once; `at` tells it from a later grant of the same one. */
export interface PoolGrant {
  readonly id: PoolId
  /** Milliseconds since 1970. */
  readonly at: number
}

/** Record of a network, key `network/ID`. `options` is what the driver's parseOptions returned: plain JSON. */
export interface Network<O = unknown> {
  readonly id: NetworkId
  /** Name in the registry: `bridge`. */
  readonly driver: string
  readonly internal: boolean
  readonly subnets: readonly Subnet[]
  /** Those of the subnets that weft's own IPAM gave: when they are released, the engine has let go of the network. */
  readonly pools?: readonly PoolGrant[]
  /**
   * Life of the engine in which it was made, until it is known that the engine wrote it down: one that is killed before
   * forgets a network that it has just made.
   */
  readonly madeIn?: number | undefined
  /** The engine that was seen to have it, see daemon/engine.ts: when the same one lacks it, it is gone. */
  readonly engine?: string
  /** Addresses of its subnets that the host itself has in it, chosen when it was made. */
  readonly hostAddresses?: readonly Ip[]
  readonly options: O
}

/** A network, and whether it has endpoints: some of what it needs is there only with them. */
export interface NetworkUse<O = unknown> {
  readonly network: Network<O>
  readonly used: boolean
}

/** A port of the container that a host address serves. Both families of `-p 80:80` are two of these. */
export interface PublishedPort {
  readonly protocol: Protocol
  /** `0.0.0.0` and `::` mean every address of their family. */
  readonly hostAddress: Ip
  readonly hostPort: number
  readonly containerPort: number
}

export interface DirectPort {
  readonly protocol: Protocol
  readonly port: number
  /** Absent: every one that the container has. */
  readonly family?: Family
}

/** Where an endpoint's published ports are served. */
export interface Publishing {
  /** Families in which host addresses lead to the container. */
  readonly host: readonly Family[]
  /** Families in which nothing does, although the container has an address: it is reached by that. */
  readonly direct: readonly Family[]
  /** Host address of ports that name none. Absent: every address. */
  readonly address?: Ip
  /** It is the container's gateway for nothing, so the engine does not ask for its ports: they are published in Join. */
  readonly atJoin?: boolean
  /** Why nothing is published here at all, and what to do. Whoever asks for ports is told so. */
  readonly refusal?: { readonly why: string; readonly hint: string }
}

/** Record of an endpoint, key `endpoint/NETWORK/ID`. */
export interface Endpoint {
  readonly id: EndpointId
  readonly networkId: NetworkId
  /** `left`: the container let go of it, DeleteEndpoint is to come; its link is wherever the engine put it. */
  readonly phase: 'created' | 'joined' | 'left'
  /** /proc/sys/kernel/random/boot_id at creation: links do not outlive a boot. */
  readonly bootId: string
  /** At most one per family. */
  readonly addresses: readonly Cidr[]
  readonly mac: Mac
  readonly ports: readonly PublishedPort[]
  /** Ports of the container that were published, where its own address is open for them. */
  readonly direct?: readonly DirectPort[]
  /** What the driver's parseEndpointOptions returned: plain JSON. */
  readonly options?: unknown
  /** Path of the container's namespace, from Join. */
  readonly sandboxKey?: string
  /** Milliseconds since 1970. */
  readonly changedAt: number
}

/** What is true of this machine now; gathered by daemon/facts.ts, never inside a request. */
export interface Facts {
  /** Families whose forwarding weft has switched on since boot: new forwarding between links not ours is dropped. */
  readonly forwarded: readonly Family[]
  /** Bridges of others that lead out, by a default route or a real port: not networks of somebody else. */
  readonly uplinks: readonly IfName[]
  /** Bridges of this host that weft did not make. */
  readonly foreignBridges: readonly IfName[]
  /** Switches of links of others that a network would set and that are set already: `net/ipv4/conf/br0/route_localnet`. */
  readonly foreignSwitches: readonly string[]
  /** Families in which bridges of others have addresses: their networks rely on the host's forwarding. */
  readonly foreignFamilies: readonly Family[]
  /** Chains of other firewalls that must accept what weft allows. */
  readonly acceptHooks: readonly Pick<AcceptRule, 'family' | 'chain' | 'backend'>[]
  /** Every link of this host. */
  readonly links: readonly LinkFact[]
  /** Kinds of links on top of others that this kernel has. */
  readonly childKinds: readonly ChildKind[]
  /** This host has `::1`. */
  readonly loopback6: boolean
  /** Bits of the packet mark that weft's rules use; like the next two from the configuration. */
  readonly marks: Marks
  /** Published ports are open by the addresses of the containers, too. */
  readonly directRouting: boolean
  /** Host address of ports that name none, for networks that name none. Absent: every address. */
  readonly publishAddress?: Ip
}

export interface LinkFact {
  readonly name: IfName
  /** `vlan`; absent for what has no kind: loopback, hardware. */
  readonly kind?: string
  readonly mac: Mac
  /** Bytes. */
  readonly mtu: number
  readonly up: boolean
  /** It carries weft's mark. */
  readonly own: boolean
  /** The bridge that it is a port of. */
  readonly bridge?: IfName
  /** Only of links of that kind whose parent is in this namespace. */
  readonly ipvlan?: Pick<Ipvlan, 'mode' | 'flag'> & { readonly parent: IfName }
  readonly addresses: readonly Ip[]
}

export interface Marks {
  /** Set on packets that weft allows; read by AcceptRule. */
  readonly allowed: number
  /** Set on packets that return to the bridge they came from, and need masquerading. */
  readonly hairpin: number
  /** Packets of which the bits in `acceptMask` have `acceptValue` may enter every network. A mask of 0: none do. */
  readonly acceptValue: number
  readonly acceptMask: number
}

export interface JoinAnswer {
  /** Absent: the container gets no link. */
  readonly srcName?: IfName
  readonly dstPrefix: string
  readonly gateways: readonly Ip[]
  /** On-link without `via`. */
  readonly routes: readonly { readonly destination: Cidr; readonly via?: Ip }[]
  /** Keeps the engine from adding a leg on docker_gwbridge. */
  readonly disableGatewayService: boolean
}

/** The switch of the whole host. Weft switches it back only when nobody can rely on it. */
export function forwardingSwitch(family: Family, value: '0' | '1'): Sysctl {
  return { type: 'sysctl', key: family === 4 ? 'net/ipv4/ip_forward' : 'net/ipv6/conf/all/forwarding', value }
}

/** What is known about the host when an endpoint's life is judged. */
export interface Evidence {
  hasLink(name: IfName): boolean
  /** Does a namespace stand at this path? Before engine 28 there is none yet when a container is joined. */
  hasNamespace(path: string): boolean
  /** Milliseconds since 1970. */
  readonly now: number
}

/** An address that the host is to have in a network. */
export interface HostWish {
  /** One of the network's subnets. */
  readonly pool: Cidr
  /** Absent: any free one, from weft's own IPAM. */
  readonly address?: Ip
}

/** How it is found out whether somebody else in the segment has an address. */
export interface Search {
  /** Where it is asked. */
  readonly link: IfName
  readonly timing: 'fast' | 'rfc5227'
}

export interface Driver<O = unknown> {
  readonly name: string
  /** Reads the `-o key=value` options. Throws UserError that names the option. */
  parseOptions(raw: Readonly<Record<string, string>>): O
  /** Reads the endpoint options, `--driver-opt key=value`. Throws UserError that names the option. */
  parseEndpointOptions(raw: Readonly<Record<string, string>>): unknown
  /** Options that were unknown and are ignored, because the user said so. */
  ignored(options: O): readonly string[]
  /** Families in which the engine should have a gateway address reserved. */
  gateways(options: O): readonly Family[]
  /** Refuses what cannot live here or beside the other networks; returns the network as it is to be recorded. */
  admit(network: Network<O>, others: readonly Network[], facts: Facts): Network<O>
  /** Refuses what cannot live beside the other endpoints, which are those of all networks. */
  admitEndpoint?(network: Network<O>, endpoint: Endpoint, others: Others, facts: Facts): void
  /** Addresses that the host wants in a network, which `admit` has passed. */
  hostWishes?(network: Network<O>): readonly HostWish[]
  /** Where addresses of this network are searched for before they are used, be the link there or not. */
  search?(network: Network<O>): Search | undefined
  /** Where it is told who has an endpoint's addresses now. */
  announces?(network: Network<O>, facts: Facts): readonly IfName[]
  /** The MAC that links of the network have if nobody chooses one, and that the engine must not set. */
  fixedMac?(network: Network<O>, facts: Facts): Mac | undefined
  /** What is said to somebody who chose a MAC all the same. Absent: nothing, it has no meaning. */
  readonly macRefusal?: string
  /** The link of somebody else's that the network stands on, for people. */
  parentOf?(network: Network<O>): IfName | undefined
  /**
   * What must exist as long as the driver has any network: static rules, global switches; and what several networks
   * share, or only used ones have. `uses`: its own networks. Drivers may wish for the same thing.
   */
  planHost(facts: Facts, uses: readonly NetworkUse<O>[]): readonly Resource[]
  planNetwork(network: Network<O>, facts: Facts): readonly Resource[]
  planEndpoint(network: Network<O>, endpoint: Endpoint, facts: Facts): readonly Resource[]
  publishing(network: Network<O>, facts: Facts): Publishing
  /** Families that this network needs the host to forward. */
  forwards(network: Network<O>): readonly Family[]
  join(network: Network<O>, endpoint: Endpoint, facts: Facts): JoinAnswer
  /** Is the joined endpoint's link still in use? `unknown`: the engine's list decides. */
  alive(endpoint: Endpoint, evidence: Evidence): boolean | 'unknown'
}

/** Endpoints beside the one that is asked about. */
export interface Others {
  network(id: NetworkId): Network | undefined
  readonly endpoints: readonly Endpoint[]
}
