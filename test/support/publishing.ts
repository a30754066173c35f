/** A container whose ports are published on a host where other programs have some. */
import { driverOf, type House } from '../../daemon/house.ts'
import { publish, type PortChoices } from '../../daemon/ports.ts'
import type { Place } from '../../daemon/publishing.ts'
import type { Endpoint, Network } from '../../drivers/driver.ts'
import { FakeKernel } from '../../native/kernel/fake.ts'
import type { Change } from '../../native/kernel/kernel.ts'
import { keyOf } from '../../native/kernel/resource.ts'
import { kernelError } from '../../native/netlink/errors.ts'
import type { PortBinding } from '../../plugin-api/options.ts'
import type { EndpointId } from '../../plugin-api/ids.ts'
import { createEndpoint, createNetwork, endpointId, networkId, testHouse, type TestHouse } from './house.ts'

/** Other programs of the host have these ports. */
export class BusyKernel extends FakeKernel {
  readonly busy: Set<string>
  /** Creations that were refused for it. */
  refusals = 0

  constructor(busy: readonly string[]) {
    super()
    this.busy = new Set(busy)
  }

  override async apply(changes: readonly Change[]): Promise<void> {
    for (const change of changes) {
      if (change.op === 'create' && this.busy.has(keyOf(change.want))) {
        this.refusals += 1
        throw kernelError('EADDRINUSE', { op: 'hold', object: keyOf(change.want) })
      }
      await super.apply([change])
    }
  }
}

export const otherId = 'b'.repeat(64) as EndpointId
export const tcp = (Port: number, HostPort: number, HostPortEnd = HostPort, HostIP?: string): PortBinding => ({
  Proto: 6,
  Port,
  HostPort,
  HostPortEnd,
  ...(HostIP === undefined ? {} : { HostIP }),
})

export const udp = (...args: Parameters<typeof tcp>): PortBinding => ({ ...tcp(...args), Proto: 17 })
export const count = (length: number): readonly number[] => Array.from({ length }, (_, i) => i)

export interface Scene extends TestHouse {
  readonly busy: BusyKernel
  publish(bindings: readonly PortBinding[], id?: EndpointId): Promise<readonly string[]>
}

export interface SceneOptions {
  readonly busy?: readonly string[]
  /** The container has both families. */
  readonly v6?: boolean
  readonly only6?: boolean
  /** The host has IPv6. */
  readonly host6?: boolean
  readonly generic?: Record<string, string>
  readonly range?: PortChoices
}

export async function scene(options: SceneOptions = {}): Promise<Scene> {
  const {
    busy = [],
    v6 = false,
    host6 = v6,
    only6 = false,
    generic = {},
    range = () => [50001, 50002, 50003],
  } = options
  const kernel = new BusyKernel(busy)
  const test = await testHouse({ kernel, facts: { loopback6: host6 } })
  await test.handlers.createNetwork(
    createNetwork({ generic, ...(v6 ? {} : { IPv6Data: [] }), ...(only6 ? { IPv4Data: [] } : {}) }),
  )
  for (const [id, last] of [
    [endpointId, 2],
    [otherId, 3],
  ] as const) {
    const Interface = {
      ...(only6 ? {} : { Address: `10.7.0.${last}/24` }),
      ...(v6 ? { AddressIPv6: `fd00:7::${last}/64` } : {}),
    }
    await test.handlers.createEndpoint(createEndpoint({ EndpointID: id, Interface }))
  }
  return {
    ...test,
    busy: kernel,
    async publish(bindings, id = endpointId) {
      const { house } = test
      const [network, endpoint] = [house.records.network(networkId), house.records.endpoint(networkId, id)]
      if (!network || !endpoint) throw new Error(`no endpoint ${id}`)
      const ports = await publish(placeOf(house, network, endpoint), network, bindings, range)
      return ports.map(({ hostAddress, hostPort, containerPort }) => `${hostAddress} ${hostPort} ${containerPort}`)
    },
  }
}

export function placeOf(house: House, network: Network, endpoint: Endpoint): Place {
  return {
    house,
    endpoint,
    served: driverOf(house, network).publishing(network, house.facts),
    elsewhere: [],
    unrelayed: [],
  }
}
