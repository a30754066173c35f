/** What every store promises, asked of each. */
import type { Store } from '../../../../ipam/store.ts'
import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryStore } from '../../../../daemon/store/memory.ts'
import { SqliteStore } from '../../../../daemon/store/sqlite.ts'
import { Conflict } from '../../../../ipam/store.ts'

const stores: Readonly<Record<string, (directory: string) => Store & Disposable>> = {
  memory: () => new MemoryStore(),
  sqlite: directory => new SqliteStore(join(directory, 'weft.db')),
}

for (const [name, open] of Object.entries(stores)) {
  const promise = (what: string, act: (store: Store) => Promise<void>): void => {
    test(`${name} store: ${what}`, async () => {
      using directory = mkdtempDisposableSync(join(tmpdir(), 'weft-store-'))
      using store = open(directory.path)
      await act(store)
    })
  }

  promise('gives back what was committed', async store => {
    const value = { text: 'a "b" \u{1f9f6} \ud800', list: [1, null, { deep: true }], nothing: null }
    await store.commit([{ key: 'network/1', value }])
    assert.equal((await store.get('network/1'))?.value, value)
    assert.is((await store.get('network/1'))?.key, 'network/1')
    assert.is(await store.get('network/2'), undefined)
    await store.commit([{ key: 'null', value: null }])
    assert.is((await store.get('null'))?.value, null)
  })

  promise('keeps nothing that the caller changes later', async store => {
    const value = { list: [1] }
    await store.commit([{ key: 'a', value }])
    value.list.push(2)
    const read = (await store.get('a'))?.value as { list: number[] }
    assert.equal(read, { list: [1] })
    read.list.push(3)
    assert.equal((await store.get('a'))?.value, { list: [1] })
  })

  promise('lists a prefix in the order of keys', async store => {
    const keys = ['b/2', 'a', 'b/10', 'b', 'c/1', 'b/1', 'b0']
    await store.commit(keys.map(key => ({ key, value: key })))
    assert.equal(
      (await store.list('b/')).map(({ key }) => key),
      ['b/1', 'b/10', 'b/2'],
    )
    assert.equal(
      (await store.list('')).map(({ key }) => key),
      [...keys].sort(),
    )
    assert.equal(
      (await store.list('b/')).map(({ value }) => value),
      ['b/1', 'b/10', 'b/2'],
    )
    assert.equal(await store.list('d'), [])
  })

  promise('takes a prefix as it is: no wildcards, no case', async store => {
    await store.commit(['a%/1', 'a_/1', 'ab/1', 'A%/1', 'a%', "a'b/1", 'a*/1', 'a\\/1'].map(key => ({ key, value: 1 })))
    assert.equal(
      (await store.list('a%/')).map(({ key }) => key),
      ['a%/1'],
    )
    assert.equal(
      (await store.list('a_')).map(({ key }) => key),
      ['a_/1'],
    )
    assert.equal(
      (await store.list("a'")).map(({ key }) => key),
      ["a'b/1"],
    )
    assert.equal(
      (await store.list('a\\')).map(({ key }) => key),
      ['a\\/1'],
    )
  })

  promise('removes, also what is not there', async store => {
    await store.commit([
      { key: 'a', value: 1 },
      { key: 'b', value: 2 },
    ])
    await store.commit([{ key: 'a' }, { key: 'never' }])
    assert.is(await store.get('a'), undefined)
    assert.equal(
      (await store.list('')).map(({ key }) => key),
      ['b'],
    )
  })

  promise('a revision grows with every commit of its key, also after a removal', async store => {
    const revisions: number[] = []
    for (const value of [1, 2, undefined, 3]) {
      await store.commit([{ key: 'a', ...(value === undefined ? {} : { value }) }])
      revisions.push((await store.get('a'))?.revision ?? 0)
    }
    const [first = 0, second = 0, removed, third = 0] = revisions
    assert.ok(first > 0)
    assert.ok(second > first)
    assert.is(removed, 0)
    assert.ok(third > second)
  })

  promise('expect: only the revision that is current', async store => {
    await store.commit([{ key: 'a', value: 1, expect: 0 }])
    const first = (await store.get('a'))?.revision ?? 0
    await store.commit([{ key: 'a', value: 2, expect: first }])
    await rejects(() => store.commit([{ key: 'a', value: 3, expect: first }]), 'a')
    await rejects(() => store.commit([{ key: 'a', value: 3, expect: 0 }]), 'a')
    await rejects(() => store.commit([{ key: 'b', expect: first }]), 'b')
    await rejects(() => store.commit([{ key: 'a', expect: first }]), 'a')
    assert.is((await store.get('a'))?.value, 2)
    await store.commit([{ key: 'a', expect: (await store.get('a'))?.revision ?? 0 }])
    assert.is(await store.get('a'), undefined)
  })

  promise('all writes or none', async store => {
    await store.commit([
      { key: 'taken', value: 'old' },
      { key: 'gone', value: 1 },
    ])
    const before = await store.list('')
    await rejects(
      () => store.commit([{ key: 'new', value: 1 }, { key: 'gone' }, { key: 'taken', value: 'new', expect: 0 }]),
      'taken',
    )
    assert.equal(await store.list(''), before)
    await store.commit([])
    assert.equal(await store.list(''), before)
    await store.commit([{ key: 'new', value: 1 }])
    assert.equal((await store.get('new'))?.value, 1, 'goes on after a conflict')
  })

  promise('refuses a value that JSON cannot hold, and writes nothing', async store => {
    const round: Record<string, unknown> = {}
    round['self'] = round
    for (const value of [round, 1n]) {
      try {
        await store.commit([
          { key: 'a', value: 1 },
          { key: 'b', value },
        ])
        assert.unreachable('was accepted')
      } catch (cause) {
        assert.instance(cause, TypeError)
      }
    }
    assert.equal(await store.list(''), [])
  })
}

async function rejects(act: () => Promise<void>, key: string): Promise<void> {
  let caught: unknown
  try {
    await act()
  } catch (cause) {
    caught = cause
  }
  assert.instance(caught, Conflict)
  assert.is((caught as Conflict).key, key)
}

test.run()
