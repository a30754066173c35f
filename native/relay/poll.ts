/** Waits for datagrams of any number of sockets in one thread of the pool, as long as there are any sockets. */
import { writeSync } from 'node:fs'
import * as libc from '../ffi/libc.ts'

interface Wait {
  readonly epoll: number
  readonly end: number
}

export class Poll {
  readonly #readers = new Map<number, () => void>()
  #wait: Wait | undefined
  /** A thread that waits would hold up `process.exit` for ever. */
  readonly #stop = (): void => {
    if (this.#wait) writeSync(this.#wait.end, new BigUint64Array([1n]))
    this.#wait = undefined
    process.removeListener('exit', this.#stop)
  }

  /** `read` is called as long as something waits at the socket, and must not throw. */
  add(fd: number, read: () => void): void {
    this.#wait ??= this.#start()
    libc.epollAdd(this.#wait.epoll, fd)
    this.#readers.set(fd, read)
  }

  /** Comes before the socket is closed. */
  remove(fd: number): void {
    if (!this.#readers.delete(fd) || !this.#wait) return
    libc.epollRemove(this.#wait.epoll, fd)
    if (this.#readers.size === 0) this.#stop()
  }

  #start(): Wait {
    const wait = openWait()
    process.once('exit', this.#stop)
    void this.#run(wait)
    return wait
  }

  async #run({ epoll, end }: Wait): Promise<void> {
    for (;;) {
      const ready = await libc.epollWait(epoll)
      if (ready.includes(end)) break
      // One may have been removed by another's reader meanwhile.
      for (const fd of ready) this.#readers.get(fd)?.()
    }
    libc.close(epoll)
    libc.close(end)
  }
}

function openWait(): Wait {
  const epoll = libc.epollCreate()
  let end: number | undefined
  try {
    end = libc.eventfd()
    libc.epollAdd(epoll, end)
    return { epoll, end }
  } catch (error) {
    if (end !== undefined) libc.close(end)
    libc.close(epoll)
    throw error
  }
}
