import type { CommitOptions, Store, Write } from '../../../ipam/store.ts'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Journal, type Step } from '../../../ipam/journal.ts'

/** Shows each commit, and lets the test say when and how it ends. */
class SlowStore implements Store {
  readonly commits: {
    readonly writes: readonly Write[]
    readonly survives: CommitOptions['survives']
    end(cause?: Error): Promise<void>
  }[] = []

  async get(): Promise<undefined> {
    return undefined
  }

  async list(): Promise<readonly []> {
    return []
  }

  commit(writes: readonly Write[], { survives }: CommitOptions = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = async (cause?: Error): Promise<void> => {
        if (cause) reject(cause)
        else resolve()
        await new Promise(setImmediate)
      }
      this.commits.push({ writes, survives, end })
    })
  }
}

/** What was asked in this turn is decided. */
function turn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

test('journal: answers when the writes are durable, not before', async () => {
  const store = new SlowStore()
  const told: string[] = []
  const done = new Journal(store)
    .run(() => ({ answer: 'granted', writes: [{ key: 'a', value: 1 }] }))
    .then(answer => told.push(answer))
  await turn()
  assert.is(store.commits.length, 1)
  assert.equal(told, [])
  await store.commits[0]?.end()
  await done
  assert.equal(told, ['granted'])
})

test('journal: a commit survives as much as the most lasting of its requests must', async () => {
  const store = new SlowStore()
  const journal = new Journal(store)
  const ask = (key: string, more: Pick<Step<never>, 'survives'> = {}): Promise<undefined> =>
    journal.run(() => ({ answer: undefined, writes: key === '' ? [] : [{ key, value: 1 }], ...more }))
  const short = { survives: 'process' } as const
  const all = [ask('a')]
  await turn()
  all.push(ask('b', short), ask('c'), ask(''))
  await store.commits[0]?.end()
  await store.commits[1]?.end()
  all.push(ask('d', short))
  await turn()
  all.push(ask('e', short), ask(''))
  await store.commits[2]?.end()
  await store.commits[3]?.end()
  await Promise.all(all)
  assert.equal(
    store.commits.map(({ writes, survives }) => [writes.map(({ key }) => key).join(' '), survives]),
    [
      ['a', 'power'],
      ['b c', 'power'],
      ['d', 'process'],
      ['e', 'process'],
    ],
  )
})

test('journal: requests of one turn share a commit, those that wait share the next, in their order', async () => {
  const store = new SlowStore()
  const journal = new Journal(store)
  const decided: number[] = []
  const ask = (number: number): Promise<number> =>
    journal.run(() => {
      decided.push(number)
      return { answer: number, writes: [{ key: String(number), value: number }] }
    })
  const all = [ask(1), ask(2)]
  await turn()
  all.push(ask(3), ask(4))
  await turn()
  assert.equal(decided, [1, 2], 'nothing is decided on what is not yet promised')
  await store.commits[0]?.end()
  assert.equal(decided, [1, 2, 3, 4])
  assert.equal(
    store.commits.map(({ writes }) => writes.map(({ key }) => key)),
    [
      ['1', '2'],
      ['3', '4'],
    ],
  )
  await store.commits[1]?.end()
  assert.equal(await Promise.all(all), [1, 2, 3, 4])
})

test('journal: a failed commit takes back its decisions, the last first, and tells each caller', async () => {
  const store = new SlowStore()
  const journal = new Journal(store)
  const undone: number[] = []
  const ask = (number: number): Promise<number> =>
    journal.run(() => ({ answer: number, writes: [{ key: 'k', value: number }], undo: () => undone.push(number) }))
  const first = ask(1)
  await turn()
  const outcomes = Promise.allSettled([first, ask(2), ask(3)])
  await store.commits[0]?.end()
  await store.commits[1]?.end(new Error('disk full'))
  assert.equal(
    (await outcomes).map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected'],
  )
  assert.equal(undone, [3, 2])
  const next = journal.run(() => ({ answer: 'goes on', writes: [{ key: 'k', value: 4 }] }))
  await turn()
  await store.commits[2]?.end()
  assert.is(await next, 'goes on')
})

test('journal: a refusal concerns its own caller only', async () => {
  const store = new SlowStore()
  const journal = new Journal(store)
  const first = journal.run(() => ({ answer: 1, writes: [{ key: 'a', value: 1 }] }))
  const refused = journal.run(() => {
    throw new Error('no')
  })
  const last = journal.run(() => ({ answer: 3, writes: [{ key: 'c', value: 3 }] }))
  const outcomes = Promise.allSettled([first, refused, last])
  await turn()
  await store.commits[0]?.end()
  assert.equal(
    (await outcomes).map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
})

test('journal: what changes nothing costs no commit', async () => {
  const store = new SlowStore()
  assert.is(await new Journal(store).run(() => ({ answer: 7, writes: [] })), 7)
  assert.equal(store.commits, [])
})

test('journal: a key is written once in a commit, with the first expectation and the last value', async () => {
  const store = new SlowStore()
  const journal = new Journal(store)
  const write = (writes: readonly Write[]): Promise<undefined> => journal.run(() => ({ answer: undefined, writes }))
  const all = [
    write([{ key: 'a', value: 1, expect: 0 }, { key: 'b' }]),
    write([{ key: 'a' }]),
    write([{ key: 'b', value: 2, expect: 0 }]),
  ]
  await turn()
  assert.equal(store.commits[0]?.writes, [
    { key: 'a', expect: 0 },
    { key: 'b', value: 2 },
  ])
  await store.commits[0]?.end()
  await Promise.all(all)
})

test.run()
