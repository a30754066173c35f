/** Keeps what is wished and makes the kernel agree with it. Nothing else changes the kernel. */
import { changeFor, diff, leftOf, surplus } from '../native/kernel/diff.ts'
import type { Change, Kernel } from '../native/kernel/kernel.ts'
import { describe, keyOf, type Observed, type Resource } from '../native/kernel/resource.ts'

/** Two owners wish the same thing: two networks want one port, or a plan is wrong. */
export class Claimed extends Error {
  readonly key: string
  readonly holder: string

  constructor(key: string, holder: string) {
    super(`${key} belongs to ${holder}`)
    this.name = 'Claimed'
    this.key = key
    this.holder = holder
  }
}

export interface Difference {
  /** Absent: in the kernel, and nobody wishes it. */
  readonly owner?: string
  readonly changes: readonly Change[]
}

export interface Done {
  readonly owner: string | undefined
  readonly change: Change
}

export interface Settled {
  readonly done: readonly Done[]
  readonly failed: readonly Failure[]
}

export interface Failure {
  readonly owner: string
  readonly text: string
  /** It was weft's own rule set. */
  readonly rules: boolean
  readonly cause: unknown
}

/** What an owner has given up, and the kernel has not yet. */
interface Parting {
  readonly places: ReadonlySet<string>
  readonly over: Promise<void>
}

export class Reconciler {
  readonly #kernel: Kernel
  readonly #onLeft: (failed: readonly Failure[]) => void
  readonly #wishes = new Map<string, readonly Resource[]>()
  readonly #owners = new Map<string, string>()
  readonly #partings = new Set<Parting>()

  /** `onLeft` is told what an undo could not undo: it is surplus, and for settle to remove. */
  constructor(kernel: Kernel, onLeft: (failed: readonly Failure[]) => void = () => undefined) {
    this.#kernel = kernel
    this.#onLeft = onLeft
  }

  /** Notes what an owner wishes without doing it: at start, before the first settle, and when facts change. */
  wish(owner: string, plan: readonly Resource[]): void {
    const seen = new Set<string>()
    for (const key of plan.map(keyOf)) {
      const holder = this.#owners.get(key) ?? owner
      if (holder !== owner || seen.has(key)) throw new Claimed(key, holder)
      seen.add(key)
    }
    for (const gone of this.#wishes.get(owner) ?? []) this.#owners.delete(keyOf(gone))
    for (const key of plan.map(keyOf)) this.#owners.set(key, owner)
    if (plan.length === 0) this.#wishes.delete(owner)
    else this.#wishes.set(owner, plan)
  }

  wishOf(owner: string): readonly Resource[] {
    return this.#wishes.get(owner) ?? []
  }

  ownerOf(key: string): string | undefined {
    return this.#owners.get(key)
  }

  /** Is anything like that wished? */
  some(like: (wish: Resource) => boolean): boolean {
    return [...this.#wishes.values()].some(plan => plan.some(like))
  }

  /**
   * Makes the owner's wish be `plan`. When it fails, the old wish stands and the kernel is as before. What another owner
   * has just given up is waited for: its removal would take away what is made here.
   */
  async set(owner: string, plan: readonly Resource[]): Promise<void> {
    if (this.#partings.size > 0) await this.#parted(plan)
    const old = this.wishOf(owner)
    this.wish(owner, plan)
    await this.#part(without(old, plan), async () => {
      try {
        await this.#kernel.apply(diff(plan, old))
      } catch (cause) {
        this.wish(owner, old)
        await this.#part(without(plan, old), () => this.#undo(owner, [...old, ...plan]))
        throw cause
      }
    })
  }

  /** Removes all that the owner wished. The wish is gone whatever the kernel says; settle sweeps what is left. */
  async drop(owner: string): Promise<void> {
    const old = this.wishOf(owner)
    this.wish(owner, [])
    await this.#part(old, () => this.#kernel.apply(diff([], old)))
  }

  /**
   * Weft's rules alone: rule sets that are gone or changed are loaded again with all the elements that are wished, before
   * anything else is read. `owner`: theirs.
   */
  async restoreRules(owner: string): Promise<Settled> {
    const lost = await this.#kernel.lost(this.wishOf(owner).filter(wish => wish.type === 'ruleset'))
    const tables = new Set(lost.map(({ table }) => table))
    const elements = [...this.#wishes.values()].flat().filter(wish => wish.type === 'element' && tables.has(wish.table))
    const changes = [...lost, ...elements].map((want): Change => ({ op: 'update', want, have: want }))
    return changes.length === 0 ? { done: [], failed: [] } : this.mend({ owner, changes })
  }

  /** What would be changed now. */
  async differences(): Promise<readonly Difference[]> {
    const wished = [...this.#wishes.values()].flat()
    const have = await this.#kernel.observe(wished)
    const there = leftOf(byKey(have), wished)
    const owned = [...this.#wishes.keys()].map(owner => ({ owner, changes: this.#changesOf(owner, there) }))
    const lost = { changes: surplus(have, key => this.#owners.has(key)) }
    return [...this.#withElements(owned), lost].filter(({ changes }) => changes.length > 0)
  }

  /**
   * Makes one difference go away; each change on its own, so that one failure does not stop the others. Only without
   * weft's rules nothing else of theirs is done.
   */
  async mend({ owner, changes }: Difference): Promise<Settled> {
    const done: Done[] = []
    const failed: Failure[] = []
    for (const some of stepsOf(changes)) {
      const step = some.filter(change => this.#stillMeant(change))
      try {
        await this.#kernel.apply(step)
        done.push(...step.map(change => ({ owner, change })))
      } catch (cause) {
        const text = step.map(textOf).slice(0, 3).join(', ')
        const rules = step.some(replacesTable)
        failed.push({ owner: owner ?? 'nobody', text, rules, cause })
        // What comes after them opens ways that they guard: forwarding is switched on.
        if (rules) break
      }
    }
    return { done, failed }
  }

  /** `work` removes these. */
  async #part(gone: readonly Resource[], work: () => Promise<void>): Promise<void> {
    const { promise: over, resolve } = Promise.withResolvers<undefined>()
    const parting = { places: new Set(gone.map(placeOf)), over }
    this.#partings.add(parting)
    try {
      await work()
    } finally {
      this.#partings.delete(parting)
      resolve(undefined)
    }
  }

  /** Nobody waits in a circle: what is waited for began before, and has what it waited for. */
  async #parted(plan: readonly Resource[]): Promise<void> {
    const places = plan.map(placeOf)
    for (;;) {
      const ahead = [...this.#partings].find(parting => places.some(place => parting.places.has(place)))
      if (!ahead) return
      await ahead.over
    }
  }

  /** Since the difference was read, a request may have changed what is wished. */
  #stillMeant(change: Change): boolean {
    return change.op === 'remove' ? !this.#owners.has(keyOf(change.have)) : this.#owners.has(keyOf(change.want))
  }

  #changesOf(owner: string, there: ReadonlyMap<string, Resource>): readonly Change[] {
    return this.wishOf(owner).flatMap(want => changeFor(want, there.get(keyOf(want))))
  }

  /** A rule set and what its sets lack go into one batch, whoever wishes it: closed things are closed from the start. */
  #withElements(differences: readonly Difference[]): readonly Difference[] {
    if (!differences.some(({ changes }) => changes.some(replacesTable))) return differences
    const missing = differences.flatMap(({ changes }) => changes.filter(growsSet))
    return differences.map(({ changes, ...rest }) => {
      const others = changes.filter(change => !growsSet(change))
      const at = others.findIndex(replacesTable) + 1
      return { ...rest, changes: at === 0 ? others : [...others.slice(0, at), ...missing, ...others.slice(at)] }
    })
  }

  async #undo(owner: string, touched: readonly Resource[]): Promise<void> {
    // All wishes, not only this owner's: elements are found by the sets of the rule set, which the host plan has.
    const have = await this.#kernel.observe([...this.#wishes.values(), touched].flat())
    const keys = new Set(touched.map(keyOf))
    const left = surplus(have, key => !keys.has(key) || this.#owners.has(key))
    const back = this.#changesOf(owner, leftOf(byKey(have), this.wishOf(owner)))
    const { failed } = await this.mend({ owner, changes: [...left, ...back] })
    if (failed.length > 0) this.#onLeft(failed)
  }
}

function byKey(have: readonly Observed[]): ReadonlyMap<string, Resource> {
  return new Map(have.map(({ resource }) => [keyOf(resource), resource]))
}

export function textOf(change: Change): string {
  return `${change.op} ${describe(change.op === 'remove' ? change.have : change.want)}`
}

/** Rule sets are one step with what their sets lack, and the first. */
function stepsOf(changes: readonly Change[]): readonly (readonly Change[])[] {
  const isOfRules = (change: Change): boolean => replacesTable(change) || growsSet(change)
  if (!changes.some(replacesTable)) return changes.map(change => [change])
  return [changes.filter(isOfRules), ...changes.filter(change => !isOfRules(change)).map(change => [change])]
}

function without(some: readonly Resource[], others: readonly Resource[]): readonly Resource[] {
  const keys = new Set(others.map(keyOf))
  return some.filter(resource => !keys.has(keyOf(resource)))
}

/** What excludes one another: a port on one address and the same on every address have two keys. */
function placeOf(resource: Resource): string {
  return resource.type === 'port' ? `port ${resource.protocol} ${resource.port}` : keyOf(resource)
}

function replacesTable(change: Change): boolean {
  return change.op !== 'remove' && change.want.type === 'ruleset'
}

function growsSet(change: Change): boolean {
  return change.op !== 'remove' && change.want.type === 'element'
}
