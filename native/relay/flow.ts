/**
 * Moves the data of connections. Node reads a busy socket up to 32 times before it looks at another, so a few fast
 * connections would keep the program from all other work for a tenth of a second: here all of them share what is moved
 * in one turn of the event loop, one after the other.
 */
import type { Duplex } from 'node:stream'

/** About 2 ms of work. */
const bytesPerTurn = 1 << 20
/** A read of Node's is 64 KB at most. */
const socketsPerTurn = 16

export class Flow {
  /** Resume functions of sockets that wait for the next turn. */
  readonly #waiting = new Set<() => void>()
  #left = bytesPerTurn
  #planned = false

  /** From one end to the other, and the end of it. Neither side's errors are dealt with. */
  pass(from: Duplex, to: Duplex): void {
    let full = false
    let waits = false
    const goOn = (): void => {
      if (!full && !waits) from.resume()
    }
    const turn = (): void => {
      waits = false
      goOn()
    }
    from.on('data', (chunk: Buffer) => {
      full = !to.write(chunk)
      waits = this.#spend(chunk.length) < 0
      if (waits) this.#waiting.add(turn)
      if (full || waits) from.pause()
    })
    to.on('drain', () => {
      full = false
      goOn()
    })
    from.on('end', () => {
      to.end()
    })
    from.on('close', () => {
      this.#waiting.delete(turn)
    })
  }

  /** What is left of this turn; below 0 it is over. */
  #spend(bytes: number): number {
    this.#left -= bytes
    this.#plan()
    return this.#left
  }

  #plan(): void {
    if (this.#planned) return
    this.#planned = true
    setImmediate(() => {
      this.#planned = false
      this.#left = bytesPerTurn
      let sockets = socketsPerTurn
      for (const turn of this.#waiting) {
        if (sockets-- === 0) break
        this.#waiting.delete(turn)
        turn()
      }
      if (this.#waiting.size > 0) this.#plan()
    })
  }
}
