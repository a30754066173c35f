/** Which peers a relay of datagrams is serving. Pure but for `end`. */

export interface SessionLimits<S> {
  /** At most so many; the one that was idle for longest makes room. */
  readonly limit: number
  readonly idleMs: number
  /** Called once for every session that leaves, in whatever way. */
  readonly end: (session: S) => void
}

export class Sessions<S> {
  readonly #limits: SessionLimits<S>
  /** In the order of their last use. */
  readonly #sessions = new Map<string, { readonly session: S; usedAt: number }>()

  constructor(limits: SessionLimits<S>) {
    this.#limits = limits
  }

  get size(): number {
    return this.#sessions.size
  }

  /** The session, used just now. */
  use(key: string, now: number): S | undefined {
    const entry = this.#sessions.get(key)
    if (!entry) return undefined
    entry.usedAt = now
    this.#sessions.delete(key)
    this.#sessions.set(key, entry)
    return entry.session
  }

  /** The key must be new. */
  add(key: string, session: S, now: number): void {
    const [oldest] = this.#sessions.keys()
    if (oldest !== undefined && this.#sessions.size >= this.#limits.limit) this.end(oldest)
    this.#sessions.set(key, { session, usedAt: now })
  }

  end(key: string): void {
    const entry = this.#sessions.get(key)
    if (!entry) return
    this.#sessions.delete(key)
    this.#limits.end(entry.session)
  }

  /** Ends what was idle for too long. Milliseconds until the next may have been; undefined when none is left. */
  expire(now: number): number | undefined {
    for (const [key, { usedAt }] of this.#sessions) {
      const leftMs = usedAt + this.#limits.idleMs - now
      if (leftMs > 0) return leftMs
      this.end(key)
    }
    return undefined
  }

  endAll(): void {
    for (const key of [...this.#sessions.keys()]) this.end(key)
  }
}
