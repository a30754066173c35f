/**
 * One thing after the other: a request decides on memory alone, and is answered when its writes are durable. Requests
 * that come in one turn of the event loop, or wait while a commit is under way, share one: it costs far more than a write.
 */
import type { CommitOptions, Store, Write } from './store.ts'

type Survives = NonNullable<CommitOptions['survives']>

export interface Step<T> {
  readonly answer: T
  readonly writes: readonly Write[]
  readonly survives?: Survives
  /** Takes the decision back in memory: the writes did not reach the store. */
  readonly undo?: () => void
}

interface Waiting {
  /** Throws what the request is refused with. */
  readonly decide: () => Decided
  readonly reject: (cause: unknown) => void
}

interface Decided {
  readonly writes: readonly Write[]
  readonly survives: Survives
  readonly undo: (() => void) | undefined
  readonly resolve: () => void
  readonly reject: (cause: unknown) => void
}

export class Journal {
  readonly #store: Store
  #waiting: Waiting[] = []
  #busy = false

  constructor(store: Store) {
    this.#store = store
  }

  run<T>(decide: () => Step<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({
        decide: () => {
          const { answer, writes, survives = 'power', undo } = decide()
          return {
            writes,
            survives,
            undo,
            reject,
            resolve: () => {
              resolve(answer)
            },
          }
        },
        reject,
      })
      if (this.#busy) return
      this.#busy = true
      setImmediate(() => void this.#drain())
    })
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const turn = this.#waiting
      this.#waiting = []
      await this.#settle(turn.flatMap(waiting => decideOne(waiting)))
    }
    this.#busy = false
  }

  /** Never rejects: the callers hear of it. */
  async #settle(decided: readonly Decided[]): Promise<void> {
    const writing = decided.filter(one => one.writes.length > 0)
    const survives = writing.every(one => one.survives === 'process') ? 'process' : 'power'
    try {
      if (writing.length > 0) {
        await this.#store.commit(lastOfEachKey(writing.flatMap(one => one.writes)), { survives })
      }
    } catch (cause) {
      for (const one of decided.toReversed()) {
        one.undo?.()
        one.reject(cause)
      }
      return
    }
    for (const one of decided) one.resolve()
  }
}

function decideOne(waiting: Waiting): readonly Decided[] {
  try {
    return [waiting.decide()]
  } catch (cause) {
    waiting.reject(cause)
    return []
  }
}

/** A key may be written once in a commit: the first expectation and the last value count. */
function lastOfEachKey(writes: readonly Write[]): readonly Write[] {
  const byKey = new Map<string, Write>()
  for (const write of writes) {
    const { expect } = byKey.get(write.key) ?? write
    const last = write.value === undefined ? { key: write.key } : { key: write.key, value: write.value }
    byKey.set(write.key, expect === undefined ? last : { ...last, expect })
  }
  return [...byKey.values()]
}
