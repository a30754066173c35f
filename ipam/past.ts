/**
 * Leases of endpoints that ended, oldest first. Their addresses rest before somebody else gets them: neighbours remember
 * the one before. And who had one, by its MAC, gets it again. Pure.
 */
import type { Past } from './records.ts'
import type { Ip } from '../native/value/ip.ts'
import { MacShelf } from './shelf.ts'

/** So many are remembered of a pool. The oldest are forgotten, with what is left of their rest. */
export const remembered = 4096

export class PastLeases extends MacShelf<Past> {
  /** When they ended, oldest first. */
  readonly #resting = new Map<Ip, number>()
  #latest = 0

  isResting(address: Ip): boolean {
    return this.#resting.has(address)
  }

  /** Oldest first. */
  get resting(): readonly Ip[] {
    return [...this.#resting.keys()]
  }

  override put(address: Ip, value: Past | undefined): void {
    // Deleted first: a key that stays would keep its place.
    super.put(address, undefined)
    this.#resting.delete(address)
    if (value === undefined) return
    super.put(address, value)
    this.#resting.set(address, value.endedAt)
    if (value.endedAt < this.#latest) this.#sort()
    else this.#latest = value.endedAt
  }

  /** Ends the rest of those that ended before this time, in milliseconds since 1970. Gives them. */
  wake(before: number): readonly Ip[] {
    const woken: Ip[] = []
    for (const [address, endedAt] of this.#resting) {
      if (endedAt > before) break
      this.#resting.delete(address)
      woken.push(address)
    }
    return woken
  }

  /** Those that are to be forgotten when there is one more. */
  get surplus(): readonly Ip[] {
    const count = this.values.size + 1 - remembered
    return count > 0 ? this.values.keys().take(count).toArray() : []
  }

  /** A commit that failed put an old one back. */
  #sort(): void {
    const sorted = [...this.#resting].sort(([, one], [, other]) => one - other)
    this.#resting.clear()
    for (const [address, endedAt] of sorted) this.#resting.set(address, endedAt)
  }
}
