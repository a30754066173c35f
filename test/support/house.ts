/** A house in memory: fake kernel, no engine. What the unit and golden tests live in. */
import { pino } from 'pino'
import { networkHandlers } from '../../daemon/network.ts'
import { openHouse, type House } from '../../daemon/house.ts'
import { Records } from '../../daemon/records.ts'
import { MemoryStore } from '../../daemon/store/memory.ts'
import { drivers } from '../../drivers/registry.ts'
import type { Facts } from '../../drivers/driver.ts'
import type { Store } from '../../ipam/store.ts'
import { FakeKernel } from '../../native/kernel/fake.ts'
import type { EndpointId, NetworkId } from '../../plugin-api/ids.ts'
import type { NetworkHandlers } from '../../plugin-api/methods.ts'
import type { CreateEndpoint, CreateNetwork } from '../../plugin-api/network.ts'

export const facts: Omit<Facts, 'forwarded'> = {
  uplinks: [],
  links: [],
  childKinds: ['macvlan', 'ipvlan', 'vlan'],
  foreignFamilies: [],
  foreignBridges: [],
  foreignSwitches: [],
  acceptHooks: [],
  loopback6: true,
  directRouting: false,
  marks: { allowed: 0x00100000, hairpin: 0x00200000, acceptValue: 1, acceptMask: 0 },
}

export interface TestHouse {
  readonly house: House
  readonly kernel: FakeKernel
  readonly store: Store
  readonly handlers: NetworkHandlers
}

export async function testHouse(
  options: {
    readonly store?: Store
    readonly kernel?: FakeKernel
    readonly facts?: Partial<Facts>
    readonly bootId?: string
    readonly forwarding?: boolean
    /** Whose socket it is. Default: bridge. */
    readonly driver?: string
  } = {},
): Promise<TestHouse> {
  const store = options.store ?? new MemoryStore()
  const kernel = options.kernel ?? new FakeKernel()
  const house = await openHouse({
    records: await Records.load(store, options.bootId ?? 'boot-1'),
    kernel,
    drivers,
    log: pino({ level: 'silent' }),
    gather: async () => ({ ...facts, ...options.facts }),
    forwards: () => options.forwarding ?? true,
  })
  return {
    house,
    kernel,
    store,
    handlers: networkHandlers(house, options.driver ?? 'bridge', () => [49152, 49153, 49154]),
  }
}

export const networkId = '1'.repeat(64) as NetworkId
export const endpointId = 'a'.repeat(64) as EndpointId

export function createNetwork(
  more: Partial<CreateNetwork> & { readonly generic?: Record<string, string> } = {},
): CreateNetwork {
  const { generic, ...rest } = more
  return {
    NetworkID: networkId,
    Options: { 'com.docker.network.generic': generic ?? {} },
    IPv4Data: [pool('10.7.0.0/24', '10.7.0.1/24')],
    IPv6Data: [pool('fd00:7::/64', 'fd00:7::1/64')],
    ...rest,
  }
}

export function pool(cidr: string, gateway: string): CreateNetwork['IPv4Data'][number] {
  return { Pool: cidr, Gateway: gateway, AuxAddresses: {} }
}

export function createEndpoint(more: Partial<CreateEndpoint> = {}): CreateEndpoint {
  return {
    NetworkID: networkId,
    EndpointID: endpointId,
    Interface: { Address: '10.7.0.2/24', AddressIPv6: 'fd00:7::2/64' },
    Options: {},
    ...more,
  }
}

/** The work must fail, with a message like the pattern. */
export async function rejects(work: Promise<unknown>, pattern: RegExp): Promise<void> {
  let text: string | undefined
  try {
    await work
  } catch (cause) {
    text = cause instanceof Error ? cause.message : String(cause)
  }
  if (text === undefined) throw new Error(`expected a rejection like ${String(pattern)}, but it succeeded`)
  if (!pattern.test(text)) throw new Error(`expected a rejection like ${String(pattern)}, got: ${text}`)
}
