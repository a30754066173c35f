/** Work in small portions, so that the program's other work gets its turn between them. */

/** Of about 0.05 ms each. */
const portion = 100

export class Turns {
  readonly #waiting = new Set<() => void>()
  #planned = false

  /** Calls `work`, which must not throw, soon. */
  add(work: () => void): void {
    this.#waiting.add(work)
    this.#plan()
  }

  remove(work: () => void): void {
    this.#waiting.delete(work)
  }

  #plan(): void {
    if (this.#planned || this.#waiting.size === 0) return
    this.#planned = true
    setImmediate(() => {
      this.#planned = false
      let left = portion
      for (const work of this.#waiting) {
        if (left-- === 0) break
        this.#waiting.delete(work)
        work()
      }
      this.#plan()
    })
  }
}
