/**
 * Shapes of NetworkDriver.* requests and answers, in the engine's spelling. Answers are written as they are: an absent
 * field is one that the engine shall not see. See docs/protocol.md.
 */
import type { EndpointId, NetworkId } from './ids.ts'
import { anything, defaulted, formatted, id, list, map, object, optional, string } from './schema.ts'
import type { Parsed } from './schema.ts'

/** Options of an engine's request: read by options.ts. */
export type RawOptions = Readonly<Record<string, unknown>>

/**
 * One pool. `Gateway` is absent where none was reserved. With `--ipam-driver null` the pool is `0.0.0.0/0`.
 * Auxiliary addresses carry the pool's prefix length.
 */
export const IpamData = object({
  AddressSpace: optional(string()),
  Pool: formatted('cidr'),
  Gateway: optional(formatted('cidr')),
  AuxAddresses: map(formatted('cidr')),
})
export type IpamData = Parsed<typeof IpamData>

/** Sent once in a network's life, never repeated. Several pools of one family are possible. */
export const CreateNetwork = object({
  NetworkID: id<NetworkId>(),
  Options: map(anything()),
  IPv4Data: list(IpamData),
  IPv6Data: list(IpamData),
})
export type CreateNetwork = Parsed<typeof CreateNetwork>

export const DeleteNetwork = object({ NetworkID: id<NetworkId>() })
export type DeleteNetwork = Parsed<typeof DeleteNetwork>

/** Engines from 28.0 on, before IPAM is asked; the options are those that CreateNetwork will carry. */
export const GwAllocCheck = object({ Options: map(anything()) })
export type GwAllocCheck = Parsed<typeof GwAllocCheck>

/** `true`: no gateway is reserved, unless the user named one. */
export interface GwAllocCheckAnswer {
  readonly SkipIPv4: boolean
  readonly SkipIPv6: boolean
}

/** Addresses carry a prefix length. An absent field was assigned by nobody: only then may the answer hold it. */
export const Interface = object({
  Address: optional(formatted('cidr')),
  AddressIPv6: optional(formatted('cidr')),
  MacAddress: optional(formatted('mac')),
})
export type Interface = Parsed<typeof Interface>

const endpoint = { NetworkID: id<NetworkId>(), EndpointID: id<EndpointId>() }

export const CreateEndpoint = object({
  ...endpoint,
  Interface: defaulted(Interface, {}),
  Options: map(anything()),
})
export type CreateEndpoint = Parsed<typeof CreateEndpoint>

export interface CreateEndpointAnswer {
  readonly Interface?: Interface
}

/** The two ids: EndpointOperInfo, Leave, DeleteEndpoint, RevokeExternalConnectivity. */
export const EndpointCall = object(endpoint)
export type EndpointCall = Parsed<typeof EndpointCall>

/** Shown to nobody by engines up to 29; a published port list in it is ignored (libnetwork#2451). */
export interface EndpointOperInfoAnswer {
  readonly Value: Readonly<Record<string, string>>
}

/** Before engine 28 nothing stands at SandboxKey yet when a container starts. Options are the container's. */
export const Join = object({ ...endpoint, SandboxKey: formatted('path', 4096), Options: map(anything()) })
export type Join = Parsed<typeof Join>

/** RouteType 0 goes by way of NextHop, 1 is on-link and has none. */
export interface StaticRoute {
  readonly Destination: string
  readonly RouteType: 0 | 1
  readonly NextHop: string
}

export interface JoinAnswer {
  /** A link that exists in the engine's namespace; the engine moves it and names it DstPrefix and a number. */
  readonly InterfaceName: { readonly SrcName: string; readonly DstPrefix: string }
  /** Plain address, on-link. Not for internal networks. */
  readonly Gateway?: string
  readonly GatewayIPv6?: string
  readonly StaticRoutes?: readonly StaticRoute[]
  /** Without it and without a gateway the engine adds a leg on docker_gwbridge. */
  readonly DisableGatewayService?: boolean
}

/** The only call that publishes ports. Options are the container's. */
export const ProgramExternalConnectivity = object({ ...endpoint, Options: map(anything()) })
export type ProgramExternalConnectivity = Parsed<typeof ProgramExternalConnectivity>
