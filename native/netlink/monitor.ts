/**
 * Waits for multicast messages of any number of sockets in one thread of the pool. The sockets may be in different
 * namespaces. What is lost because it came too fast is reported, never passed over.
 */
import { writeSync } from 'node:fs'
import * as libc from '../ffi/libc.ts'
import { walk, type Frame } from './message.ts'

export interface Listener {
  /** All messages of one look at the socket, in order. Must not throw. */
  onFrames(frames: readonly Frame[]): void
  /** Messages were lost: whatever is known from them has to be read again. Comes before the `onFrames` of the rest. */
  onOverrun(): void
}

/** Datagrams read before other work of the program gets its turn; each holds one message. */
const readsPerTurn = 256
const receiveBytes = 128 << 10

export class Monitor implements AsyncDisposable {
  readonly #epoll = libc.epollCreate()
  readonly #end = libc.eventfd()
  readonly #listeners = new Map<number, Listener>()
  readonly #buffer = new Uint8Array(receiveBytes)
  readonly #ended: Promise<void>
  /** A thread that waits would hold up `process.exit` for ever. */
  readonly #stop = (): void => {
    writeSync(this.#end, new BigUint64Array([1n]))
  }

  constructor() {
    libc.epollAdd(this.#epoll, this.#end)
    process.once('exit', this.#stop)
    this.#ended = this.#run()
  }

  /** From `openNetlink` with groups. The monitor owns it from now on. */
  add(fd: number, listener: Listener): void {
    this.#listeners.set(fd, listener)
    libc.epollAdd(this.#epoll, fd)
  }

  /** Closes the socket; needed before its namespace can vanish. */
  remove(fd: number): void {
    if (!this.#listeners.delete(fd)) return
    libc.epollRemove(this.#epoll, fd)
    libc.close(fd)
  }

  /** Ends the wait and closes all sockets. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (process.listeners('exit').includes(this.#stop)) this.#stop()
    process.removeListener('exit', this.#stop)
    await this.#ended
  }

  async #run(): Promise<void> {
    for (;;) {
      const ready = await libc.epollWait(this.#epoll)
      if (ready.includes(this.#end)) break
      for (const fd of ready) {
        // A listener may have removed another one's socket meanwhile.
        const listener = this.#listeners.get(fd)
        if (listener) this.#read(fd, listener)
      }
    }
    for (const fd of [...this.#listeners.keys(), this.#epoll, this.#end]) libc.close(fd)
    this.#listeners.clear()
  }

  #read(fd: number, listener: Listener): void {
    const frames: Frame[] = []
    for (let reads = 0; reads < readsPerTurn; reads += 1) {
      try {
        const length = libc.receive(fd, this.#buffer)
        if (length === undefined) break
        if (length > this.#buffer.length) listener.onOverrun()
        else frames.push(...walk(this.#buffer.slice(0, length)))
      } catch (error) {
        if (!libc.isOverrun(error)) throw error
        listener.onOverrun()
      }
    }
    if (frames.length > 0) listener.onFrames(frames)
  }
}
