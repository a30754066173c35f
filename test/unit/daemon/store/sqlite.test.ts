import type { SqliteOptions } from '../../../../daemon/store/sqlite.ts'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempDisposableSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { schemaSteps } from '../../../../daemon/store/schema.ts'
import { SqliteStore } from '../../../../daemon/store/sqlite.ts'
import { UserError } from '../../../../plugin-api/answer.ts'

function within(act: (path: string, directory: string) => Promise<void>): () => Promise<void> {
  return async () => {
    using directory = mkdtempDisposableSync(join(tmpdir(), 'weft-sqlite-'))
    await act(join(directory.path, 'state', 'weft.db'), directory.path)
  }
}

function refused(path: string, code: string, options: SqliteOptions = {}): UserError {
  try {
    new SqliteStore(path, options)[Symbol.dispose]()
  } catch (cause) {
    if (!(cause instanceof UserError)) throw cause
    assert.is(cause.code, code, cause.text)
    assert.match(cause.text, path)
    return cause
  }
  throw new Error(`${path} was opened`)
}

test(
  'sqlite store: what was committed is there after opening again',
  within(async path => {
    {
      using store = new SqliteStore(path)
      await store.commit([
        { key: 'a', value: { n: 1 } },
        { key: 'b', value: 2 },
      ])
    }
    using store = new SqliteStore(path)
    assert.equal(
      (await store.list('')).map(({ key, value }) => [key, value]),
      [
        ['a', { n: 1 }],
        ['b', 2],
      ],
    )
  }),
)

test(
  'sqlite store: revisions go on growing after opening again',
  within(async path => {
    let before: number
    {
      using store = new SqliteStore(path)
      await store.commit([{ key: 'a', value: 1 }])
      before = (await store.get('a'))?.revision ?? 0
      await store.commit([{ key: 'a' }])
    }
    using store = new SqliteStore(path)
    await store.commit([{ key: 'a', value: 1 }])
    assert.ok(((await store.get('a'))?.revision ?? 0) > before)
  }),
)

test(
  "sqlite store: file and directory are its owner's alone",
  within(async path => {
    using store = new SqliteStore(path)
    await store.commit([{ key: 'a', value: 1 }])
    assert.is(statSync(join(path, '..')).mode & 0o777, 0o700)
    assert.is(statSync(path).mode & 0o777, 0o600)
    assert.is(statSync(`${path}-wal`).mode & 0o777, 0o600)
  }),
)

test(
  'sqlite store: a file that others may read is closed to them',
  within(async path => {
    new SqliteStore(path)[Symbol.dispose]()
    chmodSync(path, 0o644)
    using store = new SqliteStore(path)
    await store.commit([{ key: 'a', value: 1 }])
    assert.is(statSync(path).mode & 0o777, 0o600)
  }),
)

test(
  'sqlite store: changes go through a write-ahead log',
  within(async path => {
    new SqliteStore(path)[Symbol.dispose]()
    using database = new DatabaseSync(path)
    assert.equal({ ...database.prepare('PRAGMA journal_mode').get() }, { journal_mode: 'wal' })
  }),
)

test(
  'sqlite store: a second opening is refused while the first lives, in this process and in another',
  within(async path => {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'committer.ts'), path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    const error = refused(path, 'STATE_LOCKED', { lockTimeoutMs: 10 })
    assert.match(error.text, 'another process')
    child.kill('SIGKILL')
    await once(child, 'close')

    using store = new SqliteStore(path)
    refused(path, 'STATE_LOCKED', { lockTimeoutMs: 10 })
    // The refused attempt must not have taken the first one's lock away (POSIX locks end with any close of the file).
    const other = spawn(process.execPath, [join(import.meta.dirname, 'committer.ts'), path], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let complaint = ''
    other.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
    await once(other, 'close')
    assert.match(complaint, 'STATE_LOCKED')
    await store.commit([{ key: 'still', value: 'mine' }])
  }),
)

test(
  'sqlite store: kill -9 during commits loses nothing that was acknowledged',
  within(async path => {
    let acknowledged = 0
    for (let round = 0; round < 5; round += 1) {
      const file = `${path}-${round}`
      const child = spawn(process.execPath, [join(import.meta.dirname, 'committer.ts'), file], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let printed = ''
      child.stdout.on('data', (chunk: Buffer) => {
        printed += chunk.toString()
        if (printed.split('\n').length > 20 * (round + 1)) child.kill('SIGKILL')
      })
      await once(child, 'close')
      const last = Number(printed.slice(0, printed.lastIndexOf('\n')).split('\n').at(-1))
      assert.ok(last >= 20, printed)
      acknowledged += last

      using store = new SqliteStore(file)
      const numbers = (await store.list('odd/')).map(({ value }) => (value as { number: number }).number)
      const kept = numbers.length
      assert.ok(kept === last || kept === last + 1, `${kept} kept, ${last} acknowledged`)
      assert.equal(
        numbers.toSorted((a, b) => a - b),
        Array.from({ length: kept }, (_, index) => index + 1),
      )
      assert.is((await store.get('last'))?.value, kept, 'both writes of a commit or none')
    }
    console.log(`${acknowledged} commits acknowledged before 5 kills, none lost`)
  }),
)

test(
  'sqlite store: a file that is no database is named, and left as it is',
  within(async path => {
    mkdirSync(join(path, '..'))
    writeFileSync(path, 'not a database '.repeat(1000))
    const before = readFileSync(path)
    assert.match(refused(path, 'STATE_CORRUPT').text, 'backup')
    assert.equal(readFileSync(path), before)
    assert.not(existsSync(`${path}-wal`))
  }),
)

test(
  'sqlite store: a damaged page is found at opening',
  within(async path => {
    {
      using store = new SqliteStore(path)
      await store.commit(Array.from({ length: 2000 }, (_, index) => ({ key: `key/${index}`, value: 'x'.repeat(100) })))
    }
    const bytes = readFileSync(path)
    bytes.fill(0xee, 8 * 4096, 12 * 4096)
    writeFileSync(path, bytes)
    refused(path, 'STATE_CORRUPT')
    assert.equal(readFileSync(path), bytes)
  }),
)

test(
  'sqlite store: a value that is no JSON is named',
  within(async path => {
    new SqliteStore(path)[Symbol.dispose]()
    {
      using database = new DatabaseSync(path)
      database.exec(`INSERT INTO record VALUES ('network/1', '{"half', 1)`)
    }
    using store = new SqliteStore(path)
    for (const read of [() => store.get('network/1'), () => store.list('')]) {
      try {
        await read()
        assert.unreachable('was read')
      } catch (cause) {
        assert.instance(cause, UserError)
        assert.match((cause as UserError).text, 'network/1')
        assert.is((cause as UserError).code, 'STATE_CORRUPT')
      }
    }
  }),
)

test(
  'sqlite store: steps bring an older schema up and keep its records',
  within(async path => {
    {
      using store = new SqliteStore(path)
      await store.commit([{ key: 'a', value: 1 }])
    }
    const steps = [...schemaSteps, 'UPDATE record SET value = value + 1', 'CREATE TABLE later (n INTEGER) STRICT']
    for (let opening = 0; opening < 2; opening += 1) {
      using store = new SqliteStore(path, { steps })
      assert.is((await store.get('a'))?.value, 2, 'each step once')
    }
  }),
)

test(
  'sqlite store: a step that fails leaves the older schema as it was',
  within(async path => {
    {
      using store = new SqliteStore(path)
      await store.commit([{ key: 'a', value: 1 }])
    }
    const steps = [...schemaSteps, "UPDATE record SET value = '7'", 'nonsense']
    assert.throws(() => new SqliteStore(path, { steps }), /syntax error/)
    using store = new SqliteStore(path)
    assert.is((await store.get('a'))?.value, 1)
  }),
)

test(
  'sqlite store: a newer schema is refused and left as it is',
  within(async path => {
    {
      using store = new SqliteStore(path, { steps: [...schemaSteps, 'CREATE TABLE newer (n INTEGER) STRICT'] })
      await store.commit([{ key: 'a', value: 1 }])
    }
    const before = readFileSync(path)
    assert.match(refused(path, 'STATE_NEWER').text, `schema ${schemaSteps.length + 1}`)
    assert.equal(readFileSync(path), before)
  }),
)

test(
  'sqlite store: a directory that cannot be made is named',
  within(async (path, directory) => {
    writeFileSync(join(directory, 'state'), '')
    refused(path, 'STATE_UNUSABLE')
  }),
)

test(
  'sqlite store: closing twice is closing once',
  within(async path => {
    const store = new SqliteStore(path)
    store[Symbol.dispose]()
    store[Symbol.dispose]()
  }),
)

test.run()
