/** Which networks no engine has any more, although none was told to be removed. */
import type { Network } from '../drivers/driver.ts'
import type { NetworkId } from '../plugin-api/ids.ts'
import { doubtMs, type Doubts } from './doubts.ts'
import { removeNetwork } from './edit.ts'
import { isForsaken, isUnwritten, type House } from './house.ts'

export class NetworkEvidence {
  readonly #house: House
  readonly #doubts: Doubts
  /** Without endpoints, and lacking in two looks; perhaps they are another engine's. */
  readonly #unlisted = new Set<NetworkId>()

  constructor(house: House, doubts: Doubts) {
    this.#house = house
    this.#doubts = doubts
  }

  /** Is there one to ask the engine about? */
  get isDubious(): boolean {
    const { records } = this.#house
    const isNew = (id: NetworkId): boolean => this.#doubts.has(doubtOf(id)) && !this.#unlisted.has(id)
    return records.networks().some(network => isLost(this.#house, network) || isNew(network.id))
  }

  /** Did an engine lack this network over two looks, while nothing uses it? */
  isUnlisted(id: NetworkId): boolean {
    return this.#unlisted.has(id) && this.#isUnused(id)
  }

  /** By the list of an engine; undefined: it does not say which one it is. */
  async judge(listed: ReadonlySet<NetworkId>, engine: string | undefined): Promise<void> {
    const { records } = this.#house
    for (const network of records.networks()) await this.#judge(network, listed, engine)
    for (const id of this.#unlisted) if (!records.network(id)) this.#unlisted.delete(id)
  }

  /**
   * An engine's list never removes a network that may be another engine's. But its own; and one that lost its pools, or
   * its engine before it was ever used: its creation broke when a daemon ended, or its removal did.
   */
  async #judge(network: Network, listed: ReadonlySet<NetworkId>, engine: string | undefined): Promise<void> {
    const { id, madeIn } = network
    const { lanes, log, records } = this.#house
    const lacking = !listed.has(id) && this.#isUnused(id)
    if (!lacking) this.#unlisted.delete(id)
    const seenIn = listed.has(id) ? engine : undefined
    const isNews = madeIn !== undefined || (seenIn !== undefined && network.engine !== seenIn)
    if (!lacking && isNews) await lanes.run(id, () => this.#noteWritten(id, seenIn))
    if (!this.#doubts.isMissing(doubtOf(id), lacking, doubtMs)) return
    this.#unlisted.add(id)
    await lanes.run(id, async () => {
      const current = records.network(id)
      if (!current || !this.#isUnused(id)) return
      const isOwn = engine !== undefined && current.engine === engine
      if (!isOwn && !isLost(this.#house, current)) return
      await removeNetwork(this.#house, current)
      const why = isOwn ? 'had it, and has it no more' : 'has forgotten its pools, or never had it'
      log.warn({ network: id }, `network given up: the engine ${why}`)
    })
  }

  /** The network is used, or listed by this engine. */
  async #noteWritten(id: NetworkId, engine: string | undefined): Promise<void> {
    const network = this.#house.records.network(id)
    const named = engine === undefined ? {} : { engine }
    if (network) await this.#house.records.putNetwork({ ...network, ...named, madeIn: undefined })
  }

  #isUnused(id: NetworkId): boolean {
    return this.#house.records.endpointsOf(id).length === 0
  }
}

const doubtOf = (id: NetworkId): string => `network ${id}`

function isLost(house: House, network: Network): boolean {
  return isForsaken(house, network) || isUnwritten(house, network)
}
