/**
 * A daemon that kills itself before and after every change of the kernel and every commit, in the course of a network's
 * and a container's life in the LAN: the next one goes on, and nothing is left.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ifName } from '../../drivers/names.ts'
import { client } from '../support/client.ts'
import { eventually, lab, type Host } from '../support/lab.ts'
import { unchanged } from '../support/scene.ts'

/** Points come in pairs: an odd step meets both. */
const step = process.env['WEFT_TEST_FULL'] === '1' ? 1 : 13
const [NetworkID, EndpointID] = ['e'.repeat(64), 'f'.repeat(64)]
const ids = { NetworkID, EndpointID }
const [link, shim] = [ifName('wc', EndpointID), ifName('ws', NetworkID)]
const portmap = [6, 17].map(Proto => ({ Proto, Port: 80, HostPort: 8080, HostPortEnd: 8080 }))
const options = { parent: 'p0', host_access: '10.77.0.9,fd00:77::9', 'weft.dad': 'off' }
const pool = (Pool: string, Gateway: string): object => ({ AddressSpace: 'x', Pool, Gateway })

/** In the order of a life, and what the engine does after each. */
const life: readonly (readonly [call: string, body: object, after?: string])[] = [
  [
    'CreateNetwork',
    {
      NetworkID,
      Options: { 'com.docker.network.generic': options },
      IPv4Data: [pool('10.77.0.0/24', '10.77.0.1/24')],
      IPv6Data: [pool('fd00:77::/64', 'fd00:77::1/64')],
    },
  ],
  ['CreateEndpoint', { ...ids, Interface: { Address: '10.77.0.2/24', AddressIPv6: 'fd00:77::2/64' }, Options: {} }],
  [
    'Join',
    { ...ids, SandboxKey: '/run/netns/c1', Options: {} },
    `ip link set ${link} netns c1; ip -n c1 link set ${link} up; ip -n c1 address add 10.77.0.2/24 dev ${link}`,
  ],
  ['ProgramExternalConnectivity', { ...ids, Options: { 'com.docker.network.portmap': portmap } }],
  // While it lives the host reaches it.
  ['EndpointOperInfo', ids, 'ping -c 1 -W 5 10.77.0.2'],
  ['RevokeExternalConnectivity', ids],
  ['Leave', ids, `ip -n c1 link set ${link} netns 1`],
  ['DeleteEndpoint', ids],
  ['DeleteNetwork', { NetworkID }],
]

test('macvlan crash: at every point of a life the next daemon goes on, and nothing is left', async () => {
  await using net = await lab({ hosts: 1 })
  const [host] = net.hosts
  await host.sh('ip netns add c1; ip link add p0 type veth peer name p1; ip link set p0 up; ip link set p1 up')
  await host.startWeft()
  await live(host)
  const before = await host.snapshot()
  let [deaths, point] = [0, 1]
  for (; ; point += step) {
    host.weftd?.kill('SIGTERM')
    await host.weftd?.exited
    // It counts from now on: a start has points of its own.
    const weftd = await host.startWeft({ env: { WEFT_CRASH_AT: `${point},SIGUSR2` } })
    weftd.kill('SIGUSR2')
    const died = await live(host)
    await unchanged(host, before)
    if (!died) break
    deaths += 1
  }
  console.log(`${deaths} deaths, ${point} points`)
  assert.ok(point > 60, `a life has more points than ${point}`)
})

test.run()

/** One life; a call that finds no daemon is repeated to the next one. True: some daemon died. */
async function live(host: Host): Promise<boolean> {
  let died = false
  for (const [call, body, after] of life) {
    while (!(await called(host, call, body))) {
      died = true
      await host.weftd?.exited
      await host.startWeft()
    }
    if (after !== undefined) await host.sh(after)
  }
  // Links go after the answer.
  await eventually('the shim is gone', async () => !(await host.run('ip -o link')).includes(shim))
  return died
}

/** False: the daemon died. What it had done by then may be refused the second time. */
async function called(host: Host, call: string, body: object): Promise<boolean> {
  using socket = client(host.path('/run/docker/plugins/weft-macvlan.sock'))
  try {
    const { json } = await socket.post(`NetworkDriver.${call}`, body)
    const { Err = '' } = json as { readonly Err?: string }
    assert.match(Err, /^$|exists already/, call)
    return true
  } catch (cause) {
    if (cause instanceof assert.Assertion) throw cause
    return false
  }
}
