import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLog } from '../../../daemon/log.ts'
import { recordedLog } from '../../support/view.ts'

test('log: a line is an object with time, level, fields and message', () => {
  const { log, lines } = recordedLog()
  log.info({ network: 'abc', changes: 3 }, 'network created')
  const { time, ...rest } = lines[0] ?? {}
  assert.match(String(time), /^\d{4}-\d\d-\d\dT.*Z$/)
  assert.equal(rest, { level: 'info', network: 'abc', changes: 3, msg: 'network created' })
})

test('log: less important lines than the level are left out', () => {
  const lines: string[] = []
  const log = createLog({ logLevel: 'warn', logFormat: 'json' }, { write: line => lines.push(line) })
  log.info('no')
  log.warn('yes')
  assert.is(lines.length, 1)
})

test('log: values with secret names are hidden, however deep and in whatever spelling', () => {
  const { log, lines } = recordedLog()
  log.info({ options: { PSK: 'one', list: [{ apiToken: 'two' }] }, privateKey: 'three', mtu: 1500 }, 'x')
  log.child({ network: 'abc' }).info({ password: 'four' }, 'y')
  log.error({ err: Object.assign(new Error('broken'), { authorization: 'five' }) }, 'z')
  const text = JSON.stringify(lines)
  for (const secret of ['one', 'two', 'three', 'four', 'five']) assert.not.match(text, `"${secret}"`)
  assert.match(text, '1500')
})

test('log: an error carries its stack and its cause', () => {
  const { log, lines } = recordedLog()
  log.error({ err: new Error('outer', { cause: new Error('inner') }) }, 'failed')
  const { err } = lines[0] as { err: { type: string; message: string; stack: string } }
  assert.is(err.type, 'Error')
  assert.match(err.message, 'outer')
  assert.match(err.stack, 'log.test.ts')
  assert.match(err.stack, 'inner')
})

test('log: pretty is a line for people', () => {
  const lines: string[] = []
  const log = createLog({ logLevel: 'info', logFormat: 'pretty' }, { write: line => lines.push(line) })
  log.info({ network: 'abc', token: 'hush' }, 'network created')
  assert.match(lines.join(''), /INFO.*network created/)
  assert.match(lines.join(''), 'network: "abc"')
  assert.not.match(lines.join(''), 'hush')
})

test.run()
