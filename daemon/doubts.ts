/** Two looks at the engine's list, this far apart, before what it lacks is given up. */
export const doubtMs = 2_000

/** What has been lacking, and since when: one look is no evidence, for things come and go while somebody looks. */
export class Doubts {
  /** Milliseconds, of the clock that nobody sets. */
  readonly #since = new Map<string, number>()
  /** What the look that goes on has asked about: the rest is not there any more. */
  readonly #asked = new Set<string>()

  beginLook(): void {
    this.#asked.clear()
  }

  endLook(): void {
    for (const what of this.#since.keys()) if (!this.#asked.has(what)) this.#since.delete(what)
  }

  /** True when it has been lacking for so long (ms), over at least two looks. */
  isMissing(what: string, lacking: boolean, doubt: number): boolean {
    this.#asked.add(what)
    const since = this.#since.get(what)
    if (!lacking) this.#since.delete(what)
    else if (since === undefined) this.#since.set(what, performance.now())
    return lacking && since !== undefined && performance.now() - since >= doubt - 50
  }

  has(what: string): boolean {
    return this.#since.has(what)
  }
}
