import { FakeKernel } from '../../native/kernel/fake.ts'
import type { Change } from '../../native/kernel/kernel.ts'
import type { Resource } from '../../native/kernel/resource.ts'

/** A kernel in memory that takes as long as a test wants to remove such things. */
export class HeldKernel extends FakeKernel {
  readonly #released = Promise.withResolvers<undefined>()
  readonly #isHeld: (gone: Resource) => boolean

  constructor(isHeld: (gone: Resource) => boolean) {
    super()
    this.#isHeld = isHeld
  }

  /** From now on nothing takes long any more. */
  release(): void {
    this.#released.resolve(undefined)
  }

  override async apply(changes: readonly Change[]): Promise<void> {
    for (const change of changes) {
      if (change.op === 'remove' && this.#isHeld(change.have)) await this.#released.promise
      await super.apply([change])
    }
  }
}
