/** When the kernel is compared with the wishes: at start, on a timer, on events, after a failure; and how it is mended. */
import { networkIdOf } from './records.ts'
import type { SettleFact } from './metrics.ts'
import { hostOwner, type House } from './house.ts'
import { textOf, type Difference, type Done, type Settled } from './reconcile.ts'

export interface SettleReport {
  /** Milliseconds since 1970; 0 before the first one. */
  readonly at: number
  readonly tookMs: number
  readonly changes: number
  /** What could not be mended, one line each. */
  readonly degraded: readonly string[]
}

export interface SettlerOptions {
  readonly settleSeconds: number
  readonly prepare: () => Promise<void>
  readonly observe: (fact: SettleFact) => void
}

const eventPauseMs = 250
/** Somebody who undoes our changes as fast as we make them must not become a busy loop. */
const fightWindowMs = 5_000
const longestPauseMs = 10_000

export class Settler {
  readonly #house: House
  readonly #settleMs: number
  readonly #prepare: () => Promise<void>
  readonly #observe: (fact: SettleFact) => void
  #timer: NodeJS.Timeout | undefined
  #dueAt = Infinity
  #running: Promise<Settled> | undefined
  #pauseMs = eventPauseMs
  #stopped = false
  report: SettleReport = { at: 0, tookMs: 0, changes: 0, degraded: [] }

  /** `prepare` gathers facts and evidence, and changes wishes accordingly, before they are compared. */
  constructor(house: House, options: SettlerOptions) {
    const { settleSeconds, prepare, observe } = options
    this.#house = house
    this.#prepare = prepare
    this.#observe = observe
    this.#settleMs = settleSeconds * 1000
  }

  /** Soon, so that a burst of events is one comparison; `now` for changes to weft's own rules, which protect. */
  soon(why: string, options: { readonly now?: boolean } = {}): void {
    const pauseMs = options.now && this.#pauseMs === eventPauseMs ? 0 : this.#pauseMs
    this.#house.log.debug({ why, pauseMs }, 'settle asked for')
    this.#schedule(pauseMs)
  }

  /** One full comparison. Calls that come while one runs get that one's result. */
  run(): Promise<Settled> {
    this.#running ??= this.#settle().finally(() => {
      this.#running = undefined
      this.#schedule(this.#settleMs)
    })
    return this.#running
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
  }

  #schedule(pauseMs: number): void {
    const at = Date.now() + pauseMs
    if (this.#stopped || at >= this.#dueAt) return
    clearTimeout(this.#timer)
    this.#dueAt = at
    this.#timer = setTimeout(() => {
      this.#dueAt = Infinity
      // One that runs already may have looked before the event: another one follows it.
      Promise.resolve(this.#running)
        .then(() => this.run())
        .catch((cause: unknown) => {
          this.#house.log.error({ err: cause }, 'settle failed')
        })
    }, pauseMs)
  }

  async #settle(): Promise<Settled> {
    const started = performance.now()
    await this.#prepare()
    const done: Done[] = []
    const failed: Settled['failed'][number][] = []
    for (const difference of await this.#house.reconciler.differences()) {
      if (difference.owner === undefined && !this.#house.sweeps) continue
      const settled = await this.#mend(difference)
      done.push(...settled.done)
      failed.push(...settled.failed)
    }
    const tookMs = Math.round(performance.now() - started)
    this.#note(done, failed, tookMs)
    return { done, failed }
  }

  /** In the turn of the network that it concerns, so that a request waits for one network at most. */
  #mend(difference: Difference): Promise<Settled> {
    const { lanes, reconciler } = this.#house
    const { owner } = difference
    const work = async (): Promise<Settled> => {
      const fresh = (await reconciler.differences()).find(other => other.owner === owner)
      return fresh ? reconciler.mend(fresh) : { done: [], failed: [] }
    }
    return owner === undefined || owner === hostOwner ? lanes.alone(work) : lanes.run(networkIdOf(owner), work)
  }

  #note(done: readonly Done[], failed: Settled['failed'], tookMs: number): void {
    const degraded = failed.map(({ owner, text, cause }) => `${owner}: ${text}: ${messageOf(cause)}`)
    const fought = done.length > 0 && Date.now() - this.report.at < fightWindowMs && this.report.changes > 0
    this.#pauseMs = fought ? Math.min(this.#pauseMs * 2, longestPauseMs) : eventPauseMs
    this.#observe({ ms: tookMs, changes: done.length, failures: failed.length })
    this.report = { at: Date.now(), tookMs, changes: done.length, degraded }
    if (done.length > 0) {
      const changes = done.slice(0, 20).map(({ change }) => textOf(change))
      this.#house.log.info({ changes, count: done.length, tookMs }, 'kernel mended')
    }
    for (const { owner, text, cause } of failed) this.#house.log.warn({ owner, change: text, err: cause }, 'not mended')
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
