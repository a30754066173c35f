/** Calls weftd as an engine does, over its sockets, and keeps how long each call took. */
import { randomBytes } from 'node:crypto'
import type { Host } from '../../test/support/lab.ts'
import { client, type Client } from '../../test/support/client.ts'

/** A network with an address pool from weft's own IPAM. */
export interface BenchNetwork {
  readonly id: string
  readonly poolId: string
}

export interface BenchEndpoint {
  readonly id: string
  readonly network: BenchNetwork
  /** Without its prefix length. */
  readonly address: string
}

export class Caller implements Disposable {
  /** Milliseconds by method, in the order of the calls. */
  readonly times = new Map<string, number[]>()
  readonly #bridge: Client
  readonly #ipam: Client

  constructor(host: Host) {
    this.#bridge = client(host.path('/run/docker/plugins/weft-bridge.sock'))
    this.#ipam = client(host.path('/run/docker/plugins/weft-ipam.sock'))
  }

  async createNetwork(subnet: string, gateway: string): Promise<BenchNetwork> {
    const pool = { AddressSpace: 'weft-local', Pool: subnet, SubPool: '', Options: {}, V6: false }
    const { PoolID } = await this.#call<{ PoolID: string }>('IpamDriver.RequestPool', pool)
    const first = { PoolID, Address: gateway, Options: { RequestAddressType: 'com.docker.network.gateway' } }
    const { Address } = await this.#call<{ Address: string }>('IpamDriver.RequestAddress', first)
    const id = randomBytes(32).toString('hex')
    await this.#call('NetworkDriver.CreateNetwork', {
      NetworkID: id,
      Options: { 'com.docker.network.enable_ipv6': false, 'com.docker.network.generic': {} },
      IPv4Data: [{ AddressSpace: 'weft-local', Gateway: Address, Pool: subnet }],
      IPv6Data: [],
    })
    this.times.clear()
    return { id, poolId: PoolID }
  }

  /** All that an engine asks for when a container starts; `hostPort`: published for port 80 by TCP. */
  async start(network: BenchNetwork, hostPort?: number): Promise<BenchEndpoint> {
    const mac = randomBytes(6)
    mac[0] = 0x02
    const MacAddress = mac.toString('hex').replace(/..(?!$)/g, '$&:')
    const wish = { 'com.docker.network.endpoint.macaddress': MacAddress }
    const asked = { PoolID: network.poolId, Address: '', Options: wish }
    const { Address } = await this.#call<{ Address: string }>('IpamDriver.RequestAddress', asked)
    const id = randomBytes(32).toString('hex')
    const ids = { NetworkID: network.id, EndpointID: id }
    const binding = { Proto: 6, IP: '', Port: 80, HostIP: '', HostPort: hostPort, HostPortEnd: hostPort }
    const Options = {
      'com.docker.network.endpoint.exposedports': hostPort === undefined ? [] : [{ Proto: 6, Port: 80 }],
      'com.docker.network.portmap': hostPort === undefined ? [] : [binding],
    }
    const Interface = { Address, AddressIPv6: '', MacAddress }
    await this.#call('NetworkDriver.CreateEndpoint', { ...ids, Interface, Options })
    await this.#call('NetworkDriver.Join', { ...ids, SandboxKey: '/proc/self/ns/net', Options })
    await this.#call('NetworkDriver.ProgramExternalConnectivity', { ...ids, Options })
    await this.#call('NetworkDriver.EndpointOperInfo', ids)
    return { id, network, address: Address.split('/')[0] ?? '' }
  }

  /** All that an engine asks for when a container ends. */
  async end({ id, network, address }: BenchEndpoint): Promise<void> {
    const ids = { NetworkID: network.id, EndpointID: id }
    await this.#call('NetworkDriver.RevokeExternalConnectivity', ids)
    await this.#call('NetworkDriver.Leave', ids)
    await this.#call('NetworkDriver.DeleteEndpoint', ids)
    await this.#call('IpamDriver.ReleaseAddress', { PoolID: network.poolId, Address: address })
  }

  [Symbol.dispose](): void {
    this.#bridge[Symbol.dispose]()
    this.#ipam[Symbol.dispose]()
  }

  async #call<T>(method: string, body: object): Promise<T> {
    const started = performance.now()
    const { status, json } = await (method.startsWith('Ipam') ? this.#ipam : this.#bridge).post(method, body)
    const ms = performance.now() - started
    if (status !== 200) throw new Error(`${method}: ${status} ${JSON.stringify(json)}`)
    const times = this.times.get(method) ?? []
    this.times.set(method, times)
    times.push(ms)
    return json as T
  }
}

/** Runs `work` for each item, so many at once. */
export async function inParallel<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = []
  const entries = items.entries()
  const worker = async (): Promise<void> => {
    for (const [index, item] of entries) results[index] = await work(item)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return results
}
