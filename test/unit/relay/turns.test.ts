import { setImmediate } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Turns } from '../../../native/relay/turns.ts'

test('turns: work is done later, in order, a portion at a time', async () => {
  const turns = new Turns()
  const done: number[] = []
  for (let i = 0; i < 250; i += 1) turns.add(() => done.push(i))
  const seen = [done.length]
  for (let i = 0; i < 4; i += 1) {
    await setImmediate()
    seen.push(done.length)
  }
  assert.equal(seen, [0, 100, 200, 250, 250])
  assert.equal(
    done,
    Array.from({ length: 250 }, (_, i) => i),
  )
})

test('turns: work that is not wanted any more is left out, and later work is still done', async () => {
  const turns = new Turns()
  const done: string[] = []
  const unwanted = (): unknown => done.push('unwanted')
  turns.add(unwanted)
  turns.remove(unwanted)
  await setImmediate()
  turns.add(() => done.push('wanted'))
  await setImmediate()
  assert.equal(done, ['wanted'])
})

test.run()
