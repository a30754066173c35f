/**
 * Removal of links. The kernel waits 16 ms and more for each removal, but hardly longer for many at once: those that
 * come together are put into a group of their own, which is removed by one message.
 */
import { randomInt } from 'node:crypto'
import type { KernelError } from './errors.ts'
import type { NetlinkSocket, Request } from './socket.ts'

/** The messages of a lane, which are rtnl's to know. */
export interface LinkRemoval {
  setGroup(name: string, group: number): Request
  removeGroup(group: number): Request
  remove(name: string): Request
}

export interface LaneOptions {
  /** How long to wait for company. */
  readonly collectMs?: number
  /** The kernel's lock is held for a whole group: about 1 ms for each of its links. */
  readonly groupLimit?: number
  /**
   * Number of the first group; each one is used once. By default it is drawn for each lane, so that what an earlier
   * process left in a group is not removed with ours.
   */
  readonly firstGroup?: number
  /** Called before and after every message: tests crash there. */
  readonly point?: (() => void) | undefined
}

interface Removal {
  readonly done: Promise<void>
  readonly settle: (error?: Error) => void
}

export class DeleteLane {
  readonly #socket: Pick<NetlinkSocket, 'batch'>
  readonly #messages: LinkRemoval
  readonly #collectMs: number
  readonly #groupLimit: number
  readonly #point: () => void
  #group: number
  #waiting: string[] = []
  readonly #removals = new Map<string, Removal>()
  #running: Promise<void> | undefined

  constructor(socket: Pick<NetlinkSocket, 'batch'>, messages: LinkRemoval, options: LaneOptions = {}) {
    this.#socket = socket
    this.#messages = messages
    this.#collectMs = options.collectMs ?? 5
    this.#groupLimit = options.groupLimit ?? 100
    this.#point = options.point ?? ((): undefined => undefined)
    this.#group = options.firstGroup ?? randomInt(0x1000_0000, 0x7000_0000)
  }

  /** Resolves when the link is gone, or was not there. Rejects with KernelError. */
  remove(name: string): Promise<void> {
    const known = this.#removals.get(name)
    if (known) return known.done
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const settle = (error?: Error): void => {
      this.#removals.delete(name)
      if (error === undefined) resolve(undefined)
      else reject(error)
    }
    this.#removals.set(name, { done: promise, settle })
    this.#waiting.push(name)
    this.#running ??= this.#run()
    return promise
  }

  /** Names of links that are queued or under way. */
  get removing(): ReadonlySet<string> {
    return new Set(this.#removals.keys())
  }

  /** Resolves when no removal of this name is under way, however it ended. */
  async finished(name: string): Promise<void> {
    await Promise.allSettled([this.#removals.get(name)?.done])
  }

  /** Resolves when nothing is queued or under way. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running
  }

  async #run(): Promise<void> {
    await new Promise(resolve => setTimeout(resolve, this.#collectMs))
    while (this.#waiting.length > 0) {
      const names = this.#waiting.splice(0, this.#groupLimit)
      try {
        await this.#removeAll(names)
      } catch (error) {
        const failure = error instanceof Error ? error : new Error(String(error))
        for (const name of names) this.#removals.get(name)?.settle(failure)
      }
    }
    this.#running = undefined
  }

  async #removeAll(names: readonly string[]): Promise<void> {
    const rest = names.length > 1 ? await this.#removeAsGroup(names) : names
    if (rest.length === 0) return
    const errors = await this.#send(rest.map(name => this.#messages.remove(name)))
    for (const [index, name] of rest.entries()) this.#removals.get(name)?.settle(unlessGone(errors[index]))
  }

  /** Returns those that must be removed one by one. */
  async #removeAsGroup(names: readonly string[]): Promise<readonly string[]> {
    const group = this.#group
    this.#group += 1
    const errors = await this.#send(names.map(name => this.#messages.setGroup(name, group)))
    const rest: string[] = []
    const grouped: string[] = []
    for (const [index, name] of names.entries()) {
      const error = errors[index]
      if (!error) grouped.push(name)
      else if (error.errno === 'ENODEV') this.#removals.get(name)?.settle()
      else rest.push(name)
    }
    if (grouped.length === 0) return rest
    const [failure] = await this.#send([this.#messages.removeGroup(group)])
    if (unlessGone(failure)) return [...rest, ...grouped]
    for (const name of grouped) this.#removals.get(name)?.settle()
    return rest
  }

  async #send(requests: readonly Request[]): ReturnType<NetlinkSocket['batch']> {
    this.#point()
    const errors = await this.#socket.batch(requests)
    this.#point()
    return errors
  }
}

function unlessGone(error: KernelError | undefined): KernelError | undefined {
  return error?.errno === 'ENODEV' ? undefined : error
}
