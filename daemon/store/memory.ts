/** A store that forgets: for tests. JSON text is kept, so that what is read back is what a durable store would give. */
import type { Store, Versioned, Write } from '../../ipam/store.ts'
import { Conflict } from '../../ipam/store.ts'

export class MemoryStore implements Store, Disposable {
  readonly #records = new Map<string, { readonly text: string; readonly revision: number }>()
  #revision = 0

  /** Commits so far. */
  get revision(): number {
    return this.#revision
  }

  async get(key: string): Promise<Versioned | undefined> {
    const found = this.#records.get(key)
    return found && { key, value: JSON.parse(found.text) as unknown, revision: found.revision }
  }

  async list(prefix: string): Promise<readonly Versioned[]> {
    return [...this.#records]
      .filter(([key]) => key.startsWith(prefix))
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([key, { text, revision }]) => ({ key, value: JSON.parse(text) as unknown, revision }))
  }

  async commit(writes: readonly Write[]): Promise<void> {
    const texts = writes.map(({ value }) => (value === undefined ? undefined : JSON.stringify(value)))
    for (const { key, expect } of writes) {
      if (expect !== undefined && (this.#records.get(key)?.revision ?? 0) !== expect) throw new Conflict(key)
    }
    this.#revision += 1
    for (const [index, { key }] of writes.entries()) {
      const text = texts[index]
      if (text === undefined) this.#records.delete(key)
      else this.#records.set(key, { text, revision: this.#revision })
    }
  }

  [Symbol.dispose](): void {
    this.#records.clear()
  }
}
