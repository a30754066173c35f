import type { Observed, Resource, Ruleset } from './resource.ts'

/** A step from what is there to what is wished. `recreate`: an attribute differs that cannot be changed in place. */
export type Change =
  | { readonly op: 'create'; readonly want: Resource }
  | { readonly op: 'update'; readonly want: Resource; readonly have: Resource }
  | { readonly op: 'recreate'; readonly want: Resource; readonly have: Resource }
  | Removal

export interface Removal {
  readonly op: 'remove'
  readonly have: Resource
}

export interface Kernel {
  /**
   * Everything that carries weft's mark, and of the rest what the wishes name (a sysctl, an adopted bridge).
   * Links whose removal is under way are not there any more.
   */
  observe(wishes: Iterable<Resource>): Promise<readonly Observed[]>
  /** Those of the rule sets that are not there as they are wished. Much quicker than to observe. */
  lost(rulesets: readonly Ruleset[]): Promise<readonly Ruleset[]>
  /**
   * In order; stops at the first failure with a KernelError. Neighbouring changes of nft elements and rule sets are one
   * atomic batch. Removals of links are only queued: `idle` tells when they are done, and settle finds what failed.
   */
  apply(changes: readonly Change[]): Promise<void>
  idle(): Promise<void>
}
