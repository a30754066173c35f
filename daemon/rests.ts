/**
 * Somebody who undoes what was mended as fast as it is mended must not become a busy loop: each thing that is fought over
 * rests longer and longer. Whatever else is wrong in the kernel does not wait for it.
 */
/** Reloads of another firewall come in several steps, but not again and again. */
const fightWindowMs = 1_000
const firstRestMs = 500
const longestRestMs = 10_000

interface Mending {
  /** Milliseconds, of the clock that nobody sets. */
  readonly at: number
  readonly restMs: number
}

export class Rests {
  readonly #mendings = new Map<string, Mending>()

  /** Milliseconds until the thing may be mended again; 0 when it may be now. */
  leftOf(key: string): number {
    const last = this.#mendings.get(key)
    return last ? Math.max(0, last.at + last.restMs - performance.now()) : 0
  }

  /** These were mended. */
  note(keys: readonly string[]): void {
    const now = performance.now()
    const isFresh = ({ at, restMs }: Mending): boolean => now - at < fightWindowMs + restMs
    for (const [key, mending] of this.#mendings) if (!isFresh(mending)) this.#mendings.delete(key)
    for (const key of keys) {
      const last = this.#mendings.get(key)
      const restMs = last ? Math.min(Math.max(last.restMs * 2, firstRestMs), longestRestMs) : 0
      this.#mendings.set(key, { at: now, restMs })
    }
  }
}
