import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../../support/lab/eventually.ts'
import { run, words } from '../../support/lab/process.ts'
import { difference } from '../../support/lab/snapshot.ts'

const before = { links: ['eth0 up', 'lo up'], nft: ['table ip a {', 'accept', 'accept', '}'] }

test('difference: alike is empty', () => {
  assert.is(difference(before, structuredClone(before)), '')
})

test('difference: what came and what went, by section', () => {
  const after = { links: ['lo up', 'wb0 up'], nft: before.nft, listeners: ['tcp 0.0.0.0:80'] }
  assert.is(
    difference(before, after),
    ['links:', '  - eth0 up', '  + wb0 up', 'listeners:', '  + tcp 0.0.0.0:80'].join('\n'),
  )
})

test('difference: a line counts as often as it is there', () => {
  assert.is(difference(before, { ...before, nft: ['table ip a {', 'accept', '}'] }), 'nft:\n  - accept')
})

test('difference: rules in another order are not the same rules', () => {
  const after = { ...before, nft: ['accept', 'table ip a {', 'accept', '}'] }
  assert.is(difference(before, after), 'nft: the same lines in another order')
})

test('eventually: asks until there is an answer', async () => {
  let asked = 0
  const answer = await eventually('the third', () => (++asked < 3 ? undefined : asked), { pauseMs: 1 })
  assert.is(answer, 3)
})

test('eventually: tells what was awaited and the last refusal', async () => {
  const refuse = (): never => {
    throw new Error('not today')
  }
  try {
    await eventually('the moon', refuse, { timeoutMs: 5, pauseMs: 1 })
    assert.unreachable()
  } catch (cause) {
    assert.match((cause as Error).message, /not within 5 ms: the moon: not today/)
  }
})

test('run: rejects with the complaint, and answers it when failure is wanted', async () => {
  const complain = ['sh', '-c', 'echo no such luck >&2; exit 3']
  assert.is(await run(complain, { fails: true }), 'no such luck')
  try {
    await run(complain)
    assert.unreachable()
  } catch (cause) {
    assert.match((cause as Error).message, /exit 3: no such luck/)
  }
})

test('run: success where failure is wanted is a failure', async () => {
  let message = ''
  await run(['echo', 'fine'], { fails: true }).catch((cause: unknown) => {
    message = (cause as Error).message
  })
  assert.match(message, /was to fail, but answered: fine/)
})

test('words: splits at spaces, leaves lists alone', () => {
  assert.equal(words('run  -d probe'), ['run', '-d', 'probe'])
  assert.equal(words(['-f', 'a b']), ['-f', 'a b'])
})

test.run()
