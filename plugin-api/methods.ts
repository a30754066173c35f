/** The only routing table: what the engine may call, the shape of its request, and who answers. */
import type { TSchema } from 'typebox'
import { UserError } from './answer.ts'
import { ReleaseAddress, ReleasePool, RequestAddress, RequestPool } from './ipam.ts'
import type { RequestAddressAnswer, RequestPoolAnswer } from './ipam.ts'
import {
  CreateEndpoint,
  CreateNetwork,
  DeleteNetwork,
  EndpointCall,
  GwAllocCheck,
  Join,
  ProgramExternalConnectivity,
} from './network.ts'
import type { CreateEndpointAnswer, EndpointOperInfoAnswer, GwAllocCheckAnswer, JoinAnswer } from './network.ts'
import { parse } from './read.ts'
import type { Parsed } from './schema.ts'

/**
 * Removals are idempotent: they may come twice, late, or for something never seen, and are then answered `{}`. `signal` is
 * aborted when a call has timed out: its caller was told that it failed, and takes back what came before it. What has not
 * begun by then must not begin, and nothing is promised any more. Removals go on.
 */
export interface NetworkHandlers {
  /** Capabilities are asked once in an engine's life, before anything else. */
  engineStarted(): Promise<void>
  gwAllocCheck(request: GwAllocCheck): Promise<GwAllocCheckAnswer>
  createNetwork(request: CreateNetwork, signal?: AbortSignal): Promise<void>
  deleteNetwork(request: DeleteNetwork): Promise<void>
  createEndpoint(request: CreateEndpoint, signal?: AbortSignal): Promise<CreateEndpointAnswer>
  endpointOperInfo(request: EndpointCall): Promise<EndpointOperInfoAnswer>
  join(request: Join, signal?: AbortSignal): Promise<JoinAnswer>
  leave(request: EndpointCall): Promise<void>
  deleteEndpoint(request: EndpointCall): Promise<void>
  programExternalConnectivity(request: ProgramExternalConnectivity, signal?: AbortSignal): Promise<void>
  revokeExternalConnectivity(request: EndpointCall): Promise<void>
}

export interface IpamHandlers {
  /** The network driver of the same name has no use for MACs that the engine makes, and they would do harm. */
  readonly macless?: boolean
  /** Capabilities are asked once in an engine's life, before anything is repeated. */
  engineStarted(): Promise<void>
  requestPool(request: RequestPool, signal?: AbortSignal): Promise<RequestPoolAnswer>
  releasePool(request: ReleasePool): Promise<void>
  requestAddress(request: RequestAddress, signal?: AbortSignal): Promise<RequestAddressAnswer>
  releaseAddress(request: ReleaseAddress): Promise<void>
}

/** What one socket serves; `network` is absent on an IPAM-only one. */
export interface Handlers {
  readonly network?: NetworkHandlers
  readonly ipam: IpamHandlers
}
export type Half = 'network' | 'ipam'

export interface Method {
  /** Absent: every socket serves it. */
  readonly half?: Half
  /** `required`: the engine repeats a broken call without its body, and such a call must do nothing. */
  readonly body: 'required' | 'ignored'
  /** `json` is undefined when the body is ignored; an undefined answer stands for `{}`. Throws UserError. */
  answer(handlers: Handlers, json: unknown, signal?: AbortSignal): Promise<unknown>
}

export const addressSpaces = { local: 'weft-local', global: 'weft-global' } as const

export const methods: Readonly<Record<string, Method>> = {
  'Plugin.Activate': {
    body: 'ignored',
    answer: async handlers => ({ Implements: [...(handlers.network ? ['NetworkDriver'] : []), 'IpamDriver'] }),
  },
  'NetworkDriver.GetCapabilities': {
    half: 'network',
    body: 'ignored',
    async answer({ network: handlers }) {
      await handlers?.engineStarted()
      // `global` would be refused for a socket plugin in swarm mode, and 20.10 refuses it without a swarm as well.
      return { Scope: 'local', ConnectivityScope: 'local', GwAllocChecker: true }
    },
  },
  'NetworkDriver.GwAllocCheck': network('GwAllocCheck', GwAllocCheck, (h, request) => h.gwAllocCheck(request)),
  'NetworkDriver.CreateNetwork': network('CreateNetwork', CreateNetwork, (h, request, signal) =>
    h.createNetwork(request, signal),
  ),
  'NetworkDriver.DeleteNetwork': network('DeleteNetwork', DeleteNetwork, (h, request) => h.deleteNetwork(request)),
  'NetworkDriver.CreateEndpoint': network('CreateEndpoint', CreateEndpoint, (h, request, signal) =>
    h.createEndpoint(request, signal),
  ),
  'NetworkDriver.EndpointOperInfo': network('EndpointOperInfo', EndpointCall, (h, request) =>
    h.endpointOperInfo(request),
  ),
  'NetworkDriver.Join': network('Join', Join, (h, request, signal) => h.join(request, signal)),
  'NetworkDriver.Leave': network('Leave', EndpointCall, (h, request) => h.leave(request)),
  'NetworkDriver.DeleteEndpoint': network('DeleteEndpoint', EndpointCall, (h, request) => h.deleteEndpoint(request)),
  'NetworkDriver.ProgramExternalConnectivity': network(
    'ProgramExternalConnectivity',
    ProgramExternalConnectivity,
    (h, request, signal) => h.programExternalConnectivity(request, signal),
  ),
  'NetworkDriver.RevokeExternalConnectivity': network('RevokeExternalConnectivity', EndpointCall, (h, request) =>
    h.revokeExternalConnectivity(request),
  ),
  // Sent to every plugin when a swarm begins; of no use without one.
  'NetworkDriver.DiscoverNew': constant('network', {}),
  'NetworkDriver.DiscoverDelete': constant('network', {}),
  'NetworkDriver.AllocateNetwork': swarmOnly(),
  'NetworkDriver.FreeNetwork': swarmOnly(),

  // We want the MAC to tell an endpoint's address from a reserved one, and the replay to repair a lost lease.
  'IpamDriver.GetCapabilities': {
    half: 'ipam',
    body: 'ignored',
    async answer({ ipam: handlers }) {
      await handlers.engineStarted()
      return { RequiresMACAddress: !(handlers.macless ?? false), RequiresRequestReplay: true }
    },
  },
  'IpamDriver.GetDefaultAddressSpaces': constant('ipam', {
    LocalDefaultAddressSpace: addressSpaces.local,
    GlobalDefaultAddressSpace: addressSpaces.global,
  }),
  'IpamDriver.RequestPool': ipam('RequestPool', RequestPool, (h, request, signal) => h.requestPool(request, signal)),
  'IpamDriver.ReleasePool': ipam('ReleasePool', ReleasePool, (h, request) => h.releasePool(request)),
  'IpamDriver.RequestAddress': ipam('RequestAddress', RequestAddress, (h, request, signal) =>
    h.requestAddress(request, signal),
  ),
  'IpamDriver.ReleaseAddress': ipam('ReleaseAddress', ReleaseAddress, (h, request) => h.releaseAddress(request)),
}

function network<S extends TSchema>(
  name: string,
  shape: S,
  run: (handlers: NetworkHandlers, request: Parsed<S>, signal?: AbortSignal) => Promise<unknown>,
): Method {
  return {
    half: 'network',
    body: 'required',
    async answer(handlers, json, signal) {
      const request = parse(name, shape, json)
      if (!handlers.network) throw new TypeError(`${name} on a socket without the network half`)
      return run(handlers.network, request, signal)
    },
  }
}

function ipam<S extends TSchema>(
  name: string,
  shape: S,
  run: (handlers: IpamHandlers, request: Parsed<S>, signal?: AbortSignal) => Promise<unknown>,
): Method {
  return {
    half: 'ipam',
    body: 'required',
    answer: async (handlers, json, signal) => run(handlers.ipam, parse(name, shape, json), signal),
  }
}

function constant(half: Half, answer: object): Method {
  return { half, body: 'ignored', answer: async () => answer }
}

function swarmOnly(): Method {
  return {
    half: 'network',
    body: 'ignored',
    async answer() {
      throw new UserError('SWARM_ONLY', 'weft makes networks of one host, not swarm networks', {
        hint: 'create the network without --scope swarm',
      })
    },
  }
}
