/** What is closed stays closed, whatever the firewalls around weft do; and what is allowed works at the same time. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { difference, serve, type Host } from '../support/lab.ts'
import { closed, netOf, pings, pingsNot, seenBy, sees, type Target } from '../support/reach.ts'
import { agrees, engines, forwarding6, rows, shared, together, type Rows } from '../support/scene.ts'

/** Settings of the host that are not weft's. The first is the engine's own. */
const conditions: Readonly<Record<string, string>> = {
  'FORWARD drops, br_netfilter on': 'drop; bridges 1',
  'FORWARD drops, br_netfilter off': 'drop; bridges 0',
  'FORWARD accepts, br_netfilter off': 'accept; bridges 0',
  'FORWARD accepts, br_netfilter on': 'accept; bridges 1',
}
const words = `
  policy() { iptables -P FORWARD $1; ip6tables -P FORWARD $1; }
  drop() { policy DROP; }; accept() { policy ACCEPT; }
  bridges() { for name in iptables ip6tables; do echo $1 >/proc/sys/net/bridge/bridge-nf-call-$name; done; }
`

/** Tables that stay when the last rule has gone. */
const warm = `
  docker network create --ipv6 --subnet fd00:99::/64 warm
  docker run --rm --network warm -p 65000:80 probe true
  docker network rm warm
  ip6tables -P FORWARD $(ip6tables -S FORWARD | grep -q 'P FORWARD DROP' && echo DROP || echo ACCEPT)`

for (const engine of engines()) {
  const scene = shared({ engine, warm, except: forwarding6 })

  test(`isolation, engine ${engine}: networks are closed to each other, to the engine's own, and to the LAN`, () =>
    scene.play(async ({ server, client }) => {
      const policy = (await server.run('ip6tables -S FORWARD')).includes('-P FORWARD DROP') ? 'DROP' : 'ACCEPT'
      const place = await town(server)
      await serve(client, { port: 9000 })
      for (const pool of ['10.30.0.0/24', '10.31.0.0/24', '10.40.0.0/24']) {
        await client.run(['ip', 'route', 'replace', pool, 'via', server.ip4])
      }
      for (const pool of ['fd00:30::/64', 'fd00:40::/64']) {
        await client.run(['ip', 'route', 'replace', pool, 'via', server.ip6])
      }
      const { one, two, hidden, theirs, inner, theirDocker } = place
      const udp: Target = { protocol: 'udp' }
      const shut: Rows = {
        'one to two': () => closed(one, '10.31.0.9'),
        'one to two, udp': () => closed(one, '10.31.0.9', udp),
        'one to two, v6': () => closed(one, 'fd00:31::9'),
        'one to two, ping': () => pingsNot(one, '10.31.0.9'),
        'two to one': () => closed(two, '10.30.0.9'),
        'two to one, v6': () => closed(two, 'fd00:30::9'),
        "one to the engine's own": () => closed(one, '10.40.0.9'),
        "one to the engine's own, v6": () => closed(one, 'fd00:40::9'),
        'one to docker0': () => closed(one, theirDocker),
        "the engine's own to one": () => closed(theirs, '10.30.0.9'),
        "the engine's own to one, v6": () => closed(theirs, 'fd00:30::9'),
        "the engine's own to one, ping": () => pingsNot(theirs, '10.30.0.9'),
        'one to hidden': () => closed(one, '10.32.0.9'),
        'hidden to one': () => closed(hidden, '10.30.0.9'),
        'hidden out': () => pingsNot(hidden, client.ip4),
        'hidden to what one publishes': () => closed(hidden, '10.32.0.1', { port: 8080 }),
        'hidden to what is relayed': () => closed(hidden, 'fd00:32::1', { port: 8083 }),
        "the engine's internal one to what one publishes": () => closed(inner, '10.41.0.1', { port: 8080 }),
        "the engine's internal one to an unprotected one": () => closed(inner, '10.33.0.9'),
        'the LAN to one': () => closed(client, '10.30.0.9'),
        'the LAN to one, udp': () => closed(client, '10.30.0.9', udp),
        'the LAN to one, v6': () => closed(client, 'fd00:30::9'),
        'the LAN to one, ping': () => pingsNot(client, '10.30.0.9'),
        'the LAN to hidden': () => closed(client, '10.32.0.9'),
        "two's port on 127.0.0.1 from the LAN": () => closed(client, server.ip4, { port: 8082 }),
      }
      const open: Rows = {
        'one to its neighbour': sees(one, '10.30.0.10', '10.30.0.9'),
        'one to its neighbour, v6': sees(one, 'fd00:30::10', 'fd00:30::9'),
        'hidden to its neighbour': sees(hidden, '10.32.0.10', '10.32.0.9'),
        'one out': () => pings(one, client.ip4),
        'one out, v6': () => pings(one, client.ip6),
        'published by one': sees(client, server.ip4, client.ip4, { port: 8080 }),
        'published by one, v6': sees(client, server.ip6, client.ip6, { port: 8080 }),
        'published by one, for two': sees(two, server.ip4, '10.31.0.9', { port: 8080 }),
        "published by one, for the engine's own": () => seenBy(theirs, server.ip4, { port: 8080 }),
        'relayed from IPv6': sees(client, server.ip6, '10.33.0.1', { port: 8083 }),
        "unprotected, for the engine's own": () => seenBy(theirs, '10.33.0.9'),
        "published by the engine's own, for one": () => seenBy(one, server.ip4, { port: 8085 }),
        "the engine's own to its neighbour": sees(theirs, '10.40.0.10', '10.40.0.9'),
        "the engine's own out": () => pings(theirs, client.ip4),
      }
      for (const [name, script] of Object.entries(conditions)) {
        await server.sh(`${words}\n${script}`)
        await together(name, shut)
        await rows(open, name)
      }

      // Before the engine's chain comes to its end, wherever that is.
      await server.sh(`iptables -I DOCKER-USER 2 -s ${client.ip4} -j DROP`)
      await agrees(server)
      for (const script of ['drop', 'accept']) {
        await server.sh(`${words}\n${script}`)
        await together("a client that the host's administrator shuts out", {
          'published by one': () => closed(client, server.ip4, { port: 8080 }),
          "published by the engine's own": () => closed(client, server.ip4, { port: 8085 }),
          'published by one, for two': sees(two, server.ip4, '10.31.0.9', { port: 8080 }),
          'published by one, v6': sees(client, server.ip6, client.ip6, { port: 8080 }),
        })
      }
      await server.sh(`iptables -D DOCKER-USER -s ${client.ip4} -j DROP`)
      await server.sh(`${words}\ndrop; bridges 1; ip6tables -P FORWARD ${policy}`)
    }))

  test(`isolation, engine ${engine}: a port on 127.0.0.1 is not for a neighbour that routes 127.0.0.1 here`, () =>
    scene.play(async ({ server, client }) => {
      const before = await server.snapshot()
      await server.docker('network create -d weft-bridge web')
      await server.docker('run -d --name www --network web -p 127.0.0.1:8082:80 probe')
      await serve(server, { port: 9090, address: '127.0.0.1' })
      assert.is(await seenBy(server, '127.0.0.1', { port: 8082 }), await server.docker(gatewayOf('web')))
      await client.sh(`ip address delete 127.0.0.1/8 dev lo
        echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet
        ip route add 127.0.0.0/8 via ${server.ip4} src ${client.ip4}`)
      // Proof that the question gets here: what is refused otherwise would be a broken test.
      await server.sh(`nft add table ip seen
        nft add chain ip seen pre '{ type filter hook prerouting priority -400; }'
        nft add rule ip seen pre iifname eth0 ip daddr 127.0.0.1 counter`)
      // Worse than any default: the host's own interface takes such addresses.
      await server.sh('echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet')
      await together('from the LAN', {
        'published by weft': () => closed(client, '127.0.0.1', { port: 8082 }),
        'a service of the host': () => closed(client, '127.0.0.1', { port: 9090 }),
      })
      assert.not.match(await server.run('nft list chain ip seen pre'), 'packets 0')
      await server.sh('nft delete table ip seen; echo 0 >/proc/sys/net/ipv4/conf/eth0/route_localnet')
      assert.is(await seenBy(server, '127.0.0.1', { port: 8082 }), await server.docker(gatewayOf('web')))
      // It listens on.
      assert.match(difference(before, await server.snapshot()), ':9090')
      await server.sh(`kill $(ss -Hltnp 'sport = :9090' | sed 's/.*pid=//; s/,.*//')`)
    }))

  test(`isolation, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()

const mode = 'com.docker.network.bridge.gateway_mode_ipv4'

/** Containers on two networks of weft, on an internal one and an unprotected one, and on three of the engine's own. */
async function town(server: Host) {
  const network = (n: number): string => `--subnet 10.${n}.0.0/24 --ipv6 --subnet fd00:${n}::/64`
  await server.docker(`network create -d weft-bridge ${network(30)} one`)
  await server.docker(`network create -d weft-bridge ${network(31)} two`)
  await server.docker(`network create -d weft-bridge --internal ${network(32)} hidden`)
  await server.docker(`network create -d weft-bridge --subnet 10.33.0.0/24 -o ${mode}=nat-unprotected bare`)
  await server.docker(`network create -d bridge ${network(40)} theirs`)
  await server.docker('network create -d bridge --internal --subnet 10.41.0.0/24 inner')
  const run = async (name: string, flags: string): Promise<Awaited<ReturnType<typeof netOf>>> => {
    await server.docker(`run -d --name ${name} ${flags} probe`)
    return netOf(server, name)
  }
  const at = (n: number, last: number): string => `--ip 10.${n}.0.${last} --ip6 fd00:${n}::${last}`
  const [one, two, hidden, theirs, inner] = await Promise.all([
    run('one', `--network one ${at(30, 9)} -p 8080:80`),
    run('two', `--network two ${at(31, 9)} -p 127.0.0.1:8082:80`),
    run('hidden', `--network hidden ${at(32, 9)}`),
    run('theirs', `--network theirs ${at(40, 9)} -p 8085:80`),
    run('inner', '--network inner'),
    run('bare', '--network bare --ip 10.33.0.9 -p [::]:8083:80'),
    run('one-b', `--network one ${at(30, 10)}`),
    run('hidden-b', `--network hidden ${at(32, 10)}`),
    run('theirs-b', `--network theirs ${at(40, 10)}`),
    run('docker', ''),
  ])
  await inner.run('ip route replace default via 10.41.0.1')
  return { one, two, hidden, theirs, inner, theirDocker: await server.addressOf('docker', 'bridge') }
}

function gatewayOf(network: string): readonly string[] {
  return ['network', 'inspect', '-f', '{{(index .IPAM.Config 0).Gateway}}', network]
}
