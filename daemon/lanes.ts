/**
 * Turns: work of one lane runs one after the other, lanes run beside each other, and `alone` runs beside nothing. No name
 * of a lane holds a slash, but for a first one. A turn whose signal was aborted before it came does not begin: it fails with the signal's reason.
 */
export class Lanes {
  readonly #tails = new Map<string, Promise<unknown>>()
  /** `alone` waits for everything queued so far, and what comes later waits for `alone`. */
  #gate: Promise<unknown> = Promise.resolve()

  run<T>(lane: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = Promise.all([this.#gate, this.#tails.get(lane), ...this.#partsOf(lane)])
    return this.#queue(lane, before.then(begin(work, signal)))
  }

  /** A turn of one part of a lane: parts run beside each other, and never beside a turn of the lane itself. */
  part<T>(lane: string, part: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const name = `${lane}/${part}`
    const before = Promise.all([this.#gate, this.#tails.get(lane), this.#tails.get(name)])
    return this.#queue(name, before.then(begin(work, signal)))
  }

  /**
   * A turn inside a turn of another lane. It must not wait for `alone`, which waits for the outer turn. Only for lanes
   * that `run` is never used with: one that waits behind `alone` in such a lane would hold up both.
   */
  within<T>(lane: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#queue(lane, Promise.resolve(this.#tails.get(lane)).then(begin(work, signal)))
  }

  alone<T>(work: () => Promise<T>): Promise<T> {
    const result = Promise.all([this.#gate, ...this.#tails.values()]).then(work)
    this.#gate = result.catch(() => undefined)
    return result
  }

  #partsOf(lane: string): readonly Promise<unknown>[] {
    return [...this.#tails].flatMap(([name, tail]) => (name.startsWith(`${lane}/`) ? [tail] : []))
  }

  #queue<T>(lane: string, result: Promise<T>): Promise<T> {
    // A failed turn is its caller's to handle; the lane goes on.
    const tail = result
      .catch(() => undefined)
      .then(() => {
        if (this.#tails.get(lane) === tail) this.#tails.delete(lane)
      })
    this.#tails.set(lane, tail)
    return result
  }
}

function begin<T>(work: () => Promise<T>, signal: AbortSignal | undefined): () => Promise<T> {
  return () => {
    signal?.throwIfAborted()
    return work()
  }
}
