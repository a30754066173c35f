/** Handlers that write down what they were asked and answer the least that is valid. */
import type { PoolId } from '../../plugin-api/ids.ts'
import type { IpamHandlers, NetworkHandlers } from '../../plugin-api/methods.ts'

export interface Call {
  readonly name: string
  readonly request: unknown
}

export interface Recorder {
  readonly calls: Call[]
  readonly network: NetworkHandlers
  readonly ipam: IpamHandlers
}

export function recorder(): Recorder {
  const calls: Call[] = []
  const answering =
    <A>(name: string, answer: A) =>
    async (request: unknown): Promise<A> => {
      calls.push({ name, request })
      return answer
    }
  return {
    calls,
    network: {
      async engineStarted() {
        // Part of the answer to GetCapabilities, which is a constant otherwise.
      },
      gwAllocCheck: answering('gwAllocCheck', { SkipIPv4: false, SkipIPv6: false }),
      createNetwork: answering('createNetwork', undefined),
      deleteNetwork: answering('deleteNetwork', undefined),
      createEndpoint: answering('createEndpoint', { Interface: { MacAddress: '02:42:00:00:00:01' } }),
      endpointOperInfo: answering('endpointOperInfo', { Value: {} }),
      join: answering('join', { InterfaceName: { SrcName: 'wv1', DstPrefix: 'eth' }, Gateway: '10.0.0.1' }),
      leave: answering('leave', undefined),
      deleteEndpoint: answering('deleteEndpoint', undefined),
      programExternalConnectivity: answering('programExternalConnectivity', undefined),
      revokeExternalConnectivity: answering('revokeExternalConnectivity', undefined),
    },
    ipam: {
      async engineStarted() {
        // Part of the answer to GetCapabilities, which is a constant otherwise.
      },
      requestPool: answering('requestPool', { PoolID: 'p1' as PoolId, Pool: '10.0.0.0/24' }),
      releasePool: answering('releasePool', undefined),
      requestAddress: answering('requestAddress', { Address: '10.0.0.2/24' }),
      releaseAddress: answering('releaseAddress', undefined),
    },
  }
}
