/** Beside other firewalls, the old iptables, and the host's own forwarding. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Host, Place } from '../support/lab.ts'
import { words } from '../support/lab/process.ts'
import { closed, netOf, pings, pingsNot, sees } from '../support/reach.ts'
import { streams } from '../support/streams.ts'
import { agrees, engines, open, removeAll, rows, shared, together, type Rows } from '../support/scene.ts'

const pair = '--subnet 10.30.0.0/24 --ipv6 --subnet fd00:30::/64'

/** What other programs do to the engine's chains, and where weft's traffic must be let through afterwards. */
const reloads: Readonly<Record<string, string>> = {
  'rules flushed': 'iptables -F; ip6tables -F',
  'rules flushed and the chain deleted': 'iptables -F; iptables -X DOCKER-USER',
  'weft taken out of DOCKER-USER': 'iptables -F DOCKER-USER',
  'tables flushed by nft': 'nft flush table ip filter; nft flush table ip6 filter 2>/dev/null || true',
  'the whole rule set flushed': 'nft flush ruleset',
  'FORWARD made to drop after a flush': 'nft flush ruleset; iptables -P FORWARD DROP; ip6tables -P FORWARD DROP',
}

/** The same for the old iptables. The last leaves the engine without a chain for others. */
const oldReloads: Readonly<Record<string, string>> = {
  'rules flushed': 'iptables -F; ip6tables -F',
  'weft taken out of DOCKER-USER': 'iptables -F DOCKER-USER',
  'FORWARD made to drop, without DOCKER-USER':
    'iptables -F; iptables -X DOCKER-USER; iptables -P FORWARD DROP; ip6tables -P FORWARD DROP',
}

/** So that a restored rule set reads the same as the first one. */
const warm = 'iptables-save | iptables-restore; ip6tables-save | ip6tables-restore'

for (const engine of engines('20.10')) {
  const scene = shared({ engine, warm })

  test(`coexist, engine ${engine}: when somebody reloads the firewall, traffic is healed and nothing opens`, () =>
    scene.play(async ({ server, client }) => {
      await save(server)
      const { one, two } = await town(server)
      for (const [name, script] of Object.entries(reloads)) {
        await server.sh(script)
        const started = performance.now()
        // Asked from the first moment on, while the accept rules may be missing.
        await together(name, {
          'one to two': () => closed(one, '10.31.0.9'),
          'the LAN to one': () => closed(client, '10.30.0.9'),
          ...works({ server, client, one, two }),
        })
        console.log(`engine ${engine}, ${name}: all is well after ${(performance.now() - started).toFixed(0)} ms`)
        await agrees(server)
        await restore(server)
      }
      await removeAll(server)
      await restore(server)
    }))

  test(`coexist, engine ${engine}: the engine makes its chains anew when it starts`, () =>
    scene.play(async ({ server, client, restartEngine }) => {
      await save(server)
      await town(server)
      await server.sh('iptables -F; iptables -X DOCKER-USER')
      await restartEngine()
      await server.docker('start one one-b two')
      const [one, two] = [await netOf(server, 'one'), await netOf(server, 'two')]
      await rows(works({ server, client, one, two }))
      assert.match(
        await server.run('iptables -S DOCKER-USER'),
        '--mark 0x100000/0x100000 -m comment --comment weft -j ACCEPT',
      )
      await agrees(server)
      await removeAll(server)
      await restore(server)
    }))

  test(`coexist, engine ${engine}: the lab ends`, () => scene.end())

  test(`coexist, engine ${engine}: a host with the old iptables`, async () => {
    await using old = await open({ engine, prepare: legacy, warm: 'ip6tables -S' })
    const { server, client } = old
    await server.sh('ip6tables-save >/run/old6')
    const { one, two } = await town(server)
    assert.match(await server.run('iptables --version'), 'legacy')
    await rows(works({ server, client, one, two }))
    await together('closed', {
      'one to two': () => closed(one, '10.31.0.9'),
      "one to the engine's own": () => closed(one, '10.40.0.9'),
      'the LAN to one': () => closed(client, '10.30.0.9'),
    })
    assert.match(
      await server.run('iptables -S DOCKER-USER'),
      '--mark 0x100000/0x100000 -m comment --comment weft -j ACCEPT',
    )
    for (const [name, script] of Object.entries(oldReloads)) {
      // Nothing tells of a change to these tables: weft looks at them all the time.
      const asked = await streams({
        closed: {
          'one to two': { host: server, container: 'one', address: '10.31.0.9' },
          'the LAN to one': { host: client, address: '10.30.0.9' },
        },
        open: { out: { host: server, container: 'one', address: client.ip4 } },
      })
      await server.sh(script)
      const done = Date.now()
      await together(name, works({ server, client, one, two }))
      const healed = asked.healedAfter(done)['out']
      const sum = await asked.stop()
      console.log(`engine ${engine}, old iptables, ${name}: out ${healed} ms; ${sum.asked} questions, none answered`)
      await agrees(server)
    }
    await removeAll(server)
    await server.sh('ip6tables-restore /run/old6')
    await old.restartEngine()
    await old.asBefore()
  })

  for (const forward of [0, 1] as const) {
    test(`coexist, engine ${engine}: a host with other links, ip_forward ${forward} before`, async () => {
      const flags = '--ip-forward=false'
      // docker0 stands, so the forwarding of its family stays.
      const except = /ip_forward = |ipv4\.conf\.\S+\.forwarding = /
      await using other = await open({ engine, engineFlags: flags, forward, prepare: legs(forward), except })
      const { server, client } = other
      const [x, y4, y6] = [leg(server, 'x'), '10.77.2.2', 'fd00:77:2::2']
      const paths = forward ? pings : pingsNot
      const switches = (): Promise<string> =>
        server.sh('cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding | tr -d "\\n"')
      await paths(x, y4)
      await paths(x, y6)
      // A network, and even a container that needs no forwarding, switches nothing on.
      await server.docker(`network create -d weft-bridge ${pair} one`)
      await server.docker('network create -d weft-bridge --internal hidden')
      await server.docker('run -d --name hidden --network hidden probe')
      assert.is(await switches(), `${forward}${forward}`)

      await server.docker('run -d --name one --network one -p 8080:80 probe')
      assert.is(await switches(), '11')
      await server.docker('run -d --name theirs probe')
      await together('other links', {
        'x to y': () => paths(x, y4),
        'x to y, v6': () => paths(x, y6),
        'x to the LAN': () => (forward ? undefined : pingsNot(x, client.ip4)),
        'the LAN to x': () => (forward ? undefined : pingsNot(client, '10.77.1.2')),
        'one out': async () => pings(await netOf(server, 'one'), client.ip4),
        'one out, v6': async () => pings(await netOf(server, 'one'), client.ip6),
        "the engine's own out": async () => pings(await netOf(server, 'theirs'), client.ip4),
        'published, for x': sees(x, server.ip4, '10.77.1.2', { port: 8080 }),
        published: sees(client, server.ip4, client.ip4, { port: 8080 }),
      })
      await other.asBefore()
      assert.is(await switches(), `1${forward}`)
      await paths(x, y6)
    })
  }
}

test.run()

const legacy = `for family in iptables ip6tables; do for name in $family $family-save $family-restore; do
  ln -sf xtables-legacy-multi /usr/sbin/$name; done; done`

/** Two further links of the host, with somebody behind each. */
function legs(forward: 0 | 1): string {
  return `echo ${forward} >/proc/sys/net/ipv6/conf/all/forwarding
    for n in 1 2; do
      [ $n = 1 ] && name=x || name=y
      ip netns add $name
      ip link add leg$n type veth peer name eth0 netns $name
      ip address add 10.77.$n.1/24 dev leg$n; ip address add fd00:77:$n::1/64 dev leg$n nodad; ip link set leg$n up
      ip -n $name address add 10.77.$n.2/24 dev eth0; ip -n $name address add fd00:77:$n::2/64 dev eth0 nodad
      ip -n $name link set lo up; ip -n $name link set eth0 up
      ip -n $name route add default via 10.77.$n.1; ip -n $name route add default via fd00:77:$n::1
    done`
}

function leg(server: Host, name: string): Place {
  return { run: (command, options) => server.run(['ip', 'netns', 'exec', name, ...words(command)], options) }
}

interface Actors {
  readonly server: Host
  readonly client: Host
  readonly one: Place
  readonly two: Place
}

function works({ server, client, one, two }: Actors): Rows {
  return {
    neighbours: sees(one, '10.30.0.10', '10.30.0.9'),
    'neighbours, v6': sees(one, 'fd00:30::10', 'fd00:30::9'),
    out: () => pings(one, client.ip4),
    'out, v6': () => pings(one, client.ip6),
    published: sees(client, server.ip4, client.ip4, { port: 8080 }),
    'published, v6': sees(client, server.ip6, client.ip6, { port: 8080 }),
    'published, for two': sees(two, server.ip4, '10.31.0.9', { port: 8080 }),
  }
}

/** Two networks of weft, and one of the engine's own. */
async function town(server: Host): Promise<{ readonly one: Place; readonly two: Place }> {
  await server.docker(`network create -d weft-bridge ${pair} one`)
  await server.docker('network create -d weft-bridge --subnet 10.31.0.0/24 two')
  await server.docker('network create -d bridge --subnet 10.40.0.0/24 theirs')
  await Promise.all([
    server.docker('run -d --name one --network one --ip 10.30.0.9 --ip6 fd00:30::9 -p 8080:80 probe'),
    server.docker('run -d --name one-b --network one --ip 10.30.0.10 --ip6 fd00:30::10 probe'),
    server.docker('run -d --name two --network two --ip 10.31.0.9 probe'),
    server.docker('run -d --name theirs --network theirs --ip 10.40.0.9 probe'),
  ])
  return { one: await netOf(server, 'one'), two: await netOf(server, 'two') }
}

/** The engine's rules, before weft has a network. */
async function save(server: Host): Promise<void> {
  await server.sh('iptables-save >/run/rules4; ip6tables-save >/run/rules6')
}

async function restore(server: Host): Promise<void> {
  await server.sh('nft flush ruleset; iptables-restore /run/rules4; ip6tables-restore /run/rules6')
}
