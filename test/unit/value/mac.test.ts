import type { Mac } from '../../../native/value/mac.ts'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isUsableMac, macFromBytes, macToBytes, parseMac } from '../../../native/value/mac.ts'

test('parseMac: lower case with colons, from either separator', () => {
  assert.is(parseMac('02:42:AC:11:00:02'), '02:42:ac:11:00:02')
  assert.is(parseMac('02-42-ac-11-00-02'), '02:42:ac:11:00:02')
})

for (const text of [
  '',
  '02:42:ac:11:00',
  '02:42:ac:11:00:02:03',
  '02:42:ac:11:00:0',
  '02:42-ac:11:00:02',
  '0242.ac11.0002',
  'zz:42:ac:11:00:02',
  ' 02:42:ac:11:00:02',
  '02:42:ac:11:00:02\n',
]) {
  test(`parseMac: ${JSON.stringify(text)} is no MAC`, () => {
    assert.is(parseMac(text), undefined)
  })
}

test('isUsableMac: neither group addresses nor zeros', () => {
  assert.ok(isUsableMac(mac('02:42:ac:11:00:02')))
  assert.ok(isUsableMac(mac('00:00:00:00:00:01')))
  assert.not(isUsableMac(mac('01:00:5e:00:00:01')))
  assert.not(isUsableMac(mac('ff:ff:ff:ff:ff:ff')))
  assert.not(isUsableMac(mac('00:00:00:00:00:00')))
})

test('MAC: text and bytes are two forms of one', () => {
  const bytes = Uint8Array.of(0x02, 0x00, 0x0a, 0xff, 0x10, 0x01)
  assert.is(macFromBytes(bytes), '02:00:0a:ff:10:01')
  assert.equal(macToBytes(mac('02:00:0a:ff:10:01')), bytes)
})

function mac(text: string): Mac {
  const parsed = parseMac(text)
  if (parsed === undefined) throw new Error(text)
  return parsed
}

test.run()
