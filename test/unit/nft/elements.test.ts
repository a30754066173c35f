import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SetShape } from '../../../native/kernel/resource.ts'
import { toRaw, toText, type RawElement, type TextElement } from '../../../native/nft/elements.ts'

const bridges: SetShape = { key: ['ifname'] }
const same: SetShape = { key: ['ifname', 'ifname'] }
const guarded: SetShape = { key: ['nf_proto'] }
const masq4: SetShape = { key: ['ipv4_addr'], interval: true }
const masq6: SetShape = { key: ['ipv6_addr'], interval: true }
const pub4: SetShape = { key: ['ipv4_addr', 'inet_proto', 'inet_service'], data: ['ipv4_addr', 'inet_service'] }
const ports4: SetShape = { key: ['ifname', 'ether_addr', 'ipv4_addr'] }
const from4: SetShape = { key: ['ipv4_addr', 'ipv4_addr'], interval: true }
const blackhole6: SetShape = { key: ['ifname', 'ipv6_addr'], interval: true }
const snat4: SetShape = { key: ['ipv4_addr'], data: ['ipv4_addr'], interval: true }
const pub6any: SetShape = { key: ['inet_proto', 'inet_service'], data: ['ipv6_addr', 'inet_service'] }

const cases: readonly {
  readonly name: string
  readonly shape: SetShape
  readonly text: TextElement
  /** Key, or key:data, or first-last; `end` marks the first key after an interval. */
  readonly raw: readonly string[]
}[] = [
  {
    name: 'a name fills 16 bytes',
    shape: bridges,
    text: { key: 'wbabc' },
    raw: ['77626162630000000000000000000000'],
  },
  {
    name: 'a pair of names is 32 bytes',
    shape: same,
    text: { key: 'a . b' },
    raw: [`61${'00'.repeat(15)}62${'00'.repeat(15)}`],
  },
  { name: 'a single byte is not padded', shape: guarded, text: { key: 'ipv6' }, raw: ['0a'] },
  {
    name: 'fields of a concatenation are padded to 4 bytes, ports in network order',
    shape: pub4,
    text: { key: '192.0.2.1 . udp . 53', value: '172.18.0.2 . 5353' },
    raw: ['c00002011100000000350000:ac12000214e90000'],
  },
  {
    name: 'IPv6 data',
    shape: pub6any,
    text: { key: 'tcp . 8080', value: 'fd00::2 . 80' },
    raw: ['060000001f900000:fd00000000000000000000000000000200500000'],
  },
  {
    name: 'a protocol without a name is a number',
    shape: pub6any,
    text: { key: '200 . 1', value: ':: . 0' },
    raw: [`c800000000010000:${'00'.repeat(20)}`],
  },
  {
    name: 'a prefix is where it begins and the end',
    shape: masq4,
    text: { key: '10.9.0.0/24' },
    raw: ['0a090000', '0a090100 end'],
  },
  { name: 'a single address', shape: masq4, text: { key: '10.9.0.1/32' }, raw: ['0a090001', '0a090002 end'] },
  { name: 'a prefix at the beginning', shape: masq4, text: { key: '0.0.0.0/8' }, raw: ['00000000', '01000000 end'] },
  { name: 'no end at the end of the address space', shape: masq4, text: { key: '255.0.0.0/8' }, raw: ['ff000000'] },
  { name: 'everything', shape: masq4, text: { key: '0.0.0.0/0' }, raw: ['00000000'] },
  {
    name: 'an IPv6 prefix',
    shape: masq6,
    text: { key: 'fd00::/64' },
    raw: ['fd000000000000000000000000000000', 'fd000000000000010000000000000000 end'],
  },
  {
    name: 'a MAC is padded to 8 bytes',
    shape: ports4,
    text: { key: 'wv1 . 02:42:0a:00:00:02 . 10.0.0.2' },
    raw: [`777631${'00'.repeat(13)}02420a00000200000a000002`],
  },
  {
    name: 'a prefix in a concatenation is one element with its first and its last key',
    shape: from4,
    text: { key: '172.18.0.2 . 10.0.0.0/8' },
    raw: ['ac1200020a000000-ac1200020affffff'],
  },
  {
    name: 'a single address in a concatenation',
    shape: from4,
    text: { key: '172.18.0.2 . 192.0.2.1/32' },
    raw: ['ac120002c0000201-ac120002c0000201'],
  },
  {
    name: 'everything in a concatenation',
    shape: blackhole6,
    text: { key: 'br0 . ::/0' },
    raw: [`627230${'00'.repeat(29)}-627230${'00'.repeat(13)}${'ff'.repeat(16)}`],
  },
  {
    name: 'the value of a prefix is with its begin',
    shape: snat4,
    text: { key: '10.9.0.0/24', value: '192.0.2.1' },
    raw: ['0a090000:c0000201', '0a090100 end'],
  },
  { name: 'the last IPv6 prefix', shape: masq6, text: { key: 'ffff::/16' }, raw: [`ffff${'00'.repeat(14)}`] },
]

function parseRaw(text: string): RawElement {
  const [bytes = '', end] = text.split(' ')
  const [keys = '', data] = bytes.split(':')
  const [key = '', keyEnd] = keys.split('-')
  return {
    key: Buffer.from(key, 'hex'),
    ...(keyEnd !== undefined && { keyEnd: Buffer.from(keyEnd, 'hex') }),
    ...(data !== undefined && { data: Buffer.from(data, 'hex') }),
    ...(end && { end: true }),
  }
}

function printRaw({ key, keyEnd, data, end }: RawElement): string {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  return `${hex(key)}${keyEnd ? `-${hex(keyEnd)}` : ''}${data ? `:${hex(data)}` : ''}${end ? ' end' : ''}`
}

for (const { name, shape, text, raw } of cases) {
  test(`elements: ${name}`, () => {
    assert.equal(toRaw(shape, text).map(printRaw), raw)
    assert.equal(toText(shape, raw.map(parseRaw)), [text])
  })
}

test('elements: adjacent prefixes stay apart, in whatever order they come', () => {
  const keys = ['10.0.0.0/24', '10.0.1.0/24', '10.0.2.0/23', '10.0.8.0/24']
  const raw = keys.flatMap(key => toRaw(masq4, { key }))
  assert.equal(
    toText(masq4, raw.toReversed()),
    keys.map(key => ({ key })),
  )
})

test('elements: an end without a beginning, as nft puts it at zero, is nothing', () => {
  const raw = [parseRaw('00000000 end'), ...toRaw(masq4, { key: '10.0.0.0/8' })]
  assert.equal(toText(masq4, raw), [{ key: '10.0.0.0/8' }])
})

test('elements: an interval that is no prefix reads as a range', () => {
  assert.equal(toText(masq4, [parseRaw('0a000001'), parseRaw('0a000004 end')]), [{ key: '10.0.0.1-10.0.0.3' }])
})

test('elements: without a last key a concatenation ends with a single address', () => {
  assert.equal(toText(from4, [parseRaw('ac120002c0000201')]), [{ key: '172.18.0.2 . 192.0.2.1/32' }])
})

test('elements: ranges that only others write are shown, in a concatenation too', () => {
  const raw = [parseRaw('ac1200020a000001-ac1200030a000003')]
  assert.equal(toText(from4, raw), [{ key: '172.18.0.2-172.18.0.3 . 10.0.0.1-10.0.0.3' }])
})

test('elements: values stay with their prefixes, adjacent ones too', () => {
  const elements = [
    { key: '10.0.0.0/24', value: '192.0.2.1' },
    { key: '10.0.1.0/24', value: '192.0.2.2' },
  ]
  const raw = elements.flatMap(element => toRaw(snat4, element))
  assert.equal(toText(snat4, raw.toReversed()), elements)
})

const wrong: readonly [SetShape, TextElement, RegExp][] = [
  [bridges, { key: 'sixteen-bytes-xx' }, /is no ifname/],
  [bridges, { key: '' }, /is no ifname/],
  [pub4, { key: 'tcp . 80', value: '10.0.0.1 . 80' }, /expected ipv4_addr \. inet_proto \. inet_service/],
  [pub4, { key: '192.0.2.1 . tcp . 65536', value: '10.0.0.1 . 80' }, /"65536" is no inet_service/],
  [pub4, { key: 'fd00::1 . tcp . 80', value: '10.0.0.1 . 80' }, /"fd00::1" is no ipv4_addr/],
  [pub4, { key: '192.0.2.1 . tcp . 80' }, /a map needs a value/],
  [masq4, { key: 'fd00::/8' }, /is no IPv4 prefix/],
  [masq4, { key: '10.0.0.1' }, /is no IPv4 prefix/],
  [masq4, { key: '10.0.0.1 . 10.0.0.0/8' }, /expected ipv4_addr$/],
  [from4, { key: '172.18.0.2 . 10.0.0.1' }, /is no IPv4 prefix/],
  [from4, { key: '10.0.0.0/8' }, /expected ipv4_addr \. ipv4_addr/],
  [blackhole6, { key: 'br0 . 10.0.0.0/8' }, /is no IPv6 prefix/],
  [snat4, { key: '10.0.0.0/8' }, /a map needs a value/],
  [ports4, { key: 'wv1 . 02:42:0a . 10.0.0.2' }, /"02:42:0a" is no ether_addr/],
  [{ key: ['inet_service'], interval: true }, { key: '10.0.0.0/8' }, /intervals of inet_service are not supported/],
  [guarded, { key: 'ipv5' }, /is no nf_proto/],
]
for (const [shape, text, message] of wrong) {
  test(`elements: "${text.key}" is refused in ${shape.key.join(' . ')}`, () => {
    assert.throws(() => toRaw(shape, text), message)
  })
}

test.run()
