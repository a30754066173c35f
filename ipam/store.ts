/** Durable records: JSON values under path-like keys, `network/ID`, `endpoint/NETWORK/ID`, `pool/ID`, `lease/POOL/ADDRESS`. */
export interface Versioned {
  readonly key: string
  readonly value: unknown
  /** Grows with every commit of the key; never 0. */
  readonly revision: number
}

/** No `value`: the key is removed, and need not exist. */
export interface Write {
  readonly key: string
  readonly value?: unknown
  /** Revision that must still be current; 0 means "must not exist". */
  readonly expect?: number
}

/** A comparison failed: somebody else changed the key. Nothing was written. */
export class Conflict extends Error {
  readonly key: string

  constructor(key: string) {
    super(`${key} was changed by somebody else`)
    this.name = 'Conflict'
    this.key = key
  }
}

export interface CommitOptions {
  /**
   * What the writes must survive. Default `power`: they are on the disk, which may take as long as the disk is busy.
   * `process`: the next boot ends what they tell of anyway, so it is enough that the kernel has them.
   */
  readonly survives?: 'power' | 'process'
}

export interface Store {
  get(key: string): Promise<Versioned | undefined>
  /** In the order of keys. */
  list(prefix: string): Promise<readonly Versioned[]>
  /** All writes or none; durable when it resolves. Rejects with Conflict. */
  commit(writes: readonly Write[], options?: CommitOptions): Promise<void>
}
