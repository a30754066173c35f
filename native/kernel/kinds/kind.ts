import type { LinkInfo } from '../../rtnl/link.ts'
import type { Rtnl } from '../../rtnl/rtnl.ts'
import type { IfName, Observed, Resource } from '../resource.ts'
import type { HeldPorts } from '../ports.ts'

/** What the kinds work with. */
export interface Machine {
  readonly rtnl: Rtnl
  readonly ports: HeldPorts
  /** A queued removal failed; settle will find it. */
  readonly onLost: (name: IfName, cause: unknown) => void
}

/** How one sort of resource is read and changed. Neighbouring nftables changes are batched elsewhere. */
export interface Kind<R extends Resource> {
  /** Carrying weft's mark, or named by a wish. */
  observe(machine: Machine, wishes: readonly Resource[], links: readonly LinkInfo[]): Promise<readonly Observed[]>
  create(machine: Machine, want: R): Promise<void>
  update(machine: Machine, want: R, have: R): Promise<void>
  remove(machine: Machine, have: R): Promise<void>
}
