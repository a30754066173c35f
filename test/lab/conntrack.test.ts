/**
 * Streams of datagrams that never pause, while ports are published, led elsewhere and withdrawn. A client, a host with
 * two containers, and a server behind it that the host only routes to; then the same with a real engine.
 */
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Conntrack } from '../../native/conntrack/conntrack.ts'
import { rawOf } from '../../native/conntrack/translation.ts'
import { writeSysctl } from '../../native/ffi/netns.ts'
import type { Change } from '../../native/kernel/kernel.ts'
import type { Element } from '../../native/kernel/resource.ts'
import { NetlinkSocket, protocols } from '../../native/netlink/socket.ts'
import { Rtnl } from '../../native/rtnl/rtnl.ts'
import { ipToBytes, type Family, type Ip } from '../../native/value/ip.ts'
import { eventually } from '../support/lab.ts'
import { enterOwnNetns, lagDuring, place, type Place } from '../support/netlink.ts'
import { open } from '../support/scene.ts'
import { arrives, receiving, runIn, sending, silent, stream } from '../support/datagrams.ts'

enterOwnNetns(import.meta.filename)

const udp = 17
const places = ['client', 'one', 'two', 'server'] as const
type Name = (typeof places)[number]

/** Of the place, or of the host at the other end of the link. */
function addressOf(name: Name, family: Family, end: 'host' | 'place' = 'place'): Ip {
  const [net, last] = [places.indexOf(name) + 1, end === 'host' ? 1 : 2]
  return (family === 4 ? `10.9.${net}.${last}` : `fd00:9:${net}::${last}`) as Ip
}

interface Town extends AsyncDisposable {
  readonly host: Place
  readonly at: Readonly<Record<Name, Place>>
  readonly conntrack: Conntrack
  /** Where the host leads datagrams to port 9000; to nowhere without. */
  lead(family: Family, to?: { readonly name: Name; readonly port: number }): void
}

async function town(): Promise<Town> {
  await using made = new AsyncDisposableStack()
  const host = made.use(place())
  const [client, one, two, server] = places.map(() => made.use(place())) as [Place, Place, Place, Place]
  const at = { client, one, two, server }
  for (const name of places) {
    host.run(`ip link add ${name} type veth peer name eth0 netns ${at[name].path}`)
    for (const [where, link, end] of [
      [host, name, 'host'],
      [at[name], 'eth0', 'place'],
    ] as const) {
      where.run(`ip link set ${link} up`)
      where.run(`ip address add ${addressOf(name, 4, end)}/24 dev ${link}`)
      where.run(`ip address add ${addressOf(name, 6, end)}/64 dev ${link} nodad`)
    }
    for (const family of [4, 6] as const) at[name].run(`ip route add default via ${addressOf(name, family, 'host')}`)
  }
  host.in(() => {
    writeSysctl('net.ipv4.ip_forward', '1')
    writeSysctl('net.ipv6.conf.all.forwarding', '1')
  })
  // Flows are tracked from the moment that a rule asks for it.
  const chains = `
    chain track { type filter hook prerouting priority 0; ct state new accept; }
    chain lead { type nat hook prerouting priority -100; }`
  host.run('nft -f -', `table ip test { ${chains}\n}\ntable ip6 test { ${chains}\n}`)
  const conntrack = made.use(
    new Conntrack(
      host.in(() => new NetlinkSocket(protocols.netfilter)),
      {
        addresses: () => host.rtnl.addresses(),
        onStale(cause) {
          throw cause
        },
      },
    ),
  )
  const all = made.move()
  return {
    ...{ host, at, conntrack },
    lead(family, to) {
      const table = family === 4 ? 'ip' : 'ip6'
      const address = to && addressOf(to.name, family)
      const target = family === 4 ? address : `[${address}]`
      const rule = `add rule ${table} test lead udp dport 9000 fib daddr type local dnat to ${target}:${to?.port}`
      host.run('nft -f -', `flush chain ${table} test lead\n${to ? rule : ''}`)
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

/** Ids of the flows to this address and port. */
async function idsOf({ conntrack }: Town, family: Family, address: Ip): Promise<readonly (number | undefined)[]> {
  const flows = await conntrack.flows({ family, protocol: udp, port: 9000 })
  const wanted = rawOf(ipToBytes(address))
  return flows.flatMap(({ original, id }) => {
    const to = original?.ip?.destination4 ?? original?.ip?.destination6
    return to && rawOf(to) === wanted ? [id] : []
  })
}

function led(family: Family, to: Name, port: number): Element {
  const value = `${addressOf(to, family)} . ${port}`
  return { type: 'element', table: 'weft', set: `pub${family}any`, key: 'udp . 9000', value }
}

for (const family of [4, 6] as const) {
  test(`conntrack: a stream of IPv${family} goes where its port leads, another passes through`, async () => {
    await using net = await town()
    const [one, two, server] = [
      runIn(net.at.one.path, receiving(7000)),
      runIn(net.at.two.path, receiving(7001)),
      runIn(net.at.server.path, receiving(9000)),
    ]
    await using ending = new AsyncDisposableStack()
    for (const each of [one, two, server]) ending.use(each)
    const published = addressOf('client', family, 'host')
    const beyond = addressOf('server', family)
    for (const [index, address] of [published, beyond].entries()) {
      ending.use(runIn(net.at.client.path, sending({ address, port: 9000, from: 5001 + index })))
    }
    await arrives('the server', server.bytes)
    const passing = await idsOf(net, family, beyond)
    assert.is(passing.length, 1)
    const before = await eventually('the host is sent to', async () => (await idsOf(net, family, published))[0])

    const first = led(family, 'one', 7000)
    const second = led(family, 'two', 7001)
    net.lead(family, { name: 'one', port: 7000 })
    // The rule alone is not enough.
    await arrives('the server', server.bytes, 20)
    assert.is(one.bytes(), 0)
    assert.equal(await idsOf(net, family, published), [before])
    await net.conntrack.forget([{ op: 'create', want: first }])
    await arrives('the first container', one.bytes)

    const right = await idsOf(net, family, published)
    await net.conntrack.forget([{ op: 'create', want: first }])
    assert.equal(await idsOf(net, family, published), right, 'a flow that goes where it should stays')

    net.lead(family, { name: 'two', port: 7001 })
    await net.conntrack.forget([{ op: 'update', want: second, have: first }])
    await arrives('the second container', two.bytes)
    await silent('the first container', one.bytes, server.bytes)

    net.lead(family)
    await net.conntrack.forget([{ op: 'remove', have: second }])
    await silent('the second container', two.bytes, server.bytes)
    assert.equal(await idsOf(net, family, beyond), passing)
  })
}

test('conntrack: figures', async () => {
  await using rtnl = new Rtnl()
  const run = (command: string, input = ''): void => {
    const [name = '', ...words] = command.split(' ')
    execFileSync(name, words, { input })
  }
  run('ip link set lo up')
  run('ip address add 192.0.2.11/32 dev lo')
  run('nft -f -', `table ip test { chain track { type filter hook output priority 0; ct state new accept; }\n}`)
  await using conntrack = new Conntrack(new NetlinkSocket(protocols.netfilter), {
    addresses: () => rtnl.addresses(),
    onStale(cause) {
      throw cause
    },
  })
  const count = 10_000
  const ports = Array.from({ length: count }, (_, i) => 20_000 + i)
  const flows = async (): Promise<number> => (await conntrack.flows({ family: 4, protocol: udp })).length
  const begin = async (): Promise<void> => {
    const socket = createSocket('udp4')
    for (const port of ports) {
      await new Promise(resolve => {
        socket.send('.', port, '192.0.2.11', resolve)
      })
    }
    socket.close()
    assert.is(await flows(), count)
  }
  const time = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    const [start, cpu] = [performance.now(), process.cpuUsage()]
    const lag = await lagDuring(work)
    const { user, system } = process.cpuUsage(cpu)
    const took = [performance.now() - start, (user + system) / 1000, lag].map(ms => ms.toFixed(1))
    console.log(`${what}: ${took[0]} ms, of the processor ${took[1]} ms, at most ${took[2]} ms at a time`)
  }
  const change = (port: number): Change => {
    const want: Element = {
      type: 'element',
      table: 'weft',
      set: 'pub4any',
      key: `udp . ${port}`,
      value: '10.0.0.2 . 7',
    }
    return { op: 'create', want }
  }
  await begin()
  await time('one of 10,000 flows', () => conntrack.forget([change(20_000)]))
  await time('two of 10,000 flows', () => conntrack.forget([change(20_001), change(20_002)]))
  assert.is(await flows(), count - 3)
  await time('none of 10,000 flows, 5,000 ports', () =>
    conntrack.forget(ports.slice(0, 5000).map(port => change(port - 10_000))),
  )
  await time('5,000 of 10,000 flows', () => conntrack.forget(ports.slice(5000).map(change)))
  assert.is(await flows(), 4997)
  await time('the rest, 10,000 ports', () => conntrack.forget(ports.map(change)))
  assert.is(await flows(), 0)
})

test('conntrack, engine 28.5: a stream goes to whoever publishes its port', async () => {
  await using scene = await open({ engine: '28.5' })
  const { server, client } = scene
  await server.docker('network create -d weft-bridge --subnet 10.30.0.0/24 --ipv6 --subnet fd00:30::/64 web')
  const publish = async (name: string, port: number): Promise<void> => {
    const container = `run -d --name ${name} --network web -p 9000:${port}/udp probe`
    await server.docker([...container.split(' '), 'sh', '-c', receiving(port)])
  }
  const count = (name: string, text: string) => async (): Promise<number> =>
    (await server.docker(['logs', name])).split(text).length
  /** Each is to come in both families. */
  const both = async (name: string): Promise<void> => {
    for (const text of ['four', 'six']) await arrives(`${name}: ${text}`, count(name, text))
  }
  const tracked = (): Promise<string> => server.sh('grep dport=9000 /proc/net/nf_conntrack || true')

  const streams = await Promise.all([
    stream(client, { address: server.ip4, port: 9000, from: 5001, text: 'four' }),
    stream(client, { address: server.ip6, port: 9000, from: 5002, text: 'six' }),
  ])
  await eventually('both are tracked', async () => (await tracked()).split('\n').length === 2)
  await publish('one', 7000)
  await both('one')

  await server.docker('rm -f one')
  await eventually('nothing is sent to a container', async () => !/src=(10\.30|fd00:0030)/.test(await tracked()))
  // The address of the first one is given again: not to the second.
  await server.docker('run -d --name between --network web probe')
  await publish('two', 7001)
  await both('two')
  await server.docker('restart -t 0 two')
  await both('two')

  for (const each of streams) await each.stop()
  await scene.asBefore()
})

test.run()
