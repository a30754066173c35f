/** The real kernel: changes become messages, neighbouring changes of nftables one atomic batch. */
import type { Conntrack } from '../conntrack/conntrack.ts'
import type { Nft } from '../nft/batch.ts'
import type { Rtnl } from '../rtnl/rtnl.ts'
import type { Change, Kernel } from './kernel.ts'
import { kindOf, kinds } from './kinds/index.ts'
import type { Machine } from './kinds/kind.ts'
import { batchOf, isBatched, lostRulesets, observeNft, type OwnTable } from './kinds/nftables.ts'
import { HeldPorts } from './ports.ts'
import type { IfName, Observed, Resource, Ruleset } from './resource.ts'

export interface LinuxParts {
  readonly rtnl: Rtnl
  readonly nft: Nft
  /** Told of every change of nftables once it is made. Without it, flows keep the translation that they began with. */
  readonly conntrack?: Pick<Conntrack, 'forget'>
  /** weft's own: looked for also when nobody wishes them. */
  readonly tables: readonly OwnTable[]
  /** A removal that was queued failed. */
  readonly onLost: (name: IfName, cause: unknown) => void
  /** Called before and after every step: tests crash there. */
  readonly point?: () => void
}

export class LinuxKernel implements Kernel, Disposable {
  readonly #parts: LinuxParts
  readonly #machine: Machine

  constructor(parts: LinuxParts) {
    const { rtnl, onLost } = parts
    this.#parts = parts
    this.#machine = { rtnl, ports: new HeldPorts(), onLost }
  }

  async observe(wishes: Iterable<Resource>): Promise<readonly Observed[]> {
    const { rtnl, nft, tables } = this.#parts
    const wished = [...wishes]
    const all = await rtnl.links()
    const leaving = rtnl.removing
    const links = all.filter(({ name }) => !leaving.has(name))
    const seen = await Promise.all(Object.values(kinds).map(kind => kind.observe(this.#machine, wished, links)))
    return [...seen.flat(), ...(await observeNft(nft, wished, tables))]
  }

  lost(rulesets: readonly Ruleset[]): Promise<readonly Ruleset[]> {
    return lostRulesets(this.#parts.nft, rulesets)
  }

  async apply(changes: readonly Change[]): Promise<void> {
    for (const step of stepsOf(changes)) {
      this.#parts.point?.()
      if (isBatched(subject(step[0]))) {
        await this.#parts.nft.commit(batchOf(step))
        await this.#parts.conntrack?.forget(step)
      } else for (const change of step) await this.#change(change)
      this.#parts.point?.()
    }
  }

  idle(): Promise<void> {
    return this.#parts.rtnl.idle()
  }

  [Symbol.dispose](): void {
    this.#machine.ports.releaseAll()
  }

  async #change(change: Change): Promise<void> {
    const kind = kindOf(subject(change))
    switch (change.op) {
      case 'create':
        await kind.create(this.#machine, change.want)
        break
      case 'update':
        await kind.update(this.#machine, change.want, change.have)
        break
      case 'recreate':
        await kind.remove(this.#machine, change.have)
        this.#parts.point?.()
        await kind.create(this.#machine, change.want)
        break
      case 'remove':
        await kind.remove(this.#machine, change.have)
        break
    }
  }
}

type Step = readonly [Change, ...Change[]]

/** Runs of neighbouring nftables changes, and every other change on its own. */
function stepsOf(changes: readonly Change[]): readonly Step[] {
  const steps: [Change, ...Change[]][] = []
  for (const change of changes) {
    const last = steps.at(-1)
    if (last && isBatched(subject(change)) && isBatched(subject(last[0]))) last.push(change)
    else steps.push([change])
  }
  return steps
}

function subject(change: Change): Resource {
  return change.op === 'remove' ? change.have : change.want
}
