/**
 * Background eyes: which endpoints are dead although nobody said so. The engine may forget an endpoint without a call
 * (it crashed, or weftd was down); then its link is gone with its namespace, or the engine's list lacks it.
 */
import type { Endpoint, Network } from '../drivers/driver.ts'
import type { IfName } from '../native/kernel/resource.ts'
import type { NetworkId } from '../plugin-api/ids.ts'
import type { LeaseEntry, PoolEntry } from '../ipam/records.ts'
import { addressOf, contains, type Cidr, type Ip } from '../native/value/ip.ts'
import { isForsaken, isUnwritten, type House } from './house.ts'
import { removeEndpoint, removeNetwork } from './edit.ts'
import type { Engine, EngineNetwork } from './engine.ts'
import { Lives } from './lives.ts'

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

/** Two looks at the engine's list, this far apart, before a created endpoint is given up. */
const doubtMs = 2_000
const leaseDoubtMs = 60_000

export class Watch {
  readonly #house: House
  readonly #engine: Engine
  readonly #leases: Leases
  readonly #lives: Lives
  /** When the engine's list first lacked it, by endpoint, network or lease. */
  readonly #missingSince = new Map<string, number>()
  /** Of those, what the look that goes on has asked about: the rest is not there any more. */
  readonly #asked = new Set<string>()
  /** Networks without endpoints that the engine lacked over two looks; perhaps they are another engine's. */
  readonly #unlisted = new Set<NetworkId>()
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  #engineLookAt = 0
  #changesSeen = -1
  #looking: Promise<void> | undefined
  /** As the engine last told, for people. */
  readonly names = new Map<NetworkId, EngineNetwork>()
  /** Networks with addresses of weft's, of any driver, as the engine last told. */
  ipamNetworks: ReadonlyMap<NetworkId, EngineNetwork> = new Map()
  /** When the engine was asked for them; 0: never yet. */
  #ipamNetworksAt = 0
  /** Subnets of its networks that have nothing from weft. */
  othersSubnets: readonly Cidr[] = []

  constructor(house: House, engine: Engine, leases: Leases, links: () => Promise<ReadonlySet<IfName>>) {
    this.#house = house
    this.#engine = engine
    this.#leases = leases
    this.#lives = new Lives(house, links)
  }

  /** Drops endpoints whose link is gone. Asks nobody but the kernel, so that events may call it at once. */
  async lookAtLinks(): Promise<void> {
    const { lanes, records } = this.#house
    const endpoints = records.endpoints()
    this.#lives.keep(endpoints)
    const dead = await this.#lives.deadAmong(endpoints)
    for (const networkId of new Set(dead.map(endpoint => endpoint.networkId))) {
      await lanes.run(networkId, async () => {
        // While we waited for our turn some may have been joined anew, or removed by the engine.
        const still = await this.#lives.deadAmong(records.endpointsOf(networkId))
        for (const endpoint of still) await this.#giveUp(endpoint, 'its link is gone, or waits for nobody')
      })
    }
  }

  start(settleSeconds: number): void {
    const again = (): void => {
      if (this.#stopped) return
      this.#timer = setTimeout(() => {
        this.#lookIfNews(settleSeconds * 1000)
          .catch((cause: unknown) => {
            this.#house.log.debug({ err: cause }, 'no evidence from the engine')
          })
          .finally(again)
      }, doubtMs)
    }
    again()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  /** Like lookAtEngine, and never shares a look that began before: that one may have missed what is asked about. */
  async lookAfresh(): Promise<void> {
    await this.#looking?.catch(() => undefined)
    await this.lookAtEngine()
  }

  /** Asks the engine now. Rejects when it gives no answer. */
  lookAtEngine(): Promise<void> {
    this.#looking ??= this.#lookAtEngine().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async #lookIfNews(everyMs: number): Promise<void> {
    const now = Date.now()
    const { records } = this.#house
    const doubtful =
      records.endpoints().some(endpoint => this.#lives.isDoubtful(endpoint, now)) ||
      records.networks().some(network => this.#isDubious(network)) ||
      this.#unclaimed().length > 0
    // A record that is new has a name to learn.
    const old = this.#changes !== this.#changesSeen || now - this.#engineLookAt >= everyMs
    if (doubtful || old || this.#engine.version === undefined) await this.lookAtEngine()
  }

  get #changes(): number {
    return this.#house.records.changes + this.#leases.changes
  }

  async #lookAtEngine(): Promise<void> {
    const { records } = this.#house
    const changes = this.#changes
    if (!(await this.#engine.reachable())) return
    this.#changesSeen = changes
    const startedAt = Date.now()
    this.#engineLookAt = startedAt
    this.#asked.clear()
    const ours = new Map<NetworkId, EngineNetwork>()
    const listed = await this.#engine.networks()
    const others: Cidr[] = []
    for (const { id, ipamDriver, subnets } of listed) {
      const network = records.network(id)
      // With a colon it is a managed plugin, which may be us: its name was chosen by who installed it.
      const isOurs = /^weft-|:/.test(ipamDriver)
      if (!network && !isOurs) others.push(...subnets)
      const seen = network || isOurs ? await this.#engine.network(id) : undefined
      if (!seen) continue
      if (isOurs) ours.set(id, seen)
      if (!network) continue
      this.names.set(id, seen)
      await this.#judge(network, seen)
    }
    this.ipamNetworks = ours
    this.#ipamNetworksAt = startedAt
    this.othersSubnets = others
    const ids = new Set(listed.map(({ id }) => id))
    for (const network of records.networks()) await this.#judgeNetwork(network, ids)
    await this.#judgeLeases([...ours.values()])
    await this.#judgePools([...ours.values()])
    for (const what of this.#missingSince.keys()) if (!this.#asked.has(what)) this.#missingSince.delete(what)
    for (const id of [...this.names.keys(), ...this.#unlisted]) if (!records.network(id)) this.#forget(id)
  }

  /**
   * Was a network made on this pool? By its record, or, under drivers that are not weft's, by the engine's list since the
   * pool was granted: before, the list may have had another network on the same subnet.
   */
  isMade(pool: PoolEntry): boolean {
    const isListed = [...this.ipamNetworks.values()].some(({ subnets }) => subnets.includes(pool.subnet))
    return this.#isRecorded(pool) || (isListed && this.#ipamNetworksAt > pool.at)
  }

  #isRecorded(pool: PoolEntry): boolean {
    const grants = this.#house.records.networks().flatMap(({ pools = [] }) => pools)
    return grants.some(({ id, at }) => id === pool.id && at === pool.at)
  }

  #isDubious(network: Network): boolean {
    const { id } = network
    return isLost(this.#house, network) || (this.#missingSince.has(`network ${id}`) && !this.#unlisted.has(id))
  }

  /** Did an engine lack this network over two looks, while nothing uses it? */
  isUnlisted(id: NetworkId): boolean {
    return this.#unlisted.has(id) && this.#house.records.endpointsOf(id).length === 0
  }

  #forget(id: NetworkId): void {
    this.names.delete(id)
    this.#unlisted.delete(id)
  }

  async #judge(network: Network, seen: EngineNetwork): Promise<void> {
    for (const endpoint of this.#house.records.endpointsOf(network.id)) {
      const lacking = this.#lives.isDoubtful(endpoint, Date.now()) && !seen.endpoints.has(endpoint.id)
      if (!this.#missing(`endpoint ${endpoint.id}`, lacking, doubtMs)) continue
      await this.#house.lanes.run(network.id, async () => {
        const current = this.#house.records.endpoint(network.id, endpoint.id)
        // It may have been joined while we waited for our turn.
        if (current && this.#lives.isDoubtful(current, Date.now()))
          await this.#giveUp(current, 'the engine does not know it')
      })
    }
  }

  /**
   * An engine's list alone never removes a network, for it may be another engine's. But one that lost its pools, or its
   * engine before it was ever used, and is not listed: its creation broke when a daemon ended, or its removal did.
   */
  async #judgeNetwork({ id, madeIn }: Network, listed: ReadonlySet<NetworkId>): Promise<void> {
    const { lanes, log, records } = this.#house
    const lacking = !listed.has(id) && records.endpointsOf(id).length === 0
    if (!lacking) this.#unlisted.delete(id)
    if (!lacking && madeIn !== undefined) await lanes.run(id, () => this.#noteWritten(id))
    if (!this.#missing(`network ${id}`, lacking, doubtMs)) return
    this.#unlisted.add(id)
    await lanes.run(id, async () => {
      const network = records.network(id)
      if (!network || !isLost(this.#house, network)) return
      await removeNetwork(this.#house, network)
      log.warn(
        { network: id },
        'network given up: the engine does not know it, and has forgotten its pools or never had it',
      )
    })
  }

  async #noteWritten(id: NetworkId): Promise<void> {
    const network = this.#house.records.network(id)
    if (network) await this.#house.records.putNetwork({ ...network, madeIn: undefined })
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
    if (!this.#missing(`pool ${pool.id} ${pool.at} ${doubt}`, lacking, doubt)) return
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
      if (!this.#missing(`lease ${pool} ${address} ${lease.at}`, judged && !used.has(address), leaseDoubtMs)) continue
      if (await this.#leases.drop(lease))
        this.#house.log.warn({ pool, address }, 'lease ended: the engine does not list its address')
    }
  }

  /** True when something has been lacking for so long, over at least two looks. */
  #missing(what: string, lacking: boolean, doubt: number): boolean {
    this.#asked.add(what)
    const since = this.#missingSince.get(what)
    if (!lacking) this.#missingSince.delete(what)
    else if (since === undefined) this.#missingSince.set(what, Date.now())
    return lacking && since !== undefined && Date.now() - since >= doubt - 50
  }

  async #giveUp(endpoint: Endpoint, why: string): Promise<void> {
    await removeEndpoint(this.#house, endpoint)
    const { networkId: network, id } = endpoint
    this.#house.log.warn({ network, endpoint: id, why }, 'endpoint given up')
  }
}

function isLost(house: House, network: Network): boolean {
  return isForsaken(house, network) || isUnwritten(house, network)
}
