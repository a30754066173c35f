import { mock } from 'node:test'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { conflictsOf, RouteConflicts, textOf, type Claim } from '../../../daemon/conflicts.ts'
import type { LinkInfo } from '../../../native/rtnl/link.ts'
import { ROUTE_PROTOCOL, type RouteInfo } from '../../../native/rtnl/route.ts'
import type { Cidr } from '../../../native/value/ip.ts'
import { recordedLog } from '../../support/view.ts'

const links = [
  { index: 1, name: 'eth0' },
  { index: 2, name: 'wbk3fq7w2m4xa', alias: 'weft network 1111' },
  { index: 3, name: 'tun0' },
] as unknown as readonly LinkInfo[]

function route(destination: string, index: number, more: Partial<RouteInfo> = {}): RouteInfo {
  const plain = { table: 254, gateway: undefined, protocol: 3 }
  return { destination: destination as Cidr, outInterfaces: [index], ...plain, ...more }
}

function claim(subnet: string, ...own: readonly string[]): Claim {
  return { subnet: subnet as Cidr, owner: 'network web', links: own }
}

for (const [what, claimed, seen, expected] of [
  ['a VPN around it', claim('10.64.0.0/24'), route('10.0.0.0/8', 3), true],
  ['a VPN inside of it', claim('10.64.0.0/24'), route('10.64.0.128/25', 3), true],
  ['the same, in another table', claim('10.64.0.0/24'), route('10.64.0.0/24', 3, { table: 100 }), true],
  ['one without a link', claim('10.64.0.0/24'), route('10.64.0.0/24', 3, { outInterfaces: [] }), true],
  [
    'several ways, one of them its own',
    claim('10.64.0.0/24'),
    route('10.64.0.0/24', 3, { outInterfaces: [2, 3] }),
    true,
  ],
  ['IPv6', claim('fd00:7::/64'), route('fd00:7::/48', 3), true],
  ['the bridge of weft', claim('10.64.0.0/24'), route('10.64.0.0/24', 2), false],
  ['its parent', claim('192.168.1.0/24', 'eth0'), route('192.168.1.0/24', 1), false],
  ["another network's parent", claim('192.168.1.0/24'), route('192.168.1.0/24', 1), true],
  ["weft's own route", claim('192.168.1.0/24'), route('192.168.1.9/32', 3, { protocol: ROUTE_PROTOCOL }), false],
  ['a default route', claim('10.64.0.0/24'), route('0.0.0.0/0', 3), false],
  ['half a default route', claim('10.64.0.0/24'), route('0.0.0.0/1', 3), false],
  ['elsewhere', claim('10.64.0.0/24'), route('10.65.0.0/24', 3), false],
  ['a network without addresses', claim('0.0.0.0/0'), route('10.65.0.0/24', 3), false],
] as const) {
  test(`conflicts: ${what}: ${expected ? 'one' : 'none'}`, () => {
    assert.is(conflictsOf([claimed], [seen], links).length, expected ? 1 : 0)
  })
}

test('conflicts: the text names network, subnet, route, link and table, and what to do', () => {
  const [one] = conflictsOf([claim('10.64.0.0/24')], [route('10.64.0.0/16', 3)], links)
  if (!one) throw new Error('none')
  assert.is(
    textOf(one),
    'network web: its subnet 10.64.0.0/24 meets the route 10.64.0.0/16 by tun0, table main: one of the two is not reached; remove the route, or make the network again with another --subnet',
  )
})

test('conflicts: a route that appears is reported once within 5 s, and is gone with the route', async () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    const { log, lines } = recordedLog()
    let routes: readonly RouteInfo[] = [route('10.64.0.0/24', 2)]
    const conflicts = new RouteConflicts({
      claims: () => [claim('10.64.0.0/24')],
      routes: async () => routes,
      links: async () => links,
      log,
    })
    const pass = async (): Promise<void> => {
      mock.timers.tick(5000)
      await new Promise(setImmediate)
    }
    await conflicts.look()
    assert.equal(conflicts.found, [])
    routes = [...routes, route('10.64.0.0/16', 3)]
    for (let count = 0; count < 3; count += 1)
      conflicts.onEvent({ type: 'route', op: 'new', ...route('10.64.0.0/16', 3) })
    await pass()
    assert.equal(
      conflicts.found.map(({ route: found }) => found),
      ['10.64.0.0/16'],
    )
    await conflicts.look()
    assert.equal(
      lines.map(({ level, owner, links: by }) => [level, owner, by]),
      [['warn', 'network web', ['tun0']]],
    )
    routes = routes.slice(0, 1)
    conflicts.onEvent({ type: 'route', op: 'del', ...route('10.64.0.0/16', 3) })
    await pass()
    assert.equal(conflicts.found, [])
    assert.is(lines.length, 2)
    conflicts.stop()
  } finally {
    mock.timers.reset()
  }
})

test('conflicts: a route that comes while the routes are being read is seen in the next look, at once', async () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    const answers = [Promise.withResolvers<readonly RouteInfo[]>(), Promise.withResolvers<readonly RouteInfo[]>()]
    let looks = 0
    const conflicts = new RouteConflicts({
      claims: () => [claim('10.64.0.0/24')],
      routes: () => answers[looks++]?.promise ?? Promise.resolve([]),
      links: async () => links,
      log: recordedLog().log,
    })
    const first = conflicts.look()
    conflicts.onEvent({ type: 'route', op: 'new', ...route('10.64.0.0/16', 3) })
    mock.timers.tick(5000)
    await new Promise(setImmediate)
    assert.is(looks, 1)
    answers[0]?.resolve([])
    answers[1]?.resolve([route('10.64.0.0/16', 3)])
    await first
    await new Promise(setImmediate)
    assert.is(conflicts.found.length, 1)
    conflicts.stop()
  } finally {
    mock.timers.reset()
  }
})

test.run()
