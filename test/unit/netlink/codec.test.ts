import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as c from '../../../native/netlink/codec.ts'
import type { Ip } from '../../../native/value/ip.ts'
import type { Mac } from '../../../native/value/mac.ts'

const vxlan = c.attrs({ id: [1, c.u32], learning: [7, c.bool8], port: [15, c.be16] })
const isolation = c.attrs({ isolated: [33, c.bool8], id: [9, c.u16] })
const inner = c.attrs({ kind: [1, c.str], data: [2, c.dispatch('kind', { vxlan, port: isolation })] })
const head = c.struct(8, { family: [0, c.u8], index: [4, c.i32] })
const table = c.attrs({
  u8: [1, c.u8],
  u16: [2, c.u16],
  u32: [3, c.u32],
  i32: [4, c.i32],
  u64: [5, c.u64],
  be16: [6, c.be16],
  be32: [7, c.be32],
  be64: [8, c.be64],
  there: [9, c.flag],
  bool: [10, c.bool8],
  name: [11, c.str],
  raw: [12, c.bytes],
  ip4: [13, c.ip4],
  ip6: [14, c.ip6],
  ip: [15, c.ip],
  mac: [16, c.mac],
  info: [18, c.nested(inner)],
  items: [19, c.list(1, inner)],
  numbers: [20, c.list(3, c.be32)],
  peer: [21, c.prefixed(head, vxlan)],
  mode: [22, c.named(c.u16, { bridge: 4, private: 1 })],
})
type Value = c.Infer<typeof table>

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const cases: { name: string; value: Value; hex: string }[] = [
  { name: 'nothing', value: {}, hex: '' },
  { name: 'one byte is padded', value: { u8: 0x7f }, hex: '05000100 7f000000' },
  { name: 'two bytes, host order', value: { u16: 0x1234 }, hex: '06000200 34120000' },
  { name: 'four bytes, host order', value: { u32: 0xfedcba98 }, hex: '08000300 98badcfe' },
  { name: 'a negative number', value: { i32: -2 }, hex: '08000400 feffffff' },
  { name: 'eight bytes, host order', value: { u64: 0x0102030405060708n }, hex: '0c000500 08070605 04030201' },
  { name: 'two bytes, network order', value: { be16: 4789 }, hex: '06000600 12b50000' },
  { name: 'four bytes, network order', value: { be32: 1 }, hex: '08000700 00000001' },
  { name: 'eight bytes, network order', value: { be64: 258n }, hex: '0c000800 00000000 00000102' },
  { name: 'a flag has no payload', value: { there: true }, hex: '04000900' },
  { name: 'false is a byte', value: { bool: false }, hex: '05000a00 00000000' },
  { name: 'a string ends with NUL', value: { name: 'eth0' }, hex: '09000b00 65746830 00000000' },
  { name: 'a string of UTF-8', value: { name: 'ü' }, hex: '07000b00 c3bc0000' },
  { name: 'an empty string', value: { name: '' }, hex: '05000b00 00000000' },
  { name: 'bytes as they are', value: { raw: Buffer.from([1, 2, 3]) }, hex: '07000c00 01020300' },
  { name: 'an IPv4 address', value: { ip4: '192.0.2.1' as Ip }, hex: '08000d00 c0000201' },
  {
    name: 'an IPv6 address',
    value: { ip6: 'fd00::1' as Ip },
    hex: '14000e00 fd000000 00000000 00000000 00000001',
  },
  { name: 'either family, 4 bytes', value: { ip: '10.0.0.1' as Ip }, hex: '08000f00 0a000001' },
  { name: 'either family, 16 bytes', value: { ip: '::1' as Ip }, hex: '14000f00 00000000 00000000 00000000 00000001' },
  { name: 'a number with a name', value: { mode: 'bridge' }, hex: '06001600 04000000' },
  { name: 'a MAC', value: { mac: '02:42:ac:11:00:02' as Mac }, hex: '0a001000 0242ac11 00020000' },
  {
    name: 'a nested table is marked, and chosen by its sibling',
    value: { info: { kind: 'vxlan', data: { id: 100, port: 4789 } } },
    hex: '24001280 0a000100 76786c61 6e000000 14000280 08000100 64000000 06000f00 12b50000',
  },
  {
    name: 'items in a row',
    value: { items: [{ kind: 'a' }, { kind: 'port', data: { isolated: true } }] },
    hex: '2c001380 0c000180 06000100 61000000 1c000180 09000100 706f7274 00000000 0c000280 05002100 01000000',
  },
  { name: 'plain items in a row', value: { numbers: [1, 2] }, hex: '14001480 08000300 00000001 08000300 00000002' },
  {
    name: 'a header before attributes',
    value: { peer: { header: { family: 7, index: 5 }, attrs: { id: 1 } } },
    hex: '14001500 07000000 05000000 08000100 01000000',
  },
  { name: 'the order of the keys', value: { u16: 1, u8: 2 }, hex: '06000200 01000000 05000100 02000000' },
]
for (const { name, value, hex } of cases) {
  test(`codec: ${name}`, () => {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
    assert.is(hexOf(table.encode(value)), bytes.toString('hex'), 'encode')
    assert.equal(table.decode(bytes), value, 'decode')
  })
}

test('codec: what is undefined or false as a flag is not sent', () => {
  assert.is(hexOf(table.encode({ u8: undefined, there: false, u16: 1 })), '0600020001000000')
})

test('codec: unknown attributes and kinds are skipped, marks taken off', () => {
  const bytes = Buffer.from('0800ff0001020304' + '0c001200' + '08000100' + '77670000' + '05004140' + '01000000', 'hex')
  bytes.writeUInt16LE(0x4001, 22)
  assert.equal(table.decode(bytes), { info: { kind: 'wg' }, u8: 1 })
  const unknownKind = '14001280' + '07000100' + '77670000' + '08000280' + '04000100'
  assert.equal(table.decode(Buffer.from(unknownKind, 'hex')), { info: { kind: 'wg' } })
})

test('codec: data before the kind that explains it', () => {
  const hex = '18001280' + '0c000280' + '0800010064000000' + '0a000100' + '76786c616e000000'
  const bytes = Buffer.from(hex, 'hex')
  bytes.writeUInt16LE(bytes.length, 0)
  assert.equal(table.decode(bytes), { info: { kind: 'vxlan', data: { id: 100 } } })
})

test('codec: mistakes are refused', () => {
  assert.throws(() => table.encode({ info: { kind: 'gre', data: { id: 1 } } }), /no table for kind gre/)
  assert.throws(() => table.encode({ ip4: '::1' as Ip }), RangeError)
  assert.throws(() => table.encode({ nonsense: 1 } as Value), /no attribute nonsense/)
  assert.throws(() => table.decode(Buffer.from('0900010000000000', 'hex')), RangeError)
  assert.throws(() => table.decode(Buffer.from('0300010000000000', 'hex')), RangeError)
})

test('codec: a value larger than the first buffer', () => {
  const value: Value = { name: 'x'.repeat(3000), u32: 7, raw: Buffer.alloc(5000, 3) }
  assert.equal(table.decode(table.encode(value)), value)
})

test('codec: random values come back', () => {
  for (let round = 0; round < 200; round += 1) {
    const picked = cases.filter(() => Math.random() < 0.3).map(item => item.value)
    const value = Object.assign({}, ...picked) as Value
    assert.equal(table.decode(table.encode(value)), value)
  }
})

test('struct: gaps are zero, fields have their places', () => {
  assert.is(hexOf(head.encode({ index: 3, family: 10 })), '0a00000003000000')
  assert.is(hexOf(head.encode({})), '0000000000000000')
  assert.equal(head.decode(Buffer.from('0affffff03000000', 'hex')), { family: 10, index: 3 })
  assert.throws(() => head.decode(Buffer.alloc(7)), RangeError)
})

test('struct: bytes as they are', () => {
  const id = c.struct(6, { port: [0, c.be16], raw: [2, c.fixedBytes(4)] })
  const value = { port: 80, raw: Buffer.from([1, 2, 3, 4]) }
  assert.is(hexOf(id.encode(value)), '005001020304')
  assert.equal(id.decode(Buffer.from('005001020304', 'hex')), value)
})

const getlink = c.message({ name: 'getlink', type: 18, reply: 16, header: head, attrs: table })

test('frame: header, sequence, flags', () => {
  const bytes = c.frame(getlink, { index: 2 }, { u8: 1 }, { flags: c.flags.ack, seq: 9 })
  assert.is(
    hexOf(bytes),
    '20000000 1200 0500 09000000 00000000 00000000 02000000 05000100 01000000'.replaceAll(' ', ''),
  )
})

test('walk: several messages, one padded', () => {
  const one = c.frame(getlink, {}, {}, { seq: 1 })
  const odd = Buffer.from('12000000 0200 0000 02000000 07000000 abcd 0000'.replaceAll(' ', ''), 'hex')
  const frames = [...c.walk(Buffer.concat([odd, one]))]
  assert.equal(
    frames.map(({ type, seq, pid, payload }) => ({ type, seq, pid, size: payload.length })),
    [
      { type: 2, seq: 2, pid: 7, size: 2 },
      { type: 18, seq: 1, pid: 0, size: 8 },
    ],
  )
  assert.throws(() => [...c.walk(odd.subarray(0, 16))], RangeError)
})

test('attributeAt: names the attribute of an extended ack, also below others', () => {
  const sent = c.frame(getlink, {}, { u8: 1, info: { kind: 'vxlan', data: { id: 1, port: 2 } } })
  assert.is(c.attributeAt(getlink, sent, 24), 'u8')
  assert.is(c.attributeAt(getlink, sent, 32), 'info')
  assert.is(c.attributeAt(getlink, sent, 48), 'info.data')
  assert.is(c.attributeAt(getlink, sent, 52), 'info.data.id')
  assert.is(c.attributeAt(getlink, sent, 60), 'info.data.port')
  assert.is(c.attributeAt(getlink, sent, 4), undefined)
  assert.is(c.attributeAt(getlink, sent, 4000), undefined)
})

test('codec: a number without a name is nothing on reading, a name without a number an error', () => {
  assert.is(table.decode(Buffer.from('0600160009000000', 'hex')).mode, undefined)
  assert.throws(() => table.encode({ mode: 'vepa' as never }), /no number for vepa/)
})

test.run()
