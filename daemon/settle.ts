/** When the kernel is compared with the wishes: at start, on a timer, on events, after a failure; and how it is mended. */
import type { Change } from '../native/kernel/kernel.ts'
import { keyOf, type Resource } from '../native/kernel/resource.ts'
import { networkIdOf } from './records.ts'
import type { SettleFact } from './metrics.ts'
import { hostOwner, type House } from './house.ts'
import { textOf, type Difference, type Done, type Reconciler, type Settled } from './reconcile.ts'
import { Rests } from './rests.ts'

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
  /** Weft's rules were gone or changed, and are loaded again: meanwhile anything may have begun. */
  readonly restored?: () => void
}

const eventPauseMs = 250
/** After a comparison that could not be made. */
const failurePauseMs = 5_000

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
  readonly #restored: () => void
  #restoring: Promise<void> | undefined
  /** One that has not begun to look sees what happens until then. */
  #restoreDue = false
  #timer: NodeJS.Timeout | undefined
  /** Milliseconds, of the clock that nobody sets. */
  #dueAt = Infinity
  #running: Promise<Settled> | undefined
  readonly #rests = new Rests()
  #stopped = false
  /** Before requests are served nothing runs beside a settle: what was read is not read again. */
  #serving = false
  report: SettleReport = { at: 0, tookMs: 0, changes: 0, degraded: [], rulesStand: true }

  /** `prepare` gathers facts and evidence, and changes wishes accordingly, before they are compared. */
  constructor(house: House, options: SettlerOptions) {
    const { settleSeconds, prepare, observe, restored = () => undefined } = options
    this.#house = house
    this.#prepare = prepare
    this.#observe = observe
    this.#restored = restored
    this.#settleMs = settleSeconds * 1000
  }

  /** Soon, so that a burst of events is one comparison; `now` for changes to weft's own rules, which protect. */
  soon(why: string, { now = false }: { readonly now?: boolean } = {}): void {
    const pauseMs = now ? 0 : eventPauseMs
    this.#house.log.debug({ why, pauseMs }, 'settle asked for')
    if (now && !this.#restoreDue) {
      this.#restoreDue = true
      this.#restoring = this.#restore(this.#restoring)
    }
    this.#schedule(pauseMs)
  }

  /** One full comparison; nothing rests, somebody waits for it. Calls that come while one runs get that one's result. */
  run(): Promise<Settled> {
    return this.#begin(() => true)
  }

  #begin(mayMend: (change: Change) => boolean): Promise<Settled> {
    this.#running ??= this.#settled(mayMend)
    return this.#running
  }

  async #settled(mayMend: (change: Change) => boolean): Promise<Settled> {
    let pauseMs = this.#settleMs
    try {
      return await this.#settle(mayMend)
    } catch (cause) {
      // The rules may be gone as well as not.
      this.report = { ...this.report, rulesStand: false }
      pauseMs = Math.min(pauseMs, failurePauseMs)
      throw cause
    } finally {
      this.#running = undefined
      this.#schedule(pauseMs)
    }
  }

  /** From now on requests change the wishes while the kernel is compared with them. */
  serve(): void {
    this.#serving = true
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#restoring
    await this.#running
  }

  /**
   * While weft's rules are gone everything is open: they wait neither for turns nor for what else a settle reads. What
   * fails here the settle that follows meets again, and reports.
   */
  async #restore(before: Promise<void> | undefined): Promise<void> {
    await before
    this.#restoreDue = false
    if (this.#stopped || !this.#serving) return
    const started = performance.now()
    try {
      const { done } = await this.#house.reconciler.restoreRules(hostOwner)
      if (done.length === 0) return
      const tookMs = Math.round(performance.now() - started)
      this.#house.log.info({ count: done.length, tookMs }, 'rules loaded again')
      this.#restored()
    } catch (cause) {
      this.#house.log.debug({ err: cause }, 'rules not loaded again')
    }
  }

  #schedule(pauseMs: number): void {
    const at = performance.now() + pauseMs
    if (this.#stopped || at >= this.#dueAt) return
    clearTimeout(this.#timer)
    this.#dueAt = at
    this.#timer = setTimeout(() => {
      this.#dueAt = Infinity
      // One that runs already may have looked before the event: another one follows it.
      Promise.resolve(this.#running)
        .then(() => this.#begin(change => this.#isRested(change)))
        .catch((cause: unknown) => {
          this.#house.log.error({ err: cause }, 'settle failed')
        })
    }, pauseMs)
  }

  /** What rests is looked at again when it has rested. Rules of weft protect: they never rest. */
  #isRested(change: Change): boolean {
    const resource = subjectOf(change)
    if (resource.type === 'ruleset' || resource.type === 'element') return true
    const leftMs = this.#rests.leftOf(keyOf(resource))
    if (leftMs > 0) this.#schedule(leftMs)
    return leftMs === 0
  }

  async #settle(mayMend: (change: Change) => boolean): Promise<Settled> {
    const started = performance.now()
    const done: Done[] = []
    const failed = [...(await this.#prepare())]
    const { reconciler, sweeps } = this.#house
    const differences = async (): Promise<readonly Difference[]> =>
      (await reconciler.differences())
        .map(({ changes, ...rest }) => ({ ...rest, changes: changes.filter(mayMend) }))
        .filter(({ changes }) => changes.length > 0)
    for (const [lane, some] of Map.groupBy(await differences(), laneOf)) {
      if (lane === surplusLane && !sweeps) continue
      const settled = this.#serving
        ? await this.#mendInTurn(lane, new Set(some.map(({ owner }) => owner)), differences)
        : await mendAll(reconciler, some)
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
  #mendInTurn(
    lane: string,
    owners: ReadonlySet<string | undefined>,
    differences: () => Promise<readonly Difference[]>,
  ): Promise<Settled> {
    const { lanes, reconciler } = this.#house
    const work = async (): Promise<Settled> => {
      const fresh = await differences()
      return mendAll(
        reconciler,
        fresh.filter(({ owner }) => owners.has(owner)),
      )
    }
    return lane === surplusLane || lane === hostOwner ? lanes.alone(work) : lanes.run(lane, work)
  }

  #note(done: readonly Done[], failed: Settled['failed'], tookMs: number): void {
    if (done.some(({ change }) => subjectOf(change).type === 'ruleset')) this.#restored()
    const degraded = failed.map(({ owner, text, cause }) => `${owner}: ${text}: ${messageOf(cause)}`)
    this.#rests.note(done.map(({ change }) => keyOf(subjectOf(change))))
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

function subjectOf(change: Change): Resource {
  return change.op === 'remove' ? change.have : change.want
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
