import type { PoolRecord } from '../../../ipam/records.ts'
import type { Cidr, Ip } from '../../../native/value/ip.ts'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Pool } from '../../../ipam/pool.ts'
import { poolIdOf } from '../../../ipam/records.ts'
import { contains, familyOf, ipFromBigint, parseCidr, parseIp, rangeOf } from '../../../native/value/ip.ts'
import { randomFrom, seed } from '../value/random.ts'

function poolOf(subnetText: string, rangeText?: string): Pool {
  const subnet = cidr(subnetText)
  const range = rangeText === undefined ? undefined : cidr(rangeText)
  const record: PoolRecord = {
    subnet,
    ...(range === undefined ? {} : { range }),
    family: familyOf(subnet),
    automatic: false,
    options: {},
    client: 'weft-bridge',
    session: 0,
    at: 1,
  }
  return new Pool(poolIdOf(subnet, range), record)
}

/** Takes what comes next, until nothing is left or `count` were taken. */
function take(pool: Pool, count: number): Ip[] {
  const taken: Ip[] = []
  for (let address = pool.choose('endpoint'); address !== undefined; address = pool.choose('endpoint')) {
    pool.grant(address, { purpose: 'endpoint', at: taken.length })
    taken.push(address)
    if (taken.length === count) break
  }
  return taken
}

const all = 1_000

const whole: readonly (readonly [pool: string, range: string | undefined, expected: readonly string[]])[] = [
  ['10.0.0.0/29', undefined, ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6']],
  ['10.0.0.0/30', undefined, ['10.0.0.1', '10.0.0.2']],
  ['10.0.0.2/31', undefined, ['10.0.0.2', '10.0.0.3']],
  ['10.0.0.7/32', undefined, ['10.0.0.7']],
  ['10.0.0.0/24', '10.0.0.8/30', ['10.0.0.8', '10.0.0.9', '10.0.0.10', '10.0.0.11']],
  ['10.0.0.0/24', '10.0.0.0/30', ['10.0.0.1', '10.0.0.2', '10.0.0.3']],
  ['10.0.0.0/24', '10.0.0.252/30', ['10.0.0.252', '10.0.0.253', '10.0.0.254']],
  ['10.0.0.0/24', '10.0.0.255/32', []],
  ['fd00::/126', undefined, ['fd00::1', 'fd00::2', 'fd00::3']],
  ['fd00::2/127', undefined, ['fd00::2', 'fd00::3']],
  ['fd00::9/128', undefined, ['fd00::9']],
  ['fd00::/64', 'fd00::a:0/127', ['fd00::a:0', 'fd00::a:1']],
]
for (const [subnet, range, expected] of whole) {
  test(`pool ${subnet}${range ? ` in ${range}` : ''}: hands out every address once, and no other`, () => {
    const pool = poolOf(subnet, range)
    assert.equal(take(pool, all), expected)
    assert.is(pool.choose('gateway'), undefined)
    for (const address of expected) pool.revoke(address as Ip)
    assert.equal(take(pool, all), expected, 'and again after they were given back')
  })
}

test('pool: a gateway is the first free address, and does not move what comes next', () => {
  const pool = poolOf('10.0.0.0/24')
  assert.equal(take(pool, 3), ['10.0.0.1', '10.0.0.2', '10.0.0.3'])
  pool.revoke(ip('10.0.0.1'))
  pool.revoke(ip('10.0.0.2'))
  assert.is(pool.choose('gateway'), '10.0.0.1')
  pool.grant(ip('10.0.0.1'), { purpose: 'gateway', at: 9 })
  assert.is(pool.choose('gateway'), '10.0.0.1', 'a pool has one gateway')
  assert.equal(take(pool, 1), ['10.0.0.4'])
})

test('pool: a given-back address is not the next one', () => {
  const pool = poolOf('fd00::/120')
  const [first] = take(pool, 1)
  if (first) pool.revoke(first)
  assert.equal(take(pool, 1), ['fd00::2'])
})

test('pool: addresses next to a /64 as far as its window, and others by name', () => {
  const pool = poolOf('fd00::/64')
  const far = ip('fd00::8000:0:0:1')
  assert.is(pool.obstacle(far), undefined)
  pool.grant(far, { purpose: 'reserved', at: 1 })
  assert.is(pool.obstacle(far), 'leased')
  assert.equal(take(pool, 2), ['fd00::1', 'fd00::2'])
  pool.revoke(far)
  assert.is(pool.obstacle(far), undefined)
  assert.is(pool.withLength(far), 'fd00::8000:0:0:1/64')
})

const obstacles: readonly (readonly [pool: string, address: string, expected: string | undefined])[] = [
  ['10.0.0.0/24', '10.0.1.0', 'outside'],
  ['10.0.0.0/24', '9.255.255.255', 'outside'],
  ['10.0.0.0/24', 'fd00::1', 'outside'],
  ['10.0.0.0/24', '10.0.0.0', 'network address'],
  ['10.0.0.0/24', '10.0.0.255', 'broadcast address'],
  ['10.0.0.0/24', '10.0.0.254', undefined],
  ['10.0.0.0/31', '10.0.0.0', undefined],
  ['10.0.0.0/31', '10.0.0.1', undefined],
  ['fd00::/64', 'fd00::', 'subnet-router anycast address'],
  ['fd00::/64', 'fd00::ffff:ffff:ffff:ffff', undefined],
  ['fd00::/127', 'fd00::', undefined],
]
for (const [subnet, address, expected] of obstacles) {
  test(`pool ${subnet}: ${address} is ${expected ?? 'free'}`, () => {
    const pool = poolOf(subnet)
    assert.is(pool.obstacle(ip(address)), expected)
    if (expected !== undefined)
      assert.throws(() => {
        pool.grant(ip(address), { purpose: 'endpoint', at: 1 })
      }, expected)
  })
}

test('pool: granting twice is a bug, giving back twice is not', () => {
  const pool = poolOf('10.0.0.0/24')
  pool.grant(ip('10.0.0.9'), { purpose: 'endpoint', at: 1 })
  assert.throws(() => {
    pool.grant(ip('10.0.0.9'), { purpose: 'endpoint', at: 2 })
  }, /leased/)
  pool.revoke(ip('10.0.0.9'))
  pool.revoke(ip('10.0.0.9'))
  pool.revoke(ip('10.0.0.0'))
  assert.is(pool.obstacle(ip('10.0.0.0')), 'network address', 'a special address is not freed')
})

for (const [subnet, range] of [
  ['10.20.0.0/22'],
  ['10.20.0.0/22', '10.20.1.0/26'],
  ['10.0.0.0/31'],
  ['fd00:1::/64'],
  ['fd00:1::/120', 'fd00:1::40/122'],
  ['8.0.0.0/7'],
] as const) {
  test(`pool ${subnet}${range ? ` in ${range}` : ''}: no address twice, in 10,000 random steps`, () => {
    const random = randomFrom(seed)
    const pool = poolOf(subnet, range)
    const bounds = rangeOf(pool.record.range ?? pool.record.subnet)
    const held = new Set<Ip>()
    const near = (): Ip => ipFromBigint(rangeOf(pool.record.subnet).first + BigInt(random() % 1100), pool.record.family)
    for (let step = 0; step < 10_000; step += 1) {
      const where = `seed ${seed}, step ${step}`
      const wish = random() % 8
      if (wish < 3) {
        const address = pool.choose(wish === 0 ? 'gateway' : 'endpoint')
        if (address === undefined) continue
        assert.not(held.has(address), `${where}: ${address} twice`)
        assert.ok(contains(pool.record.range ?? pool.record.subnet, address), `${where}: ${address} outside`)
        pool.grant(address, { purpose: 'endpoint', at: step })
        held.add(address)
      } else if (wish < 5) {
        const address = near()
        const obstacle = pool.obstacle(address)
        assert.is(obstacle === 'leased', held.has(address), where)
        if (obstacle !== undefined) continue
        pool.grant(address, { purpose: 'reserved', at: step })
        held.add(address)
      } else {
        const address = random() % 2 === 0 ? near() : [...held].at(random() % Math.max(1, held.size))
        if (address === undefined) continue
        pool.revoke(address)
        held.delete(address)
      }
      assert.is(pool.leases.size, held.size, where)
    }
    const left = take(pool, 3000)
    assert.is(new Set([...left, ...held]).size, left.length + held.size, 'no address twice')
    if (bounds.last - bounds.first < 2000n) assert.is(pool.choose('endpoint'), undefined)
  })
}

function cidr(text: string): Cidr {
  const parsed = parseCidr(text)
  if (parsed === undefined) throw new Error(text)
  return parsed
}

function ip(text: string): Ip {
  const parsed = parseIp(text)
  if (parsed === undefined) throw new Error(text)
  return parsed
}

test.run()
