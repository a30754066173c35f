/** Who has an address of weft's IPAM: by the records of weft's own networks, and by what the engine told last. */
import type { PoolEntry } from '../ipam/records.ts'
import type { Ip } from '../native/value/ip.ts'
import type { EndpointId, NetworkId } from '../plugin-api/ids.ts'
import { shortId } from './commands/print.ts'
import type { Claim } from './conflicts.ts'
import type { Watch } from './evidence.ts'
import { driverOf, planNetwork, type House } from './house.ts'

export interface PoolNetwork {
  readonly id: NetworkId
  /** `weft-bridge`, or another one's that only takes its addresses here. */
  readonly driver: string
  /** Absent while the engine has not told. */
  readonly name?: string
}

export interface AddressHolder {
  readonly endpoint: EndpointId
  readonly container?: string
}

export class Holders {
  readonly #house: House
  readonly #watch: Watch

  constructor(house: House, watch: Watch) {
    this.#house = house
    this.#watch = watch
  }

  networkOf({ id, at, subnet }: PoolEntry): PoolNetwork | undefined {
    const own = this.#house.records
      .networks()
      .find(({ pools = [] }) => pools.some(grant => grant.id === id && grant.at === at))
    if (own) {
      const name = this.#watch.names.get(own.id)?.name
      return { id: own.id, driver: `weft-${own.driver}`, ...(name === undefined ? {} : { name }) }
    }
    const [networkId, seen] = [...this.#watch.ipamNetworks].find(([, { subnets }]) => subnets.includes(subnet)) ?? []
    return networkId && seen && { id: networkId, driver: seen.driver, name: seen.name }
  }

  holderOf(pool: PoolEntry, address: Ip): AddressHolder | undefined {
    const network = this.networkOf(pool)
    if (!network) return undefined
    const listed = this.#watch.ipamNetworks.get(network.id)?.endpoints ?? this.#watch.names.get(network.id)?.endpoints
    const recorded = this.#house.records.holdersOf(address).find(({ networkId }) => networkId === network.id)
    if (recorded) {
      const container = listed?.get(recorded.id)?.container
      return { endpoint: recorded.id, ...(container === undefined ? {} : { container }) }
    }
    const [endpoint, seen] = [...(listed ?? [])].find(([, { addresses }]) => addresses.includes(address)) ?? []
    return endpoint && seen && { endpoint, container: seen.container }
  }

  /** `network web` of a pool, `container www` of an address in it. */
  nameOf(pool: PoolEntry, address?: Ip): string | undefined {
    if (address === undefined) {
      const network = this.networkOf(pool)
      return network && `network ${network.name ?? shortId(network.id)}`
    }
    const holder = this.holderOf(pool, address)
    return holder && textOf(holder)
  }

  /** The subnets of all networks that weft knows of, and the host has a way into. */
  claims(): readonly Claim[] {
    const { records } = this.#house
    const own = records.networks().flatMap(network => {
      const bridge = planNetwork(this.#house, network).find(resource => resource.type === 'bridge')?.name
      const links = [bridge, driverOf(this.#house, network).parentOf?.(network)].filter(name => name !== undefined)
      // Without one the host has no way into it.
      if (links.length === 0) return []
      const owner = `network ${this.#watch.names.get(network.id)?.name ?? shortId(network.id)}`
      return network.subnets.map(({ pool: subnet }) => ({ subnet, owner, links }))
    })
    const others = [...this.#watch.ipamNetworks]
      // Of other drivers it is not known by which links the host reaches them.
      .filter(([id, { driver }]) => driver === 'bridge' && !records.network(id))
      .flatMap(([id, { name, subnets, bridge = `br-${shortId(id)}` }]) =>
        subnets.map(subnet => ({ subnet, owner: `network ${name}`, links: [bridge] })),
      )
    return [...own, ...others]
  }
}

export function textOf({ endpoint, container }: AddressHolder): string {
  return container === undefined ? `endpoint ${shortId(endpoint)}` : `container ${container}`
}
