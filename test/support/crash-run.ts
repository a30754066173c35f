/** What a user sees of a host whose weftd dies: commands are given again, and what is there is compared. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Supervisor } from './crash-supervisor.ts'
import { eventually, type Host } from './lab.ts'

const patience = { timeoutMs: 30_000, pauseMs: 10 }

export class Run {
  readonly #host: Host
  readonly #supervisor: Supervisor
  readonly #isRefusal: (cause: unknown) => boolean
  readonly #agreedMs: number[] = []
  /** Commands that had to be given again, with the refusal. */
  readonly refused: string[] = []

  /** `isRefusal`: is it an engine's refusal, not an error of the test? */
  constructor(host: Host, supervisor: Supervisor, isRefusal: (cause: unknown) => boolean) {
    this.#host = host
    this.#supervisor = supervisor
    this.#isRefusal = isRefusal
  }

  /** As a user: again when it was refused because the daemon died, after `cleanUp`. */
  async command<T>(what: string, work: () => Promise<T>, cleanUp?: () => Promise<unknown>): Promise<T> {
    const { at } = this.#supervisor
    for (let attempt = 1; ; attempt += 1) {
      let refusal: unknown
      try {
        return await work()
      } catch (cause) {
        if (!this.#isRefusal(cause)) throw cause
        refusal = cause
      } finally {
        await this.mended()
      }
      if (this.#supervisor.at === at || attempt > 2) {
        throw new Error(`round ${at}: ${what}, attempt ${attempt}: ${String(refusal)}`, { cause: refusal })
      }
      this.refused.push(`round ${at}: ${what}: ${String(refusal)}`)
      await cleanUp?.()
    }
  }

  /** A daemon serves. If it is another one than before, it finds nothing to do. */
  async mended(): Promise<void> {
    await this.#supervisor.ready()
    if (this.#agreedMs.length === this.#supervisor.crashes.length) return
    const started = performance.now()
    await eventually('kernel and records agree', () => this.#agrees(), patience)
    this.#agreedMs.push(performance.now() - started)
  }

  /** When nothing happens any more: is all as before? A removal in the background may be where the daemon dies. */
  async settled(isAsBefore: () => Promise<boolean>): Promise<void> {
    const { at } = this.#supervisor
    await eventually(
      `all is as before, round ${at}`,
      async () => {
        await this.#supervisor.ready()
        return isAsBefore()
      },
      patience,
    )
    await sleep(30)
    await this.mended()
    await eventually(`kernel and records agree, round ${at}`, () => this.#agrees(), patience)
  }

  figures(): string {
    const { crashes } = this.#supervisor
    const downMs = crashes.map(crash => crash.downMs)
    return `${crashes.length} crashes, down ${spread(downMs)} ms, agreed after ${spread(this.#agreedMs)} ms, ${this.refused.length} commands given again`
  }

  async #agrees(): Promise<boolean> {
    const { status, body } = await this.#host.admin('/v1/diff')
    if (status !== 200 || body !== '[]') throw new Error(`${status} ${body}`)
    return true
  }
}

function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  return `${(sorted[sorted.length >> 1] ?? 0).toFixed(0)} (at most ${(sorted.at(-1) ?? 0).toFixed(0)})`
}
