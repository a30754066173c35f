/** Calls that an engine makes at once, about different networks, where only one of them can be right. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { NetworkId } from '../../plugin-api/ids.ts'
import { createNetwork, pool, testHouse } from '../support/house.ts'

const ids = ['1'.repeat(64), '2'.repeat(64)] as [NetworkId, NetworkId]

async function refusals(work: readonly Promise<unknown>[]): Promise<readonly string[]> {
  const outcomes = await Promise.allSettled(work)
  return outcomes.flatMap(outcome => (outcome.status === 'rejected' ? [String(outcome.reason)] : []))
}

const rivals = {
  'one subnet': [createNetwork({ IPv6Data: [] }), createNetwork({ IPv6Data: [] })],
  'a subnet inside the other': [
    createNetwork({ IPv4Data: [pool('10.7.0.0/16', '10.7.0.1/16')], IPv6Data: [] }),
    createNetwork({ IPv4Data: [pool('10.7.9.0/24', '10.7.9.1/24')], IPv6Data: [] }),
  ],
  'one bridge': ['10.7.1', '10.7.2'].map(net =>
    createNetwork({
      IPv4Data: [pool(`${net}.0/24`, `${net}.1/24`)],
      IPv6Data: [],
      generic: { 'com.docker.network.bridge.name': 'br7' },
    }),
  ),
} as const

for (const [what, requests] of Object.entries(rivals)) {
  test(`create network: of two at once with ${what} one is refused`, async () => {
    const h = await testHouse()
    const refused = await refusals(
      ids.map((NetworkID, index) => h.handlers.createNetwork({ ...createNetwork(), ...requests[index], NetworkID })),
    )
    assert.is(refused.length, 1, refused.join('\n'))
    assert.match(refused[0] ?? '', /networks have (overlapping IPv4|same bridge name)/)
    assert.is(h.house.records.networks().length, 1)
    assert.equal(await h.house.reconciler.differences(), [])
    for (const NetworkID of ids) await h.handlers.deleteNetwork({ NetworkID })
    assert.is(String(h.kernel), '')
  })
}

test.run()
