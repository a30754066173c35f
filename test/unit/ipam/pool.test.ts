import type { Lease, PoolRecord } from '../../../ipam/records.ts'
import type { Cidr, Ip } from '../../../native/value/ip.ts'
import type { Mac } from '../../../native/value/mac.ts'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { remembered } from '../../../ipam/past.ts'
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
  return new Pool(poolIdOf(subnet, range), record, restMs)
}

/** An address rests so long. */
const restMs = 1000
/** Before every rest. */
const now = 0

function grant(pool: Pool, address: Ip, lease: Lease): void {
  pool.put({ sort: 'lease', address, value: lease })
}

function revoke(pool: Pool, address: Ip): void {
  pool.put({ sort: 'lease', address, value: undefined })
}

/** An endpoint with this MAC let go of the address. */
function rest(pool: Pool, address: Ip, endedAt: number, mac?: Mac): void {
  revoke(pool, address)
  pool.put({ sort: 'past', address, value: { endedAt, ...(mac === undefined ? {} : { mac }) } })
}

/** Takes what comes next, until nothing is left or `count` were taken. */
function take(pool: Pool, count: number): Ip[] {
  const taken: Ip[] = []
  for (let address = pool.choose('endpoint', now); address !== undefined; address = pool.choose('endpoint', now)) {
    grant(pool, address, { purpose: 'endpoint', at: taken.length })
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
    assert.is(pool.choose('gateway', now), undefined)
    for (const address of expected) revoke(pool, address as Ip)
    assert.equal(take(pool, all), expected, 'and again after they were given back')
  })
}

test('pool: a gateway is the first free address, and does not move what comes next', () => {
  const pool = poolOf('10.0.0.0/24')
  assert.equal(take(pool, 3), ['10.0.0.1', '10.0.0.2', '10.0.0.3'])
  revoke(pool, ip('10.0.0.1'))
  revoke(pool, ip('10.0.0.2'))
  assert.is(pool.choose('gateway', now), '10.0.0.1')
  grant(pool, ip('10.0.0.1'), { purpose: 'gateway', at: 9 })
  assert.is(pool.choose('gateway', now), '10.0.0.1', 'a pool has one gateway')
  assert.equal(take(pool, 1), ['10.0.0.4'])
})

test('pool: a given-back address is not the next one', () => {
  const pool = poolOf('fd00::/120')
  const [first] = take(pool, 1)
  if (first) revoke(pool, first)
  assert.equal(take(pool, 1), ['fd00::2'])
})

test('pool: addresses of a /64 one after the other, and far ones by name', () => {
  const pool = poolOf('fd00::/64')
  const far = ip('fd00::8000:0:0:1')
  assert.is(pool.obstacle(far), undefined)
  grant(pool, far, { purpose: 'reserved', at: 1 })
  assert.is(pool.obstacle(far), 'leased')
  assert.equal(take(pool, 2), ['fd00::1', 'fd00::2'])
  revoke(pool, far)
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
        grant(pool, ip(address), { purpose: 'endpoint', at: 1 })
      }, expected)
  })
}

test('pool: granting twice is a bug, giving back twice is not', () => {
  const pool = poolOf('10.0.0.0/24')
  grant(pool, ip('10.0.0.9'), { purpose: 'endpoint', at: 1 })
  assert.throws(() => {
    grant(pool, ip('10.0.0.9'), { purpose: 'endpoint', at: 2 })
  }, /leased/)
  revoke(pool, ip('10.0.0.9'))
  revoke(pool, ip('10.0.0.9'))
  revoke(pool, ip('10.0.0.0'))
  assert.is(pool.obstacle(ip('10.0.0.0')), 'network address', 'a special address is not freed')
})

test('pool: an address rests before it is the next one, unless there is no other', () => {
  const pool = poolOf('10.0.0.0/29')
  assert.equal(take(pool, 6), ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'])
  rest(pool, ip('10.0.0.5'), 100)
  rest(pool, ip('10.0.0.2'), 200)
  revoke(pool, ip('10.0.0.4'))
  assert.equal(pool.usage(200), { size: 6n, free: 3n, leased: 3, chosen: 0, reserved: 0, resting: 2, outside: 0 })
  assert.is(pool.choose('endpoint', 200), '10.0.0.4', 'one that does not rest')
  grant(pool, ip('10.0.0.4'), { purpose: 'endpoint', at: 9 })
  assert.is(pool.choose('endpoint', 200), '10.0.0.5', 'the one that rests longest')
  assert.is(pool.choose('gateway', 200), '10.0.0.5')
  assert.is(pool.restsUntil(ip('10.0.0.2'), 1199), 1200)
  assert.is(pool.restsUntil(ip('10.0.0.2'), 1200), undefined)
  assert.is(pool.choose('endpoint', 1200), '10.0.0.5', 'in their order again')
  assert.is(pool.usage(1200).resting, 0)
})

test('pool: who had an address gets it again, by its MAC', () => {
  const pool = poolOf('10.0.0.0/24')
  take(pool, 9)
  rest(pool, ip('10.0.0.3'), 1, mac(3))
  rest(pool, ip('10.0.0.4'), 1, mac(4))
  assert.is(pool.choose('endpoint', 5, mac(3)), '10.0.0.3')
  assert.is(pool.choose('endpoint', 5_000_000, mac(3)), '10.0.0.3', 'however long ago')
  assert.is(pool.choose('endpoint', 5, mac(9)), '10.0.0.10')
  pool.put({ sort: 'past', address: ip('10.0.0.3'), value: undefined })
  grant(pool, ip('10.0.0.3'), { purpose: 'endpoint', at: 1 })
  assert.is.not(pool.choose('endpoint', 5, mac(3)), '10.0.0.3', 'somebody else has it')
  rest(pool, ip('10.0.0.5'), 2, mac(4))
  assert.is(pool.choose('endpoint', 5, mac(4)), '10.0.0.5', 'the one that it had last')
})

test('pool: what was chosen once is for nobody who names none, also in a full pool', () => {
  const pool = poolOf('10.0.0.0/29')
  pool.put({ sort: 'chosen', address: ip('10.0.0.3'), value: { at: 1 } })
  rest(pool, ip('10.0.0.3'), 1, mac(3))
  assert.is.not(pool.choose('endpoint', 5, mac(3)), '10.0.0.3')
  assert.equal(take(pool, all), ['10.0.0.2', '10.0.0.4', '10.0.0.5', '10.0.0.6', '10.0.0.1'])
  assert.is(pool.obstacle(ip('10.0.0.3')), undefined, 'by name')
  assert.equal(pool.usage(now), { size: 6n, free: 0n, leased: 5, chosen: 1, reserved: 0, resting: 0, outside: 0 })
  pool.put({ sort: 'chosen', address: ip('10.0.0.3'), value: undefined })
  assert.is(pool.choose('endpoint', 5), '10.0.0.3')
})

test('pool: a reservation is for its MAC, or for whoever names it', () => {
  const pool = poolOf('10.0.0.0/29', '10.0.0.0/30')
  pool.put({ sort: 'reservation', address: ip('10.0.0.6'), value: { mac: mac(6), at: 1 } })
  pool.put({ sort: 'reservation', address: ip('10.0.0.2'), value: { at: 1 } })
  assert.is(pool.choose('endpoint', now, mac(6)), '10.0.0.6', 'also outside of the range')
  assert.equal(
    [6, 7].map(number => pool.obstacle(ip('10.0.0.6'), mac(number))),
    [undefined, 'reserved'],
  )
  assert.equal([pool.obstacle(ip('10.0.0.6')), pool.obstacle(ip('10.0.0.2'))], ['reserved', undefined])
  assert.throws(() => {
    grant(pool, ip('10.0.0.6'), { purpose: 'endpoint', mac: mac(7), at: 1 })
  }, 'reserved')
  assert.equal(take(pool, all), ['10.0.0.1', '10.0.0.3'])
  grant(pool, ip('10.0.0.6'), { purpose: 'endpoint', mac: mac(6), at: 1 })
  assert.is(pool.choose('endpoint', now, mac(6)), undefined, 'it has it already')
  assert.equal(pool.usage(now), { size: 3n, free: 0n, leased: 2, chosen: 0, reserved: 1, resting: 0, outside: 1 })
})

test('pool: only so many past leases are remembered', () => {
  const pool = poolOf('10.0.0.0/16')
  const addresses = take(pool, remembered + 2)
  for (const [index, address] of addresses.entries()) {
    for (const old of pool.surplusPast) pool.put({ sort: 'past', address: old, value: undefined })
    rest(pool, address, index, mac(index))
  }
  assert.is(pool.past.size, remembered)
  assert.is(pool.choose('endpoint', 0, mac(2)), addresses[2])
  assert.is.not(pool.choose('endpoint', 0, mac(1)), addresses[1])
})

for (const [subnet, size] of [
  ['128.0.0.0/1', 2n ** 31n - 2n],
  ['fd00::/8', 2n ** 120n - 1n],
  ['::/1', 2n ** 127n - 1n],
  ['fd00::7/128', 1n],
] as const) {
  test(`pool ${subnet}: knows its size`, () => {
    const pool = poolOf(subnet)
    const [first] = take(pool, 1)
    assert.equal(pool.usage(now), { size, free: size - 1n, leased: 1, chosen: 0, reserved: 0, resting: 0, outside: 0 })
    assert.ok(first && contains(cidr(subnet), first))
  })
}

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
        const address = pool.choose(wish === 0 ? 'gateway' : 'endpoint', now)
        if (address === undefined) continue
        assert.not(held.has(address), `${where}: ${address} twice`)
        assert.ok(contains(pool.record.range ?? pool.record.subnet, address), `${where}: ${address} outside`)
        grant(pool, address, { purpose: 'endpoint', at: step })
        held.add(address)
      } else if (wish < 5) {
        const address = near()
        const obstacle = pool.obstacle(address)
        assert.is(obstacle === 'leased', held.has(address), where)
        if (obstacle !== undefined) continue
        grant(pool, address, { purpose: 'reserved', at: step })
        held.add(address)
      } else {
        const address = random() % 2 === 0 ? near() : [...held].at(random() % Math.max(1, held.size))
        if (address === undefined) continue
        revoke(pool, address)
        held.delete(address)
      }
      assert.is(pool.leases.size, held.size, where)
    }
    const left = take(pool, 3000)
    assert.is(new Set([...left, ...held]).size, left.length + held.size, 'no address twice')
    if (bounds.last - bounds.first < 2000n) assert.is(pool.choose('endpoint', now), undefined)
  })
}

function mac(number: number): Mac {
  return `02:42:00:00:${(number >> 8).toString(16).padStart(2, '0')}:${(number & 255).toString(16).padStart(2, '0')}` as Mac
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
