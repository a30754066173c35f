/** The calls of one network's and one container's life, each by itself, and the names of what they make. */
import { client } from './client.ts'
import type { Host } from './lab.ts'
import { ifName } from '../../drivers/names.ts'

export type Call =
  | 'CreateNetwork'
  | 'CreateEndpoint'
  | 'Join'
  | 'ProgramExternalConnectivity'
  | 'RevokeExternalConnectivity'
  | 'Leave'
  | 'DeleteEndpoint'
  | 'DeleteNetwork'

/** In the order of a life. */
export const order: readonly Call[] = [
  ...(['CreateNetwork', 'CreateEndpoint', 'Join', 'ProgramExternalConnectivity'] as const),
  ...(['RevokeExternalConnectivity', 'Leave', 'DeleteEndpoint', 'DeleteNetwork'] as const),
]

export interface Life {
  readonly bridge: string
  /** The host's end, and the container's. */
  readonly veth: string
  readonly peer: string
  /** The error in words; undefined: it succeeded. */
  call(call: Call): Promise<string | undefined>
}

export interface LifeOptions {
  /** Where port 8080 is published. Default: everywhere. */
  readonly hostIp?: string
}

/** Network 10.77.0.0/24 and fd00:77::/64, with port 8080 published for TCP and UDP. `name` makes ids. */
export function life(host: Host, name: string, { hostIp = '' }: LifeOptions = {}): Life {
  const [NetworkID, EndpointID] = ['e', 'f'].map(last => Buffer.from(name).toString('hex').padEnd(64, last)) as [
    string,
    string,
  ]
  const ids = { NetworkID, EndpointID }
  const portmap = [6, 17].map(Proto => ({ Proto, Port: 80, HostIP: hostIp, HostPort: 8080, HostPortEnd: 8080 }))
  const pool = (Pool: string, Gateway: string): object => ({ AddressSpace: 'x', Pool, Gateway })
  const bodies: Readonly<Record<Call, object>> = {
    CreateNetwork: {
      NetworkID,
      Options: { 'com.docker.network.generic': {} },
      IPv4Data: [pool('10.77.0.0/24', '10.77.0.1/24')],
      IPv6Data: [pool('fd00:77::/64', 'fd00:77::1/64')],
    },
    CreateEndpoint: { ...ids, Interface: { Address: '10.77.0.2/24', AddressIPv6: 'fd00:77::2/64' }, Options: {} },
    Join: { ...ids, SandboxKey: '/run/netns/c1', Options: {} },
    ProgramExternalConnectivity: { ...ids, Options: { 'com.docker.network.portmap': portmap } },
    RevokeExternalConnectivity: ids,
    Leave: ids,
    DeleteEndpoint: ids,
    DeleteNetwork: { NetworkID },
  }
  return {
    bridge: ifName('wb', NetworkID),
    veth: ifName('wv', EndpointID),
    peer: ifName('wc', EndpointID),
    async call(call) {
      using socket = client(host.path('/run/docker/plugins/weft-bridge.sock'))
      const { json } = await socket.post(`NetworkDriver.${call}`, bodies[call])
      const { Err } = json as { readonly Err?: string }
      return Err === '' ? undefined : Err
    },
  }
}
