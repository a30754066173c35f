import type { Cidr, Ip } from '../../../native/value/ip.ts'
import { isIP } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  addressOf,
  cidrOf,
  contains,
  familyOf,
  hostCidr,
  ipFromBigint,
  ipFromBytes,
  ipToBigint,
  ipToBytes,
  isUnspecified,
  lengthOf,
  networkOf,
  overlaps,
  parseCidr,
  parseIp,
  rangeOf,
} from '../../../native/value/ip.ts'
import { randomFrom, seed } from './random.ts'

const canonical: readonly (readonly [what: string, text: string, expected: string])[] = [
  ['IPv4 as it is', '192.0.2.1', '192.0.2.1'],
  ['lowest and highest IPv4', '0.0.0.0', '0.0.0.0'],
  ['highest IPv4', '255.255.255.255', '255.255.255.255'],
  ['leading zeros of a group go (RFC 5952, 4.1)', '2001:0db8::0001', '2001:db8::1'],
  ['all zero groups are shortened (4.2.1)', '2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
  ['one zero group is not shortened (4.2.2)', '2001:db8::1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['the longest run is shortened (4.2.3)', '2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
  ['the first of equal runs is shortened (4.2.3)', '2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['lower case (4.3)', '2001:DB8::A', '2001:db8::a'],
  ['run at the start', '0:0:0:0:0:0:1:2', '::1:2'],
  ['run at the end', 'fd00:0:0:0:0:0:0:0', 'fd00::'],
  ['nothing but zeros', '0:0:0:0:0:0:0:0', '::'],
  ['loopback', '::1', '::1'],
  ['no zero group at all', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
  ['mapped IPv4 keeps the dotted form (5)', '::ffff:c000:201', '::ffff:192.0.2.1'],
  ['dotted end of another prefix', '64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
]
for (const [what, text, expected] of canonical) {
  test(`parseIp: ${what}`, () => {
    assert.is(parseIp(text), expected)
    assert.is(parseIp(expected), expected, 'canonical text stays')
  })
}

const invalid = [
  '',
  ' ',
  '1.2.3',
  '1.2.3.4.5',
  '1.2.3.256',
  '01.2.3.4',
  '1.2.3.4 ',
  ' 1.2.3.4',
  '1.2.3.-4',
  '1.2.3.4/24',
  '0x1.2.3.4',
  '1..2.3',
  ':',
  ':::',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:8::',
  '::1:2:3:4:5:6:7:8',
  'fe80::1%eth0',
  '12345::',
  'g::',
  '::1.2.3',
  '::1.2.3.256',
  '1.2.3.4::',
  '1:2:3:4:5:6:7:1.2.3.4',
  ':1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:',
  '::1 ',
  '[::1]',
  '1:2:3:4:5:6::7:8:1.2.3.4',
]
for (const text of invalid) {
  test(`parseIp: ${JSON.stringify(text)} is no address`, () => {
    assert.is(parseIp(text), undefined)
  })
}

test('parseIp: accepts what node accepts, and refuses the rest', () => {
  const random = randomFrom(seed)
  const parts = ['', '0', '1', 'ff', 'FFFF', '10000', '255', '256', '1.2.3.4', '01', 'x']
  for (let round = 0; round < 20_000; round += 1) {
    const count = 1 + (random() % 9)
    const separator = random() % 4 === 0 ? '.' : ':'
    const text = Array.from({ length: count }, () => parts[random() % parts.length]).join(separator)
    assert.is(parseIp(text) !== undefined, isIP(text) !== 0, `seed ${seed}: ${JSON.stringify(text)}`)
  }
})

test('addresses: text, number and bytes are three forms of one', () => {
  const random = randomFrom(seed)
  for (let round = 0; round < 5_000; round += 1) {
    // Half of the groups are zero, so that runs of every place and length come up.
    const groups = Array.from({ length: 8 }, () => (random() % 2 === 0 ? 0 : random() & 0xffff))
    const text = groups.map(group => group.toString(16)).join(':')
    const address = parseIp(text)
    if (address === undefined) throw new Error(`seed ${seed}: ${text} refused`)
    assert.is(isIP(address), 6, address)
    assert.is(parseIp(address), address, text)
    assert.is(ipFromBigint(ipToBigint(address), 6), address)
    assert.is(ipFromBytes(ipToBytes(address)), address)
    assert.is(
      ipToBigint(address),
      groups.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n),
    )

    const four = random()
    const dotted = ipFromBigint(BigInt(four), 4)
    assert.is(isIP(dotted), 4, dotted)
    assert.is(ipToBigint(dotted), BigInt(four))
    assert.is(ipFromBytes(ipToBytes(dotted)), dotted)
  }
})

test('parseCidr: keeps host bits, makes the address canonical', () => {
  assert.is(parseCidr('10.0.0.1/24'), '10.0.0.1/24')
  assert.is(parseCidr('FD00:0::1/64'), 'fd00::1/64')
  assert.is(parseCidr('0.0.0.0/0'), '0.0.0.0/0')
  assert.is(parseCidr('::/128'), '::/128')
})

for (const text of [
  '10.0.0.0',
  '10.0.0.0/',
  '10.0.0.0/33',
  '10.0.0.0/08',
  '10.0.0.0/-1',
  '10.0.0.0/+8',
  '10.0.0.0/8/8',
  '/8',
  'fd00::/129',
  'fd00::/64 ',
  '10.0.0.0/255.0.0.0',
  '10.0.0/8',
]) {
  test(`parseCidr: ${JSON.stringify(text)} is no prefix`, () => {
    assert.is(parseCidr(text), undefined)
  })
}

test('prefixes: their parts', () => {
  const cidr = parse('10.1.2.3/20')
  assert.is(addressOf(cidr), '10.1.2.3')
  assert.is(lengthOf(cidr), 20)
  assert.is(networkOf(cidr), '10.1.0.0/20')
  assert.is(familyOf(cidr), 4)
  assert.equal(rangeOf(cidr), { first: ipToBigint(ip('10.1.0.0')), last: ipToBigint(ip('10.1.15.255')) })
  assert.is(networkOf(parse('fd00:1:2:3::9/56')), 'fd00:1:2::/56')
  assert.equal(rangeOf(parse('::/0')), { first: 0n, last: (1n << 128n) - 1n })
  assert.equal(rangeOf(parse('10.0.0.7/32')), { first: ipToBigint(ip('10.0.0.7')), last: ipToBigint(ip('10.0.0.7')) })
  assert.is(hostCidr(ip('10.0.0.7')), '10.0.0.7/32')
  assert.is(hostCidr(ip('::7')), '::7/128')
  assert.is(cidrOf(ip('10.0.0.7'), 8), '10.0.0.7/8')
})

test('contains: addresses, smaller and equal prefixes, never the other family', () => {
  const outer = parse('10.0.0.0/16')
  assert.ok(contains(outer, ip('10.0.255.255')))
  assert.not(contains(outer, ip('10.1.0.0')))
  assert.ok(contains(outer, outer))
  assert.ok(contains(outer, parse('10.0.9.0/24')))
  assert.not(contains(outer, parse('10.0.0.0/15')))
  assert.not(contains(parse('::/0'), outer))
  assert.not(contains(parse('0.0.0.0/0'), ip('::')))
  assert.ok(contains(parse('fd00::/64'), ip('fd00::ffff:ffff:ffff:ffff')))
  assert.not(contains(parse('fd00::/64'), ip('fd00:0:0:1::')))
})

test('overlaps: one inside the other, either way; host bits do not matter', () => {
  assert.ok(overlaps(parse('10.0.0.0/8'), parse('10.9.0.0/24')))
  assert.ok(overlaps(parse('10.9.0.0/24'), parse('10.0.0.0/8')))
  assert.ok(overlaps(parse('10.9.0.1/24'), parse('10.9.0.200/24')))
  assert.not(overlaps(parse('10.9.0.0/24'), parse('10.9.1.0/24')))
  assert.not(overlaps(parse('0.0.0.0/0'), parse('::/0')))
})

test('overlaps: the same as comparing first and last address', () => {
  const random = randomFrom(seed)
  for (let round = 0; round < 5_000; round += 1) {
    const [one, other] = [0, 1].map(() =>
      cidrOf(ipFromBigint(BigInt(random() & 0xff0f) << 8n, 4), 16 + (random() % 17)),
    )
    if (one === undefined || other === undefined) throw new Error('two were made')
    const [a, b] = [rangeOf(one), rangeOf(other)]
    assert.is(overlaps(one, other), a.first <= b.last && b.first <= a.last, `seed ${seed}: ${one} ${other}`)
  }
})

test('isUnspecified: of either family', () => {
  assert.ok(isUnspecified(ip('0.0.0.0')))
  assert.ok(isUnspecified(ip('0::0')))
  assert.not(isUnspecified(ip('::1')))
})

test('ipToBigint: throws at what is no address', () => {
  assert.throws(() => ipToBigint('nonsense' as Ip), /not an address: nonsense/)
})

function ip(text: string): Ip {
  const address = parseIp(text)
  if (address === undefined) throw new Error(text)
  return address
}

function parse(text: string): Cidr {
  const cidr = parseCidr(text)
  if (cidr === undefined) throw new Error(text)
  return cidr
}

test.run()
