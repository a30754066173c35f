import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Sessions } from '../../../native/relay/sessions.ts'

function sessions(): { readonly ended: readonly string[]; readonly all: Sessions<string> } {
  const ended: string[] = []
  return { ended, all: new Sessions({ limit: 3, idleMs: 100, end: session => ended.push(session) }) }
}

test('sessions: one is found by its key, until it is ended', () => {
  const { ended, all } = sessions()
  all.add('a', 'first', 0)
  assert.is(all.use('a', 1), 'first')
  assert.is(all.use('b', 1), undefined)
  all.end('a')
  all.end('a')
  assert.is(all.use('a', 2), undefined)
  assert.equal([ended, all.size], [['first'], 0])
})

test('sessions: the one that was idle for longest makes room', () => {
  const { ended, all } = sessions()
  for (const key of ['a', 'b', 'c']) all.add(key, key, 0)
  all.use('a', 1)
  all.add('d', 'd', 2)
  all.add('e', 'e', 3)
  assert.equal([ended, all.size], [['b', 'c'], 3])
  assert.is(all.use('a', 4), 'a')
})

test('sessions: they expire in the order of their last use', () => {
  const { ended, all } = sessions()
  for (const [now, key] of ['a', 'b', 'c'].entries()) all.add(key, key, now)
  assert.is(all.expire(99), 1)
  all.use('a', 99)
  assert.is(all.expire(101), 1)
  assert.equal(ended, ['b'])
  assert.is(all.expire(102), 97)
  assert.equal(ended, ['b', 'c'])
  assert.is(all.expire(199), undefined)
  assert.equal([ended, all.size], [['b', 'c', 'a'], 0])
})

test('sessions: all are ended once', () => {
  const { ended, all } = sessions()
  all.add('a', 'a', 0)
  all.add('b', 'b', 0)
  all.endAll()
  all.endAll()
  assert.equal([ended, all.expire(1000)], [['a', 'b'], undefined])
})

test.run()
