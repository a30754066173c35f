/**
 * Background eyes: which endpoints are dead although nobody said so. The engine may forget an endpoint without a call
 * (it crashed, or weftd was down); then its link is gone with its namespace, or the engine's list lacks it.
 */
import type { Endpoint, Network } from '../drivers/driver.ts'
import type { IfName } from '../native/kernel/resource.ts'
import type { NetworkId } from '../plugin-api/ids.ts'
import type { PoolEntry } from '../ipam/records.ts'
import type { Cidr } from '../native/value/ip.ts'
import type { House } from './house.ts'
import { doubtMs, Doubts } from './doubts.ts'
import { removeEndpoint } from './edit.ts'
import type { Engine, EngineNetwork } from './engine.ts'
import { AddressEvidence, type Leases } from './evidence-ipam.ts'
import { NetworkEvidence } from './evidence-networks.ts'
import { Lives } from './lives.ts'

export class Watch {
  readonly #house: House
  readonly #engine: Engine
  readonly #lives: Lives
  readonly #doubts = new Doubts()
  readonly #networks: NetworkEvidence
  readonly #addresses: AddressEvidence
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  /** Milliseconds, of the clock that nobody sets. */
  #engineLookAt = -Infinity
  #changesSeen = -1
  #looking: Promise<void> | undefined
  /** As the engine last told, for people. */
  readonly names = new Map<NetworkId, EngineNetwork>()
  /** Subnets of its networks that have nothing from weft. */
  othersSubnets: readonly Cidr[] = []

  constructor(house: House, engine: Engine, leases: Leases, links: () => Promise<ReadonlySet<IfName>>) {
    this.#house = house
    this.#engine = engine
    this.#lives = new Lives(house, links)
    this.#networks = new NetworkEvidence(house, this.#doubts)
    this.#addresses = new AddressEvidence(house, leases, this.#doubts)
  }

  /** Networks with addresses of weft's, of any driver, as the engine last told. */
  get ipamNetworks(): ReadonlyMap<NetworkId, EngineNetwork> {
    return this.#addresses.listed
  }

  /** Was a network made on this pool? */
  isMade(pool: PoolEntry): boolean {
    return this.#addresses.isMade(pool)
  }

  /** Did an engine lack this network over two looks, while nothing uses it? Perhaps it is another engine's. */
  isUnlisted(id: NetworkId): boolean {
    return this.#networks.isUnlisted(id)
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
      this.#networks.isDubious ||
      this.#addresses.isDubious
    // A record that is new has a name to learn.
    const old = this.#changes !== this.#changesSeen || performance.now() - this.#engineLookAt >= everyMs
    if (doubtful || old || this.#engine.version === undefined) await this.lookAtEngine()
  }

  get #changes(): number {
    return this.#house.records.changes + this.#addresses.changes
  }

  async #lookAtEngine(): Promise<void> {
    const { records } = this.#house
    const changes = this.#changes
    if (!(await this.#engine.reachable())) return
    this.#changesSeen = changes
    const startedAt = Date.now()
    this.#engineLookAt = performance.now()
    this.#doubts.beginLook()
    const ours = new Map<NetworkId, EngineNetwork>()
    const { networks: listed, identity } = await this.#engine.networks()
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
    this.othersSubnets = others
    await this.#networks.judge(new Set(listed.map(({ id }) => id)), identity)
    await this.#addresses.judge(ours, startedAt)
    this.#doubts.endLook()
    for (const id of this.names.keys()) if (!records.network(id)) this.names.delete(id)
  }

  async #judge(network: Network, seen: EngineNetwork): Promise<void> {
    for (const endpoint of this.#house.records.endpointsOf(network.id)) {
      const lacking = this.#lives.isDoubtful(endpoint, Date.now()) && !seen.endpoints.has(endpoint.id)
      if (!this.#doubts.isMissing(`endpoint ${endpoint.id}`, lacking, doubtMs)) continue
      await this.#house.lanes.run(network.id, async () => {
        const current = this.#house.records.endpoint(network.id, endpoint.id)
        // It may have been joined while we waited for our turn.
        if (current && this.#lives.isDoubtful(current, Date.now()))
          await this.#giveUp(current, 'the engine does not know it')
      })
    }
  }

  async #giveUp(endpoint: Endpoint, why: string): Promise<void> {
    await removeEndpoint(this.#house, endpoint)
    const { networkId: network, id } = endpoint
    this.#house.log.warn({ network, endpoint: id, why }, 'endpoint given up')
  }
}
