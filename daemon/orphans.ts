/**
 * Objects of weft beside an empty store: somebody lost or moved the state directory. Sweeping them would cut containers
 * off, so they are left alone until a person says what is meant.
 */
import type { Store } from '../ipam/store.ts'
import { describe } from '../native/kernel/resource.ts'
import type { House } from './house.ts'

/** Written at the first start, so that a store that lost its last network is told from one that is new. */
const knownKey = 'host/known'

export class Orphans {
  readonly #store: Store
  readonly #house: House
  #found: readonly string[]

  private constructor(store: Store, house: House, found: readonly string[]) {
    this.#store = store
    this.#house = house
    this.#found = found
  }

  static async find(store: Store, house: House): Promise<Orphans> {
    if (await store.get(knownKey)) return new Orphans(store, house, [])
    const differences = await house.reconciler.differences()
    const found = differences.flatMap(({ changes }) =>
      changes.flatMap(change => (change.op === 'remove' ? [describe(change.have)] : [])),
    )
    const orphans = new Orphans(store, house, found)
    if (found.length === 0) await orphans.forget()
    else house.sweeps = false
    return orphans
  }

  /** One line each. */
  get found(): readonly string[] {
    return this.#found
  }

  /** From now on they are surplus like any other. */
  async forget(): Promise<void> {
    await this.#store.commit([{ key: knownKey, value: { at: Date.now() } }])
    this.#found = []
    this.#house.sweeps = true
  }
}
