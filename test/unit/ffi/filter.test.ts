import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { beside, compileFilter } from '../../../native/ffi/filter.ts'

test('filter: rows become instructions, and ways to go become distances', () => {
  const bytes = compileFilter([
    ['word', beside.hasVlanTag],
    ['equal', 0, { yes: 2, no: 'next' }],
    ['half', 12],
    ['anyBit', 0x0fff, { yes: 'drop', no: 'next' }],
    ['byte', 54],
    ['equal', 135, { yes: 'accept', no: 'drop' }],
  ])
  assert.equal(Buffer.from(bytes).toString('hex').match(/.{16}/g), [
    '2000000030f0ffff',
    '1500020000000000',
    '280000000c000000',
    '45000200ff0f0000',
    '3000000036000000',
    '1500010087000000',
    '0600000000000000',
    '06000000ffff0000',
  ])
})

test.run()
