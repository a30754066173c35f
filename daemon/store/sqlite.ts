/**
 * Durable records in one SQLite file: every commit is a transaction that is on disk when it resolves (0.2 ms, and many
 * times that while others write much), or with `survives: 'process'` in the page cache (0.02 ms).
 * One process has the file at a time; the kernel takes the lock back when that process dies.
 */
import type { CommitOptions, Store, Versioned, Write } from '../../ipam/store.ts'
import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite'
import { Conflict } from '../../ipam/store.ts'
import { corrupt, explainSqlite } from './explain.ts'
import { inTransaction, openDatabase, prepareDatabase, schemaSteps } from './schema.ts'

export interface SqliteOptions {
  readonly steps?: readonly string[]
  /** How long a daemon that is about to end may keep the file. */
  readonly lockTimeoutMs?: number
}

type Survives = NonNullable<CommitOptions['survives']>

export class SqliteStore implements Store, Disposable {
  readonly #path: string
  readonly #database: DatabaseSync
  #survives: Survives = 'power'
  readonly #statements: Readonly<Record<'get' | 'list' | 'put' | 'remove' | 'count', StatementSync>>

  /** Makes file (0600) and directory (0700) if need be. Throws UserError STATE_LOCKED, STATE_NEWER, STATE_CORRUPT, STATE_UNUSABLE. */
  constructor(path: string, { steps = schemaSteps, lockTimeoutMs = 2000 }: SqliteOptions = {}) {
    this.#path = path
    this.#database = this.#explained(() => openDatabase(path, lockTimeoutMs))
    try {
      this.#explained(() => {
        prepareDatabase(this.#database, path, steps)
      })
      this.#statements = this.#explained(() => ({
        get: this.#database.prepare('SELECT value, revision FROM record WHERE key = ?'),
        // char(0x10ffff) sorts behind every other character.
        list: this.#database.prepare(
          'SELECT key, value, revision FROM record WHERE key BETWEEN ?1 AND ?1 || char(0x10ffff) ORDER BY key',
        ),
        put: this.#database.prepare(
          'INSERT INTO record VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision',
        ),
        remove: this.#database.prepare('DELETE FROM record WHERE key = ?'),
        count: this.#database.prepare('UPDATE counter SET revision = revision + 1 RETURNING revision'),
      }))
    } catch (cause) {
      this.#database.close()
      throw cause
    }
  }

  async get(key: string): Promise<Versioned | undefined> {
    const row = this.#explained(() => this.#statements.get.get(key))
    return row && this.#versioned({ key, ...row })
  }

  async list(prefix: string): Promise<readonly Versioned[]> {
    const rows = this.#explained(() => this.#statements.list.all(prefix))
    return rows.map(row => this.#versioned(row))
  }

  async commit(writes: readonly Write[], { survives = 'power' }: CommitOptions = {}): Promise<void> {
    if (writes.length === 0) return
    const texts = writes.map(({ value }) => (value === undefined ? undefined : JSON.stringify(value)))
    this.#explained(() => {
      this.#syncFor(survives)
      inTransaction(this.#database, () => {
        for (const { key, expect } of writes) {
          if (expect === undefined) continue
          if ((this.#statements.get.get(key)?.['revision'] ?? 0) !== expect) throw new Conflict(key)
        }
        const revision = this.#statements.count.get()?.['revision'] ?? 0
        for (const [index, { key }] of writes.entries()) {
          const text = texts[index]
          if (text === undefined) this.#statements.remove.run(key)
          else this.#statements.put.run(key, text, revision)
        }
      })
    })
  }

  [Symbol.dispose](): void {
    if (this.#database.isOpen) this.#database.close()
  }

  /** A commit that is on the disk takes those before it along: the log has one order. */
  #syncFor(survives: Survives): void {
    if (survives === this.#survives) return
    this.#database.exec(`PRAGMA synchronous = ${survives === 'power' ? 'FULL' : 'NORMAL'}`)
    this.#survives = survives
  }

  #versioned(row: Readonly<Record<string, SQLOutputValue>>): Versioned {
    const key = String(row['key'])
    try {
      return { key, value: JSON.parse(String(row['value'])) as unknown, revision: Number(row['revision']) }
    } catch (cause) {
      throw corrupt(this.#path, `the record ${key} is no JSON`, cause)
    }
  }

  #explained<T>(act: () => T): T {
    try {
      return act()
    } catch (cause) {
      throw explainSqlite(this.#path, cause)
    }
  }
}
