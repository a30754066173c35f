/** The records of this host: durable in the store, and all of them in memory, because one daemon owns them. */
import type { Endpoint, Network, PublishedPort } from '../drivers/driver.ts'
import type { CommitOptions, Store } from '../ipam/store.ts'
import { addressOf, type Family, type Ip } from '../native/value/ip.ts'
import type { EndpointId, NetworkId } from '../plugin-api/ids.ts'

/** Families whose forwarding weft has switched on in this boot, key `host/forwarding`. */
export interface Forwarding {
  readonly bootId: string
  readonly families: readonly Family[]
}

export const forwardingKey = 'host/forwarding'
const livesPrefix = 'host/lives/'
export const networkKey = (id: NetworkId): string => `network/${id}`
export const endpointKey = (networkId: NetworkId, id: EndpointId): string => `endpoint/${networkId}/${id}`

/** The network that an owner's record belongs to: `network/ID` and `endpoint/ID/...`. */
export function networkIdOf(owner: string): string {
  return owner.split('/')[1] ?? owner
}

/** Records of an earlier boot are dropped when they are loaded: a power cut may lose those of this one. */
const untilBoot: CommitOptions = { survives: 'process' }

export class Records {
  readonly #store: Store
  readonly #bootId: string
  readonly #networks = new Map<NetworkId, Network>()
  /** By network, so that the endpoints of one are found without looking at all. */
  readonly #endpoints = new Map<NetworkId, Map<EndpointId, Endpoint>>()
  /** Endpoints by what they hold, so that no request looks at all of them. */
  readonly #holders = new Map<string, Set<Endpoint>>()
  #forwarding: Forwarding
  /** Lives of the engine that each driver has seen begin. */
  readonly #lives = new Map<string, number>()
  /** Grows with every change: tells whether what was learned about the records is old. */
  changes = 0

  private constructor(store: Store, bootId: string) {
    this.#store = store
    this.#bootId = bootId
    this.#forwarding = { bootId, families: [] }
  }

  /** Reads everything, and drops what belonged to an earlier boot: links do not outlive it. */
  static async load(store: Store, bootId: string): Promise<Records> {
    const records = new Records(store, bootId)
    for (const { value } of await store.list('network/')) {
      const network = value as Network
      records.#networks.set(network.id, network)
    }
    const stale: string[] = []
    for (const { key, value } of await store.list('endpoint/')) {
      const endpoint = value as Endpoint
      if (endpoint.bootId === bootId && records.#networks.has(endpoint.networkId)) records.#noteEndpoint(endpoint)
      else stale.push(key)
    }
    for (const { key, value } of await store.list(livesPrefix)) {
      records.#lives.set(key.slice(livesPrefix.length), value as number)
    }
    const forwarding = (await store.get(forwardingKey))?.value as Forwarding | undefined
    if (forwarding?.bootId === bootId) records.#forwarding = forwarding
    if (stale.length > 0) await store.commit(stale.map(key => ({ key })))
    return records
  }

  get bootId(): string {
    return this.#bootId
  }

  /** Families whose forwarding weft has switched on since boot. */
  get forwarded(): readonly Family[] {
    return this.#forwarding.families
  }

  network(id: NetworkId): Network | undefined {
    return this.#networks.get(id)
  }

  networks(): readonly Network[] {
    return [...this.#networks.values()]
  }

  endpoint(networkId: NetworkId, id: EndpointId): Endpoint | undefined {
    return this.#endpoints.get(networkId)?.get(id)
  }

  endpointsOf(networkId: NetworkId): readonly Endpoint[] {
    return [...(this.#endpoints.get(networkId)?.values() ?? [])]
  }

  endpoints(): readonly Endpoint[] {
    return [...this.#endpoints.values()].flatMap(some => [...some.values()])
  }

  /** Endpoints that have the address, in whatever network. */
  holdersOf(address: Ip): readonly Endpoint[] {
    return [...(this.#holders.get(address) ?? [])]
  }

  /** Endpoints that publish this port number of the host, on whatever address. */
  publishersOf(port: Pick<PublishedPort, 'protocol' | 'hostPort'>): readonly Endpoint[] {
    return [...(this.#holders.get(portKey(port)) ?? [])]
  }

  async putNetwork(network: Network): Promise<void> {
    this.changes += 1
    await this.#store.commit([{ key: networkKey(network.id), value: network }])
    this.#networks.set(network.id, network)
  }

  async removeNetwork(id: NetworkId): Promise<void> {
    await this.#store.commit([{ key: networkKey(id) }])
    this.#networks.delete(id)
    for (const endpoint of this.endpointsOf(id)) this.#unindex(endpoint)
    this.#endpoints.delete(id)
  }

  async putEndpoint(endpoint: Endpoint): Promise<void> {
    this.changes += 1
    await this.#store.commit([{ key: endpointKey(endpoint.networkId, endpoint.id), value: endpoint }], untilBoot)
    this.#noteEndpoint(endpoint)
  }

  async removeEndpoint({ networkId, id }: Endpoint): Promise<void> {
    await this.#store.commit([{ key: endpointKey(networkId, id) }], untilBoot)
    const endpoint = this.endpoint(networkId, id)
    if (endpoint) this.#unindex(endpoint)
    this.#endpoints.get(networkId)?.delete(id)
  }

  lifeOf(driver: string): number {
    return this.#lives.get(driver) ?? 0
  }

  async noteLife(driver: string): Promise<void> {
    const life = this.lifeOf(driver) + 1
    await this.#store.commit([{ key: livesPrefix + driver, value: life }])
    this.#lives.set(driver, life)
  }

  async noteForwarding(families: readonly Family[]): Promise<void> {
    const forwarding = { bootId: this.#bootId, families }
    await this.#store.commit([{ key: forwardingKey, value: forwarding }])
    this.#forwarding = forwarding
  }

  #noteEndpoint(endpoint: Endpoint): void {
    const before = this.endpoint(endpoint.networkId, endpoint.id)
    if (before) this.#unindex(before)
    const siblings = this.#endpoints.get(endpoint.networkId) ?? new Map<EndpointId, Endpoint>()
    this.#endpoints.set(endpoint.networkId, siblings.set(endpoint.id, endpoint))
    for (const held of holdsOf(endpoint)) {
      const holders = this.#holders.get(held) ?? new Set<Endpoint>()
      this.#holders.set(held, holders.add(endpoint))
    }
  }

  #unindex(endpoint: Endpoint): void {
    for (const held of holdsOf(endpoint)) {
      const holders = this.#holders.get(held)
      holders?.delete(endpoint)
      if (holders?.size === 0) this.#holders.delete(held)
    }
  }
}

function holdsOf({ addresses, ports }: Endpoint): readonly string[] {
  return [...addresses.map(addressOf), ...ports.map(portKey)]
}

function portKey({ protocol, hostPort }: Pick<PublishedPort, 'protocol' | 'hostPort'>): string {
  return `${protocol} ${hostPort}`
}
