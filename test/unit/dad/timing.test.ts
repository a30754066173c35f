import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { scheduleOf } from '../../../native/dad/timing.ts'

test('timing: fast asks three times, and is done within 600 ms', () => {
  const { pausesMs, listenMs } = scheduleOf('fast')
  assert.is(pausesMs.length, 3)
  assert.ok(pausesMs.reduce((sum, pause) => sum + pause, listenMs) <= 600)
})

test('timing: rfc5227 waits at random, within the bounds of section 1.1', () => {
  assert.equal(
    scheduleOf('rfc5227', () => 0),
    { pausesMs: [0, 1000, 1000], listenMs: 2000 },
  )
  assert.equal(
    scheduleOf('rfc5227', () => 1),
    { pausesMs: [1000, 2000, 2000], listenMs: 2000 },
  )
  const drawn = new Set(Array.from({ length: 20 }, () => scheduleOf('rfc5227').pausesMs).flat())
  assert.is(drawn.size, 60)
})

test.run()
