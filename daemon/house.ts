/** The wiring that every part of the daemon shares: records, facts, wishes, turns. */
import type { Logger } from 'pino'
import type { Driver, Endpoint, Facts, Network, NetworkUse, PoolGrant } from '../drivers/driver.ts'
import type { Kernel } from '../native/kernel/kernel.ts'
import { keyOf, type Resource } from '../native/kernel/resource.ts'
import type { NetworkId, PoolId } from '../plugin-api/ids.ts'
import { UserError } from '../plugin-api/answer.ts'
import type { Cidr, Family, Ip } from '../native/value/ip.ts'
import { nobody, type Segment } from './duplicates.ts'
import { Lanes } from './lanes.ts'
import { endpointKey, networkKey, type Records } from './records.ts'
import { Reconciler } from './reconcile.ts'

export const hostOwner = 'host'
/** A network's lane is its id, which may be any word but never holds a slash. Turns of the first hold turns of the second. */
export const admissionLane = '/admission'
export const hostLane = '/host'

/** What networks need to know of weft's own IPAM. */
export interface Pools {
  /** The grants that these subnets are; none where another IPAM driver gave them. */
  grantsOf(subnets: readonly Cidr[]): readonly PoolGrant[]
  isGranted(grant: PoolGrant): boolean
  /** Ends it, unless it ended before. */
  endGrant(grant: PoolGrant): Promise<boolean>
  /** Ends those leases of a dead endpoint that the engine released while it still lived. */
  endReleased(addresses: readonly Ip[]): Promise<readonly Ip[]>
  /**
   * An address of the host's own in a pool, the same again for the same owner; `wished` may be an auxiliary one. Ends
   * with the pool, or by `letGo`. Throws UserError.
   */
  hold(pool: PoolId, owner: string, wished?: Ip): Promise<Ip>
  letGo(owner: string): Promise<void>
}

export interface House {
  readonly records: Records
  readonly kernel: Kernel
  readonly reconciler: Reconciler
  readonly lanes: Lanes
  readonly drivers: Readonly<Record<string, Driver>>
  readonly log: Logger
  /** As last gathered; replaced whole. */
  facts: Facts
  /** Until main gives it an IPAM, no pool is weft's. */
  pools: Pools
  /** Networks whose creation is under way: their driver's host plan must stand already. */
  readonly arriving: Map<NetworkId, Network>
  /** Networks whose first endpoint is under way: what used networks need of the host must stand already. */
  readonly entering: Set<NetworkId>
  /** May settle remove what nobody wishes? Not beside an empty store: see orphans.ts. */
  sweeps: boolean
  /** Reads the facts again. */
  refresh(): Promise<void>
  /** Does the host forward this family now, whoever switched it on? */
  forwards(family: Family): boolean
  /** Are weft's own rules loaded? Without them what is closed would stand open. */
  rulesStand: () => boolean
  /** Did an engine lack this network over two looks, while nothing uses it? Perhaps it is another engine's. */
  isUnlisted: (id: NetworkId) => boolean
  /** Where others may have addresses. Until main gives it a way to ask, nobody is there. */
  segment: Segment
  /** Something is not as it should be: settle soon. */
  settleSoon(why: string): void
}

export interface Parts {
  readonly records: Records
  readonly kernel: Kernel
  readonly drivers: Readonly<Record<string, Driver>>
  readonly log: Logger
  /** What is true of the machine; `forwarded` comes from the records. */
  readonly gather: () => Promise<Omit<Facts, 'forwarded'>>
  readonly forwards: (family: Family) => boolean
}

const noPools: Pools = {
  grantsOf: () => [],
  isGranted: () => false,
  endGrant: async () => false,
  endReleased: async () => [],
  async hold(pool) {
    throw new Error(`pool ${pool} is not weft's`)
  },
  letGo: async () => undefined,
}

/** Gathers the facts and notes every wish; the kernel is left alone until the first settle. */
export async function openHouse({ gather, ...parts }: Parts): Promise<House> {
  const read = async (): Promise<Facts> => ({ ...(await gather()), forwarded: parts.records.forwarded })
  const house: House = {
    ...parts,
    reconciler: new Reconciler(parts.kernel, failed => {
      parts.log.warn({ failed }, 'undoing left something behind')
      house.settleSoon('an undo failed')
    }),
    lanes: new Lanes(),
    facts: await read(),
    pools: noPools,
    arriving: new Map(),
    entering: new Set(),
    sweeps: true,
    async refresh() {
      house.facts = await read()
    },
    rulesStand: () => true,
    isUnlisted: () => false,
    segment: nobody,
    settleSoon() {
      // Until main gives it a settler.
    },
  }
  wishAll(house)
  return house
}

export function driverOf(house: House, network: Network): Driver {
  return namedDriver(house, network.driver)
}

export function namedDriver(house: House, name: string): Driver {
  const driver = house.drivers[name]
  if (!driver) {
    throw new UserError('DRIVER_OFF', `driver weft-${name} is switched off`, {
      hint: "add it to weftd's setting drivers",
    })
  }
  return driver
}

export function planHost(house: House): readonly Resource[] {
  const { arriving, entering, records } = house
  const networks = new Map([...records.networks(), ...arriving.values()].map(network => [network.id, network]))
  const uses = [...networks.values()].map((network): NetworkUse => {
    return { network, used: entering.has(network.id) || records.endpointsOf(network.id).length > 0 }
  })
  const wishes = [...Map.groupBy(uses, ({ network }) => network.driver)].flatMap(([name, own]) =>
    namedDriver(house, name).planHost(house.facts, own),
  )
  // Networks share what they wish of the host.
  return [...new Map(wishes.map(wish => [keyOf(wish), wish])).values()]
}

export function planNetwork(house: House, network: Network): readonly Resource[] {
  return driverOf(house, network).planNetwork(network, house.facts)
}

export function planEndpoint(house: House, network: Network, endpoint: Endpoint): readonly Resource[] {
  return driverOf(house, network).planEndpoint(network, endpoint, house.facts)
}

/** Notes every wish that the records and facts make, without doing anything. */
export function wishAll(house: House): void {
  house.reconciler.wish(hostOwner, planHost(house))
  for (const network of house.records.networks()) {
    house.reconciler.wish(networkKey(network.id), planNetwork(house, network))
    for (const endpoint of house.records.endpointsOf(network.id)) {
      house.reconciler.wish(endpointKey(network.id, endpoint.id), planEndpoint(house, network, endpoint))
    }
  }
}

/** The engine released all pools of weft's that the network was made on, as it does before it forgets a network. */
export function isForsaken(house: House, { id, pools = [] }: Network): boolean {
  const released = pools.length > 0 && !pools.some(grant => house.pools.isGranted(grant))
  return released && house.records.endpointsOf(id).length === 0
}

/** The engine that made it ended at once, and the present one never had it: nobody will remove it. */
export function isUnwritten({ records }: House, { id, driver, madeIn }: Network): boolean {
  return madeIn !== undefined && madeIn < records.lifeOf(driver) && records.endpointsOf(id).length === 0
}
