/** Opening the file of records: its lock, its health, its schema. */
import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { UserError } from '../../plugin-api/answer.ts'
import { corrupt, unusable } from './explain.ts'

/** Step n makes schema n+1 of schema n; `user_version` counts those that were made. A released step is never changed. */
export const schemaSteps: readonly string[] = [
  `CREATE TABLE record (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE counter (revision INTEGER NOT NULL) STRICT;
   INSERT INTO counter VALUES (0);`,
]

/** Throws UserError STATE_UNUSABLE, or SQLite's own errors. */
export function openDatabase(path: string, lockTimeoutMs: number): DatabaseSync {
  makeFile(path)
  return new DatabaseSync(path, { timeout: lockTimeoutMs })
}

/** Throws UserError STATE_NEWER, STATE_CORRUPT, or SQLite's own errors. Writes only when everything is in order. */
export function prepareDatabase(database: DatabaseSync, path: string, steps: readonly string[]): void {
  // Held until the file is closed; it also spares the shared-memory file of WAL.
  database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT')
  const have = Number(pragma(database, 'user_version'))
  const health = pragma(database, 'quick_check(1)')
  if (health !== 'ok') throw corrupt(path, String(health))
  if (have > steps.length) {
    throw new UserError('STATE_NEWER', `${path} has schema ${have}, this weftd knows up to ${steps.length}`, {
      hint: 'it was written by a newer weft: install that one again',
    })
  }
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  inTransaction(database, () => {
    for (const step of steps.slice(have)) database.exec(step)
    database.exec(`PRAGMA user_version = ${steps.length}`)
  })
}

export function inTransaction(database: DatabaseSync, act: () => void): void {
  database.exec('BEGIN IMMEDIATE')
  try {
    act()
    database.exec('COMMIT')
  } catch (cause) {
    // A full disk, for one, has ended the transaction already.
    if (database.isTransaction) database.exec('ROLLBACK')
    throw cause
  }
}

function pragma(database: DatabaseSync, name: string): unknown {
  return Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0]
}

/**
 * An empty file is a new database to SQLite, which gives its mode to the -wal beside it. A file that exists is not opened
 * here: closing it would end the locks that this process may have on it.
 */
function makeFile(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    try {
      closeSync(openSync(path, 'wx', 0o600))
    } catch (cause) {
      if (!isErrno(cause, 'EEXIST')) throw cause
      chmodSync(path, 0o600)
    }
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause)
    throw unusable(path, what, 'check the rights of the file and its directory', cause)
  }
}

function isErrno(cause: unknown, code: string): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === code
}
