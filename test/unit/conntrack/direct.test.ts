/** Which flows are ended after the rules were gone: `from>to`, `!` translated, `+` answered. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { directAmong } from '../../../native/conntrack/direct.ts'
import type { Flow } from '../../../native/conntrack/messages.ts'
import { ipToBytes, type Cidr, type Ip } from '../../../native/value/ip.ts'

const segments = [
  { pool: '10.30.0.0/24' as Cidr, internal: false },
  { pool: '10.31.0.0/24' as Cidr, internal: false },
  { pool: '10.32.0.128/25' as Cidr, internal: true },
  { pool: 'fd00:30::/64' as Cidr, internal: false },
]

function flow(text: string): Flow {
  const [, from = '', to = '', marks = ''] = /^([^>]+)>([^!+]+)([!+]*)$/.exec(text) ?? []
  const ip = (source: string, destination: string): NonNullable<Flow['original']> => {
    const [a, b] = [ipToBytes(source as Ip), ipToBytes(destination as Ip)]
    return { ip: from.includes(':') ? { source6: a, destination6: b } : { source4: a, destination4: b } }
  }
  const translated = from.includes(':') ? 'fd00:99::1' : '203.0.113.9'
  const status = marks.includes('+') ? 2 : 0
  return { original: ip(from, to), reply: ip(to, marks.includes('!') ? translated : from), status }
}

const cases: Readonly<Record<string, readonly string[]>> = {
  'into a segment from outside': ['192.0.2.12>10.30.0.9+', '192.0.2.12>10.30.0.9', 'fd00:2::12>fd00:30::9+'],
  'from one segment to another': ['10.31.0.2>10.30.0.9+', '10.30.0.9>10.32.0.129+'],
  'out of an internal one': ['10.32.0.130>192.0.2.12+'],
  'out, untranslated and not answered': ['10.30.0.9>192.0.2.12', 'fd00:30::9>fd00:2::12'],
}
const kept = [
  // Answered already: the next packet may come from outside.
  '10.30.0.9>192.0.2.12+',
  // Translated: a published port's, or masqueraded.
  '10.30.0.9>192.0.2.12!',
  '10.30.0.9>10.31.0.2!+',
  // Inside of one segment, the host's address in it included.
  '10.30.0.1>10.30.0.9+',
  // None of weft's: 10.32.0.0/25 is beside the segment.
  '10.32.0.5>192.0.2.12',
  '192.0.2.12>10.32.0.5',
  'fd00:31::9>fd00:2::12',
]

for (const [what, texts] of Object.entries(cases)) {
  test(`direct flows: ${what}`, () => {
    assert.is(directAmong(texts.map(flow), segments).length, texts.length)
  })
}

test('direct flows: all others stay', () => {
  const among = kept.map(flow)
  assert.equal(
    kept.filter((_, index) => directAmong(among, segments).includes(among[index] as Flow)),
    [],
  )
})

test('direct flows: what the kernel shows of no address stays', () => {
  assert.equal(directAmong([{}, { original: {}, reply: {} }], segments), [])
})

test.run()
