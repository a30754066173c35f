/** Ports that others have: which are tried, which are not, and what is said in the end. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { PortChoices } from '../../../daemon/ports.ts'
import type { BoundSocket } from '../../../native/diag/sockets.ts'
import { kernelError } from '../../../native/netlink/errors.ts'
import type { Ip } from '../../../native/value/ip.ts'
import { rejects } from '../../support/house.ts'
import { count, otherId, scene, tcp, udp } from '../../support/publishing.ts'

test('ports: ten retries for each binding against other programs, and no more', async () => {
  const busy = count(12).map(i => `port tcp 0.0.0.0 ${50_000 + i}`)
  const range = (): readonly number[] => count(100).map(i => 50_000 + i)
  const last = await scene({ range, busy: busy.slice(0, 10) })
  assert.equal(await last.publish([tcp(80, 0)]), ['0.0.0.0 50010 80'])
  assert.is(last.busy.refusals, 10)
  const h = await scene({ range, busy })
  const before = String(h.kernel)
  await rejects(h.publish([tcp(80, 0)]), /all ports are allocated: 11 of the ephemeral range were tried on 0\.0\.0\.0/)
  assert.is(h.busy.refusals, 11)
  assert.is(String(h.kernel), before)
  const shared = await scene({ range, busy: busy.slice(0, 11) })
  assert.equal((await shared.publish([tcp(80, 0), tcp(81, 0)])).length, 2, 'what one found, the other need not try')
  assert.is(shared.busy.refusals, 11)
})

/** The host's sockets, and how often they were looked at. */
function socketsOn(
  ports: readonly number[],
  more: Partial<BoundSocket> = {},
): Required<Pick<PortChoices, 'bound'>> & { looks: number } {
  const self = {
    looks: 0,
    async bound(_: string, from: number, to: number): Promise<readonly BoundSocket[]> {
      self.looks += 1
      return ports
        .filter(port => port >= from && port <= to)
        .map(port => ({
          ...{ address: '0.0.0.0' as Ip, port, v6Only: false, state: 'listening', owned: true },
          ...more,
        }))
    },
  }
  return self
}

test('ports: those that the host shows in use are passed over after one look, and are no tries', async () => {
  const numbers = count(100).map(i => 50_000 + i)
  const busy = numbers.slice(0, 40).map(port => `port tcp 0.0.0.0 ${port}`)
  const host = socketsOn(numbers.slice(0, 40))
  const h = await scene({ range: Object.assign(() => numbers, host), busy })
  const bindings = [tcp(80, 0), tcp(81, 0), tcp(82, 50_000, 50_099), udp(53, 0)]
  assert.equal(await h.publish(bindings), [
    '0.0.0.0 50041 80',
    '0.0.0.0 50042 81',
    '0.0.0.0 50040 82',
    '0.0.0.0 50000 53',
  ])
  assert.equal([host.looks, h.busy.refusals], [1, 1])
})

test('ports: the ten tries are for those that the host does not show', async () => {
  const numbers = count(100).map(i => 50_000 + i)
  const busy = numbers.slice(0, 42).map(port => `port tcp 0.0.0.0 ${port}`)
  const seen = await scene({ range: Object.assign(() => numbers, socketsOn(numbers.slice(0, 32))), busy })
  assert.equal(await seen.publish([tcp(80, 0)]), ['0.0.0.0 50042 80'])
  const unseen = await scene({ range: Object.assign(() => numbers, socketsOn(numbers.slice(0, 31))), busy })
  await rejects(unseen.publish([tcp(80, 0)]), /all ports are allocated: 11 of the ephemeral range were tried/)
  const silent = (): Promise<never> => Promise.reject(kernelError('EPERM', { op: 'list', object: 'tcp sockets' }))
  const blind = await scene({ range: Object.assign(() => numbers, { bound: silent }), busy: busy.slice(0, 10) })
  assert.equal(await blind.publish([tcp(80, 0)]), ['0.0.0.0 50010 80'])
})

test('ports: what lingers is left out of the ephemeral range, and tried in one that is named', async () => {
  const numbers = [50_000, 50_001]
  const lingering = { owned: false, state: 'closing' } as const
  const h = await scene({
    range: Object.assign(() => [49_999, ...numbers, 50_002], socketsOn(numbers, lingering)),
    busy: ['port tcp 0.0.0.0 49999'],
  })
  assert.equal(await h.publish([tcp(80, 0)]), ['0.0.0.0 50002 80'])
  assert.equal(await h.publish([tcp(80, 49_999, 50_000)]), ['0.0.0.0 50000 80'])
})

test('ports: what the endpoint has already is seen on the host, and is its own', async () => {
  const h = await scene({ range: Object.assign(() => [], socketsOn([9000, 9001])), busy: ['port tcp 0.0.0.0 9000'] })
  assert.equal(await h.publish([tcp(80, 9001)]), ['0.0.0.0 9001 80'])
  assert.equal(await h.publish([tcp(80, 9000, 9001)]), ['0.0.0.0 9001 80'])
})

test('ports: who has a port in weft is named, after the words that people know', async () => {
  const h = await scene()
  const named = /^Bind for 0\.0\.0\.0:8080 failed: port is already allocated \(endpoint bbbbbbbbbbbb\)$/
  await h.publish([tcp(80, 8080)], otherId)
  await rejects(h.publish([tcp(80, 8080)]), named)
  await h.publish([tcp(80, 8080, 8080, '192.0.2.11')], otherId)
  await rejects(h.publish([tcp(80, 8080)]), named)
  await h.publish([], otherId)
  h.busy.busy.add('port tcp 0.0.0.0 8080')
  await rejects(h.publish([tcp(80, 8080)]), /^Bind for 0\.0\.0\.0:8080 failed: port is already allocated$/)
})

test.run()
