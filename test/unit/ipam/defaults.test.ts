import type { Cidr } from '../../../native/value/ip.ts'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { blocksFor, cutBlock, parseDefaultPools, standardPools, ulaPool } from '../../../ipam/defaults.ts'
import { overlaps, parseCidr } from '../../../native/value/ip.ts'
import { UserError } from '../../../plugin-api/answer.ts'

test('default pools: read as the engine writes them', () => {
  assert.equal(parseDefaultPools('base=10.64.0.0/11,size=24  base=fd00:1::/48,size=64'), [
    { base: '10.64.0.0/11', size: 24 },
    { base: 'fd00:1::/48', size: 64 },
  ])
  assert.equal(parseDefaultPools(''), [])
})

test('default pools: the standard ones keep clear of what others use', () => {
  const others = [
    '172.16.0.0/12',
    '192.168.0.0/16',
    '10.0.0.0/12',
    '10.42.0.0/15',
    '10.96.0.0/12',
    '10.244.0.0/16',
    '10.128.0.0/9',
    '100.64.0.0/10',
  ]
  for (const { base } of parseDefaultPools(standardPools)) {
    for (const other of others) assert.not(overlaps(base, other as Cidr), `${base} ${other}`)
  }
})

const wrong: readonly (readonly [text: string, why: string])[] = [
  ['10.64.0.0/11', 'expected base=ADDRESS/LENGTH,size=LENGTH'],
  ['base=10.64.0.0/11', 'expected base='],
  ['base=10.64.0.0/11,size=', 'expected base='],
  ['base=10.64.0.0,size=24', '10.64.0.0 is not ADDRESS/LENGTH'],
  ['base=10.64.0.300/11,size=24', '10.64.0.300/11 is not ADDRESS/LENGTH'],
  ['base=nonsense,size=24', 'nonsense is not ADDRESS/LENGTH'],
  ['base=10.64.0.1/11,size=24', 'base should be 10.64.0.0/11'],
  ['base=10.64.0.0/11,size=10', 'size must be from 11 to 32'],
  ['base=10.64.0.0/11,size=33', 'size must be from 11 to 32'],
  ['base=fd00::/48,size=129', 'size must be from 48 to 128'],
  ['base=0.0.0.0/0,size=24', 'the whole address space is no pool'],
  ['base=10.0.0.0/8,size=24 base=10.9.0.0/16,size=24', 'it overlaps 10.0.0.0/8'],
]
for (const [text, why] of wrong) {
  test(`default pools: "${text}" is refused`, () => {
    try {
      parseDefaultPools(text)
      assert.unreachable('was accepted')
    } catch (cause) {
      assert.instance(cause, UserError)
      assert.is((cause as UserError).code, 'BAD_DEFAULT_POOLS')
      assert.match((cause as UserError).text, why)
      assert.match((cause as UserError).text, 'for example base=')
    }
  })
}

test('ULA: fd, the 40 random bits, and nothing else', () => {
  assert.equal(ulaPool(Uint8Array.of(0x01, 0x23, 0x45, 0x67, 0x89)), { base: 'fd01:2345:6789::/48', size: 64 })
  assert.equal(ulaPool(Uint8Array.of(0, 0, 0, 0, 0)), { base: 'fd00::/48', size: 64 })
})

const ten = [{ base: cidr('10.64.0.0/22'), size: 24 }]
const cuts: readonly (readonly [what: string, taken: readonly string[], expected: string | undefined])[] = [
  ['the first when nothing is taken', [], '10.64.0.0/24'],
  ['the next behind one that is taken', ['10.64.0.0/24'], '10.64.1.0/24'],
  ['a gap', ['10.64.0.0/24', '10.64.2.0/24'], '10.64.1.0/24'],
  ['whatever order they were given in', ['10.64.1.0/24', '10.64.0.0/24'], '10.64.2.0/24'],
  ['behind something smaller than a block, on the grid', ['10.64.0.16/28'], '10.64.1.0/24'],
  ['behind something larger that begins before', ['10.64.0.0/23'], '10.64.2.0/24'],
  [
    'with taken ones inside of each other',
    ['10.64.0.0/23', '10.64.0.0/24', '10.64.0.7/32', '10.64.2.0/24'],
    '10.64.3.0/24',
  ],
  ['the last one', ['10.64.0.0/23', '10.64.2.0/24'], '10.64.3.0/24'],
  ['none when all is taken', ['10.64.0.0/23', '10.64.2.0/23'], undefined],
  ['none when one network covers all', ['10.0.0.0/8'], undefined],
  ['beside a default route, which takes nothing', ['0.0.0.0/0'], '10.64.0.0/24'],
  ['beside the other family', ['::/1', 'fd00::/8'], '10.64.0.0/24'],
  ['beside networks elsewhere', ['10.63.255.0/24', '10.64.4.0/24', '192.168.0.0/16'], '10.64.0.0/24'],
]
for (const [what, taken, expected] of cuts) {
  test(`a block is cut: ${what}`, () => {
    assert.is(cutBlock(ten, taken.map(cidr)), expected)
  })
}

test('a block is cut: from the next pool when the first is full', () => {
  const pools = [
    { base: cidr('10.64.0.0/24'), size: 24 },
    { base: cidr('10.80.0.0/16'), size: 20 },
  ]
  assert.is(cutBlock(pools, [cidr('10.64.0.0/24')]), '10.80.0.0/20')
})

test('a block is cut: with the prefix length that was wished, from pools that hold it', () => {
  const pools = [
    { base: cidr('10.64.0.0/24'), size: 24 },
    { base: cidr('10.80.0.0/16'), size: 20 },
    { base: cidr('fd00::/48'), size: 64 },
  ]
  assert.is(cutBlock(blocksFor(pools, 4, 28), []), '10.64.0.0/28')
  assert.is(cutBlock(blocksFor(pools, 4, 18), []), '10.80.0.0/18')
  assert.is(cutBlock(blocksFor(pools, 4, 12), []), undefined)
  assert.is(cutBlock(blocksFor(pools, 6, 80), [cidr('fd00::/64')]), 'fd00:0:0:1::/80')
  assert.is(cutBlock(blocksFor(pools, 6), []), 'fd00::/64')
})

function cidr(text: string): Cidr {
  const parsed = parseCidr(text)
  if (parsed === undefined) throw new Error(text)
  return parsed
}

test.run()
