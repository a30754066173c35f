/** What is true of a machine, from what its kernel tells. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { uplinksOf } from '../../../daemon/facts.ts'
import type { Cidr } from '../../../native/value/ip.ts'

const bridges = [{ index: 7, name: 'br0' }]
const main = 254
const way = (destination: string, table = main) => ({ destination: destination as Cidr, table, outInterfaces: [7] })
const port = (kind: string | undefined) => ({ kind, master: 7 })

type Case = readonly [ports: readonly ReturnType<typeof port>[], routes: readonly ReturnType<typeof way>[], up: boolean]
const cases: Readonly<Record<string, Case>> = {
  nothing: [[], [], false],
  "the host's default route": [[port('veth')], [way('0.0.0.0/0')], true],
  "the host's default route, IPv6": [[], [way('::/0')], true],
  'a route to somewhere': [[], [way('10.0.0.0/8')], false],
  'a default route that rules choose': [[port('veth')], [way('0.0.0.0/0', 100), way('::/0', 51820)], false],
  ...Object.fromEntries(
    [undefined, 'dsa', 'bond', 'team', 'vlan'].map(kind => [
      `a port of kind ${kind ?? 'hardware'}`,
      [[port(kind)], [], true],
    ]),
  ),
  ...Object.fromEntries(
    ['veth', 'tun', 'vxlan', 'dummy'].map(kind => [`a port of kind ${kind}`, [[port(kind)], [], false]]),
  ),
}
for (const [name, [ports, routes, up]] of Object.entries(cases)) {
  test(`facts: a bridge with ${name} is ${up ? 'an uplink' : 'a network of others'}`, () => {
    // Hardware that is no port of a bridge.
    const links = [{ kind: undefined, master: undefined }, ...ports]
    assert.equal(uplinksOf(bridges, links, routes), up ? ['br0'] : [])
  })
}

test.run()
