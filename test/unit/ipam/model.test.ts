/** The allocator does what a naive model does, whatever comes in whatever order. */
import type { Cidr, Ip } from '../../../native/value/ip.ts'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryStore } from '../../../daemon/store/memory.ts'
import type { Ipam } from '../../../ipam/ipam.ts'
import { addressOf, familyOf, ipFromBigint, rangeOf } from '../../../native/value/ip.ts'
import { UserError } from '../../../plugin-api/answer.ts'
import { NaivePool } from '../../support/naive-pool.ts'
import { randomFrom, seed } from '../value/random.ts'
import { ipamOver, macOf, wish } from './house.ts'

const steps = process.env['WEFT_TEST_FULL'] ? 1_000_000 : 50_000
const restMs = 60_000

/** Small ones are full most of the time. Of large ones the model sees the beginning, which is all that is used. */
const pools: readonly (readonly [subnet: string, range?: string])[] = [
  ['10.20.0.0/28'],
  ['10.20.0.0/26', '10.20.0.32/28'],
  ['10.0.0.4/31'],
  ['fd00:1::/124'],
  ['fd00:1::/64', 'fd00:1::40/123'],
  ['fd00:1::6/127'],
]

for (const [subnet, range] of pools) {
  const count = Math.ceil(steps / pools.length)
  const name = range === undefined ? subnet : `${subnet} in ${range}`
  test(`model: ${name}: does what a naive one does`, async () => {
    console.log(`${subnet}: ${count} steps, WEFT_TEST_SEED=${seed}`)
    await play(subnet as Cidr, range as Cidr | undefined, count)
  })
}

async function play(subnet: Cidr, range: Cidr | undefined, count: number): Promise<void> {
  const random = randomFrom(seed)
  const store = new MemoryStore()
  let now = 1_000_000
  const open = (): Promise<Ipam> => ipamOver(store, { now: () => now, restMs })
  let ipam = await open()
  const { id } = await ipam.requestPool(wish(subnet, range === undefined ? {} : { subPool: range }))
  const near = addressesOf(subnet, 70)
  const naive = new NaivePool(addressesOf(range ?? subnet, 70), specialsOf(subnet), restMs)

  for (let step = 0; step < count; step += 1) {
    // Never the same twice: the store does not keep the order of what ended in one millisecond.
    now += 1 + (random() % 4_000)
    const [mac, address] = [macOf(random() % 40), near[random() % near.length]]
    if (address === undefined) throw new Error('no addresses')
    const where = `WEFT_TEST_SEED=${seed}, step ${step}`
    switch (random() % 12) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const granted = await codeOf(ipam.requestAddress(id, { purpose: 'endpoint', mac }).then(addressOf))
        assert.is(granted, naive.dynamic(now, mac) ?? 'ADDRESSES_EXHAUSTED', `${where}: any for ${mac}`)
        break
      }
      case 4: {
        const granted = await codeOf(ipam.requestAddress(id, { purpose: 'endpoint', mac, address }).then(addressOf))
        assert.is(granted, naive.named(address, mac) ? address : 'ADDRESS_IN_USE', `${where}: ${address} for ${mac}`)
        break
      }
      case 5:
      case 6:
      case 7:
      case 8: {
        const held = [...naive.leases.keys()]
        const one = held[random() % Math.max(1, held.length)] ?? address
        assert.is(await ipam.releaseAddress(id, one), naive.release(one, now), `${where}: release ${one}`)
        break
      }
      case 9: {
        const owner = random() % 2 === 0 ? mac : undefined
        const done = await codeOf(ipam.reserve(id, { address, ...(owner === undefined ? {} : { mac: owner }) }))
        const refusal = naive.reserve(address, owner)
        assert.is(typeof done === 'string' ? done : undefined, refusal, `${where}: reserve ${address} for ${owner}`)
        break
      }
      case 10: {
        const done = await codeOf(ipam.release({ address, force: false }))
        const refusal = naive.free(address) ? undefined : 'ADDRESS_FREE'
        assert.is(typeof done === 'string' ? done : undefined, refusal, `${where}: free ${address}`)
        break
      }
      default:
        if (random() % 8 === 0) {
          ipam = await open()
          naive.restart()
        } else {
          const granted = await codeOf(ipam.requestAddress(id, { purpose: 'gateway' }).then(addressOf))
          assert.is(granted, naive.gateway(now) ?? 'ADDRESSES_EXHAUSTED', `${where}: gateway`)
        }
    }
    if (step % 1000 === 0) agree(ipam, naive, where)
  }
  agree(ipam, naive, 'at the end')
  agree(await open(), naive, 'at the end, as it is in the store')
}

function agree(ipam: Ipam, naive: NaivePool, where: string): void {
  const leases = ipam.leases().map(({ address, purpose, mac }) => `${address} ${purpose} ${mac}`)
  const wanted = [...naive.leases].map(([address, { purpose, mac }]) => `${address} ${purpose} ${mac}`)
  assert.equal(leases.toSorted(), wanted.toSorted(), where)
  const pool = ipam.pool(ipam.pools()[0]?.id as never)
  assert.equal([...(pool?.chosen.keys() ?? [])].toSorted(), [...naive.chosen].toSorted(), where)
  assert.equal([...(pool?.reservations.keys() ?? [])].toSorted(), [...naive.reservations.keys()].toSorted(), where)
  assert.equal([...(pool?.past.keys() ?? [])].toSorted(), naive.past.map(({ address }) => address).toSorted(), where)
}

async function codeOf<T>(promise: Promise<T>): Promise<T | string> {
  try {
    return await promise
  } catch (cause) {
    if (cause instanceof UserError) return cause.code
    throw cause
  }
}

function addressesOf(cidr: Cidr, most: number): readonly Ip[] {
  const { first, last } = rangeOf(cidr)
  const size = last - first + 1n
  return Array.from({ length: size > BigInt(most) ? most : Number(size) }, (_, i) =>
    ipFromBigint(first + BigInt(i), familyOf(cidr)),
  )
}

function specialsOf(subnet: Cidr): readonly Ip[] {
  const { first, last } = rangeOf(subnet)
  if (last - first < 2n) return []
  const special = familyOf(subnet) === 4 ? [first, last] : [first]
  return special.map(number => ipFromBigint(number, familyOf(subnet)))
}

test.run()
