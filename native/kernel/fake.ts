/** A kernel in memory for tests without rights: keeps resources, fails where it is told to, and prints what is left. */
import { kernelError } from '../netlink/errors.ts'
import { compare } from './diff.ts'
import type { Change, Kernel } from './kernel.ts'
import { describe, keyOf, standsOn, type Observed, type Resource, type Ruleset } from './resource.ts'

export class FakeKernel implements Kernel {
  readonly #things = new Map<string, Resource>()
  readonly #foreign = new Set<string>()
  readonly #absent = new Set<string>()
  /** Changes applied since the start. */
  steps = 0
  #failAt: number | undefined

  /** The n-th change from now on (0: the next one) fails, once. */
  failOnceAt(step: number): void {
    this.#failAt = this.steps + step
  }

  /** Something made by somebody else, or left over: with weft's mark unless `foreign`. */
  put(resource: Resource, options: { readonly foreign?: boolean } = {}): void {
    this.#things.set(keyOf(resource), resource)
    if (options.foreign) this.#foreign.add(keyOf(resource))
  }

  /** Somebody else removes a thing, or an engine takes a link away. */
  drop(key: string): void {
    if (!this.#things.delete(key)) throw new Error(`the fake kernel has no ${key}`)
  }

  /** A link of the host's that nobody wishes goes, and takes along what was on it. All others are there. */
  lose(name: string): void {
    this.#absent.add(name)
    this.#dropWithLink(name)
  }

  /** It is back, without what was on it. */
  restore(name: string): void {
    this.#absent.delete(name)
  }

  async observe(wishes: Iterable<Resource>): Promise<readonly Observed[]> {
    const wished = [...wishes]
    const named = new Set(wished.map(keyOf))
    // As on Linux: elements are found by the sets that a wished rule set has.
    const seesElements = wished.some(({ type }) => type === 'ruleset')
    return [...this.#things]
      .map(([key, resource]) => ({ key, resource, foreign: this.#foreign.has(key) || resource.type === 'sysctl' }))
      .filter(({ key, foreign, resource }) => (resource.type === 'element' ? seesElements : !foreign || named.has(key)))
  }

  async lost(rulesets: readonly Ruleset[]): Promise<readonly Ruleset[]> {
    return rulesets.filter(want => {
      const have = this.#things.get(keyOf(want))
      return !have || compare(want, have) !== 'same'
    })
  }

  async apply(changes: readonly Change[]): Promise<void> {
    for (const change of changes) {
      if (this.#failAt === this.steps) {
        this.#failAt = undefined
        throw new Error(`the fake kernel was told to fail at ${change.op} ${describe(subject(change))}`)
      }
      this.steps += 1
      this.#apply(change)
    }
  }

  async idle(): Promise<void> {
    // Nothing is ever under way here.
  }

  #apply(change: Change): void {
    if (change.op === 'remove') {
      // As on Linux: a switch is never set back; those of a link go with it.
      if (change.have.type === 'sysctl') return
      this.#things.delete(keyOf(change.have))
      if ('alias' in change.have) this.#dropWithLink(change.have.name)
      return
    }
    const key = keyOf(change.want)
    if ([...this.#absent].some(name => standsOn(change.want, name))) {
      throw kernelError('ENODEV', { op: change.op, object: describe(change.want) })
    }
    if (change.op === 'create' && change.want.type !== 'sysctl' && this.#things.has(key))
      throw new Error(`the fake kernel has ${key} already`)
    if (change.op === 'recreate' && 'alias' in change.have) this.#dropWithLink(change.have.name)
    this.#things.set(key, change.want)
  }

  /** What is on a link vanishes with it, and so do its switches. */
  #dropWithLink(name: string): void {
    for (const [key, resource] of this.#things) {
      if (!standsOn(resource, name)) continue
      this.#things.delete(key)
      if (resource.type === 'child') this.#dropWithLink(resource.name)
    }
  }

  /** One line per thing in the order of creation; switches of the whole host are left out, as they are never set back. */
  toString(): string {
    return [...this.#things.values()]
      .filter(resource => resource.type !== 'sysctl' || /\/conf\/w/.test(resource.key))
      .map(describe)
      .join('\n')
  }
}

function subject(change: Change): Resource {
  return change.op === 'remove' ? change.have : change.want
}
