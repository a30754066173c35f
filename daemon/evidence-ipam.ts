/** Which leases and pools of weft's IPAM nobody has any more, although nobody released them: the engine's list tells. */
import type { LeaseEntry, PoolEntry } from '../ipam/records.ts'
import { addressOf, contains, type Ip } from '../native/value/ip.ts'
import type { NetworkId } from '../plugin-api/ids.ts'
import { doubtMs, type Doubts } from './doubts.ts'
import type { EngineNetwork } from './engine.ts'
import type { House } from './house.ts'

/** The part of the IPAM that evidence speaks to. */
export interface Leases {
  leases(): readonly LeaseEntry[]
  /** False: it ended, or was granted anew, since it was listed. */
  drop(lease: LeaseEntry): Promise<boolean>
  /** A pool of which its requester may not know. */
  readonly unanswered: PoolEntry | undefined
  /** Pools that no engine has repeated since the last one began, without a container's address. */
  readonly unrepeated: readonly PoolEntry[]
  dropPool(pool: PoolEntry): Promise<boolean>
  /** Grows with every change of a lease. */
  readonly changes: number
}

const leaseDoubtMs = 60_000

export class AddressEvidence {
  readonly #house: House
  readonly #leases: Leases
  readonly #doubts: Doubts
  /** Networks with addresses of weft's, of any driver, as the engine last told. */
  listed: ReadonlyMap<NetworkId, EngineNetwork> = new Map()
  /** When the engine was asked for them; 0: never yet. */
  #listedAt = 0

  constructor(house: House, leases: Leases, doubts: Doubts) {
    this.#house = house
    this.#leases = leases
    this.#doubts = doubts
  }

  /** Grows with every change of a lease. */
  get changes(): number {
    return this.#leases.changes
  }

  /** Is there anything to ask the engine about? */
  get isDubious(): boolean {
    return this.#unclaimed().length > 0
  }

  /** What the engine told when it was asked at `askedAt`. */
  async judge(listed: ReadonlyMap<NetworkId, EngineNetwork>, askedAt: number): Promise<void> {
    this.listed = listed
    this.#listedAt = askedAt
    await this.#judgeLeases([...listed.values()])
    await this.#judgePools([...listed.values()])
  }

  /**
   * Was a network made on this pool? By its record, or, under drivers that are not weft's, by the engine's list since the
   * pool was granted: before, the list may have had another network on the same subnet.
   */
  isMade(pool: PoolEntry): boolean {
    const isListed = [...this.listed.values()].some(({ subnets }) => subnets.includes(pool.subnet))
    return this.#isRecorded(pool) || (isListed && this.#listedAt > pool.at)
  }

  #isRecorded(pool: PoolEntry): boolean {
    const grants = this.#house.records.networks().flatMap(({ pools = [] }) => pools)
    return grants.some(({ id, at }) => id === pool.id && at === pool.at)
  }

  /** Pools that neither an engine has repeated nor a network of weft was made on. */
  #unclaimed(): readonly PoolEntry[] {
    return this.#leases.unrepeated.filter(pool => !this.#isRecorded(pool))
  }

  /** The engine ended between asking for a pool and writing down its network; or weftd, between granting and answering. */
  async #judgePools(networks: readonly EngineNetwork[]): Promise<void> {
    const used = new Set(networks.flatMap(network => network.subnets))
    for (const pool of this.#unclaimed()) {
      await this.#judgePool(pool, { lacking: !used.has(pool.subnet), doubt: doubtMs })
    }
    const { unanswered } = this.#leases
    // Nobody asked for an address in it. But some networks need none until they have a container.
    if (unanswered && !this.#isRecorded(unanswered)) {
      await this.#judgePool(unanswered, { lacking: !used.has(unanswered.subnet), doubt: leaseDoubtMs })
    }
  }

  async #judgePool(
    pool: PoolEntry,
    { lacking, doubt }: { readonly lacking: boolean; readonly doubt: number },
  ): Promise<void> {
    if (!this.#doubts.isMissing(`pool ${pool.id} ${pool.at} ${doubt}`, lacking, doubt)) return
    if (await this.#leases.dropPool(pool)) this.#house.log.warn({ pool: pool.id }, 'pool ended: nobody uses it')
  }

  /**
   * A lease names no owner, so only two looks a minute apart end it, never one that an endpoint holds, and only in
   * subnets that this engine uses: another engine may share the plugin directory.
   */
  async #judgeLeases(networks: readonly EngineNetwork[]): Promise<void> {
    const subnets = networks.flatMap(network => network.subnets)
    const listed = networks.flatMap(network => [...network.endpoints.values()].flatMap(({ addresses }) => addresses))
    const held = this.#house.records.endpoints().flatMap(({ addresses }) => addresses.map(addressOf))
    const used = new Set<Ip>([...listed, ...held])
    for (const lease of this.#leases.leases()) {
      const { pool, address, purpose } = lease
      const judged = purpose === 'endpoint' && subnets.some(subnet => contains(subnet, address))
      if (!this.#doubts.isMissing(`lease ${pool} ${address} ${lease.at}`, judged && !used.has(address), leaseDoubtMs))
        continue
      if (await this.#leases.drop(lease))
        this.#house.log.warn({ pool, address }, 'lease ended: the engine does not list its address')
    }
  }
}
