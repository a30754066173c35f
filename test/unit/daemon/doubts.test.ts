import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Doubts } from '../../../daemon/doubts.ts'
import { fakeTime } from '../../support/time.ts'

test('doubts: what lacks is missing when time has passed, not when the clock is set', () => {
  using time = fakeTime()
  const doubts = new Doubts()
  assert.is(doubts.isMissing('network a', true, 2_000), false)
  time.setClock(3_600_000)
  assert.is(doubts.isMissing('network a', true, 2_000), false)
  time.pass(2_000)
  assert.is(doubts.isMissing('network a', true, 2_000), true)
})

test.run()
