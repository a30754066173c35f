/** When the kernel is compared with the wishes: at start, on a timer, on events, after a failure; and how it is mended. */
import { networkIdOf } from './records.ts'
import type { SettleFact } from './metrics.ts'
import { hostOwner, type House } from './house.ts'
import { textOf, type Difference, type Done, type Reconciler, type Settled } from './reconcile.ts'

export interface SettleReport {
  /** Milliseconds since 1970; 0 before the first one. */
  readonly at: number
  readonly tookMs: number
  readonly changes: number
  /** What could not be mended, one line each. */
  readonly degraded: readonly string[]
  /** Weft's own rules are loaded: without them nothing that is closed would be. */
  readonly rulesStand: boolean
}

export interface SettlerOptions {
  readonly settleSeconds: number
  /** What of it went wrong: the kernel is compared all the same. */
  readonly prepare: () => Promise<Settled['failed']>
  readonly observe: (fact: SettleFact) => void
}

const eventPauseMs = 250
/** Somebody who undoes our changes as fast as we make them must not become a busy loop. */
const fightWindowMs = 5_000
const longestPauseMs = 10_000

/** What nobody wishes belongs to no network. */
const surplusLane = 'surplus'

function laneOf({ owner }: Difference): string {
  return owner === undefined ? surplusLane : networkIdOf(owner)
}

export class Settler {
  readonly #house: House
  readonly #settleMs: number
  readonly #prepare: SettlerOptions['prepare']
  readonly #observe: (fact: SettleFact) => void
  #timer: NodeJS.Timeout | undefined
  #dueAt = Infinity
  #running: Promise<Settled> | undefined
  #pauseMs = eventPauseMs
  #stopped = false
  /** Before requests are served nothing runs beside a settle: what was read is not read again. */
  #serving = false
  report: SettleReport = { at: 0, tookMs: 0, changes: 0, degraded: [], rulesStand: true }

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

  /** From now on requests change the wishes while the kernel is compared with them. */
  serve(): void {
    this.#serving = true
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
    const done: Done[] = []
    const failed = [...(await this.#prepare())]
    const { reconciler, sweeps } = this.#house
    for (const [lane, differences] of Map.groupBy(await reconciler.differences(), laneOf)) {
      if (lane === surplusLane && !sweeps) continue
      const settled = this.#serving
        ? await this.#mendInTurn(lane, new Set(differences.map(({ owner }) => owner)))
        : await mendAll(reconciler, differences)
      done.push(...settled.done)
      failed.push(...settled.failed)
    }
    const tookMs = Math.round(performance.now() - started)
    this.#note(done, failed, tookMs)
    return { done, failed }
  }

  /**
   * In the turn of the network that it concerns, so that a request waits for one network at most. What was read before
   * the turn came may be old; it is read again once, not for each owner: after a start every published port is missing.
   */
  #mendInTurn(lane: string, owners: ReadonlySet<string | undefined>): Promise<Settled> {
    const { lanes, reconciler } = this.#house
    const work = async (): Promise<Settled> => {
      const fresh = await reconciler.differences()
      return mendAll(
        reconciler,
        fresh.filter(({ owner }) => owners.has(owner)),
      )
    }
    return lane === surplusLane || lane === hostOwner ? lanes.alone(work) : lanes.run(lane, work)
  }

  #note(done: readonly Done[], failed: Settled['failed'], tookMs: number): void {
    const degraded = failed.map(({ owner, text, cause }) => `${owner}: ${text}: ${messageOf(cause)}`)
    const fought =
      done.length > 0 && Date.now() - this.report.at < fightWindowMs + this.#pauseMs && this.report.changes > 0
    this.#pauseMs = fought ? Math.min(this.#pauseMs * 2, longestPauseMs) : eventPauseMs
    this.#observe({ ms: tookMs, changes: done.length, failures: failed.length })
    const rulesStand = !failed.some(({ rules }) => rules)
    this.report = { at: Date.now(), tookMs, changes: done.length, degraded, rulesStand }
    if (done.length > 0) {
      const changes = done.slice(0, 20).map(({ change }) => textOf(change))
      this.#house.log.info({ changes, count: done.length, tookMs }, 'kernel mended')
    }
    for (const { owner, text, cause } of failed) this.#house.log.warn({ owner, change: text, err: cause }, 'not mended')
  }
}

async function mendAll(reconciler: Reconciler, differences: readonly Difference[]): Promise<Settled> {
  const settled: Settled[] = []
  for (const difference of differences) settled.push(await reconciler.mend(difference))
  return { done: settled.flatMap(({ done }) => done), failed: settled.flatMap(({ failed }) => failed) }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
