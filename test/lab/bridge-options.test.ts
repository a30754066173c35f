/** What a user can choose for a network and a container of weft-bridge. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { http, inside, serve, type Host } from '../support/lab.ts'
import { closed, netOf, pings, pingsNot, seenBy, sees } from '../support/reach.ts'
import { asBefore, engines, isNew, rows, shared } from '../support/scene.ts'

const bridge = 'network create -d weft-bridge'
const pair = '--subnet 10.30.0.0/24 --ipv6 --subnet fd00:30::/64'

for (const engine of engines('20.10')) {
  const scene = shared({ engine })

  test(`bridge options, engine ${engine}: chosen addresses, MAC and MTU arrive in the container`, () =>
    scene.play(async ({ server, client }) => {
      await server.docker(
        `${bridge} ${pair} -o com.docker.network.driver.mtu=1400 -o com.docker.network.bridge.name=lan0 web`,
      )
      const chosen = '--ip 10.30.0.77 --ip6 fd00:30::77 --mac-address 02:42:00:00:00:77'
      await server.docker(`run -d --name www --network web ${chosen} -p 8080:80 probe`)
      await server.docker('run -d --name two --network web probe')
      const [www, two] = [inside(server, 'www'), await netOf(server, 'two')]

      assert.match(await www.run('ip -o address show eth0'), /inet 10\.30\.0\.77\/24.*inet6 fd00:30::77\/64/s)
      assert.match(await www.run('ip -o link show eth0'), /mtu 1400 .* 02:42:00:00:00:77 /)
      assert.is(
        await server.docker(['inspect', '-f', '{{.NetworkSettings.Networks.web.MacAddress}}', 'www']),
        '02:42:00:00:00:77',
      )
      assert.match(await server.run('ip -o link show lan0'), / mtu 1400 /)
      await two.run(['ping', '-c', '1', '-W', '2', '-M', 'do', '-s', '1372', '10.30.0.77'])
      await rows({
        'neighbour v4': sees(two, '10.30.0.77', await server.addressOf('two', 'web')),
        'neighbour v6': sees(two, 'fd00:30::77', await server.addressOf('two', 'web', { family: 6 })),
        'published v4': sees(client, server.ip4, client.ip4, { port: 8080 }),
        'published v6': sees(client, server.ip6, client.ip6, { port: 8080 }),
        'out v4': () => pings(two, client.ip4),
        'out v6': () => pings(two, client.ip6),
        'host to container': sees(server, '10.30.0.77', '10.30.0.1'),
        'host to container, v6': sees(server, 'fd00:30::77', 'fd00:30::1'),
      })
    }))

  test(`bridge options, engine ${engine}: an internal network reaches its neighbours and nothing else`, () =>
    scene.play(async ({ server, client }) => {
      await server.docker(`${bridge} ${pair} --internal hidden`)
      await server.docker(`${bridge} web`)
      await server.docker('run -d --name www --network hidden -p 8080:80 probe')
      await server.docker('run -d --name two --network hidden probe')
      await server.docker('run -d --name open --network web -p 8081:80 probe')
      await server.docker('run -d --name try --network hidden probe')
      const [two, tries] = [await netOf(server, 'two'), await netOf(server, 'try')]
      const [address, address6] = [
        await server.addressOf('www', 'hidden'),
        await server.addressOf('www', 'hidden', { family: 6 }),
      ]

      assert.match(await http(inside(server, 'two'), 'www', 80), ' client ')
      assert.is(await two.run('ip route show default'), '')
      assert.is(await two.run('ip -6 route show default'), '')
      // A way out that somebody sets up inside does not help.
      await tries.run('ip route add default via 10.30.0.1')
      await tries.run('ip -6 route add default via fd00:30::1')
      await rows({
        'neighbour v6': () => seenBy(two, address6),
        'no way out': () => pingsNot(tries, client.ip4),
        'no way out, v6': () => pingsNot(tries, client.ip6),
        'not published': () => closed(client, server.ip4, { port: 8080 }),
        'nor on the host': () => closed(server, '127.0.0.1', { port: 8080 }),
        'other networks': async () => closed(tries, await server.addressOf('open', 'web')),
        'not even what they publish': () => closed(tries, server.ip4, { port: 8081 }),
        'not from other networks': async () => closed(await netOf(server, 'open'), address),
        'the host itself': () => seenBy(server, address),
      })
      // With a second network, that one leads out.
      await server.docker('network connect web two')
      await pings(await netOf(server, 'two'), client.ip4)
      await server.docker('restart two')
      await pings(await netOf(server, 'two'), client.ip4)
    }))

  test(`bridge options, engine ${engine}: icc=false keeps containers apart, with br_netfilter and without`, () =>
    scene.play(async ({ server, client }) => {
      await server.docker(`${bridge} ${pair} -o com.docker.network.bridge.enable_icc=false apart`)
      await server.docker('run -d --name www --network apart -p 8080:80 probe')
      await server.docker('run -d --name two --network apart probe')
      const two = await netOf(server, 'two')
      const [address, address6] = [
        await server.addressOf('www', 'apart'),
        await server.addressOf('www', 'apart', { family: 6 }),
      ]
      for (const onOff of [1, 0]) {
        await filterBridges(server, onOff)
        const row = (name: string): string => `${name}, br_netfilter ${onOff}`
        await rows({
          [row('neighbour v4')]: () => closed(two, address),
          [row('neighbour v6')]: () => closed(two, address6),
          [row('neighbour udp')]: () => closed(two, address, { protocol: 'udp' }),
          [row('ping')]: () => pingsNot(two, address),
          [row('published')]: sees(client, server.ip4, client.ip4, { port: 8080 }),
          // With br_netfilter the answer is switched from port to port, and the ports are isolated.
          ...(onOff
            ? {}
            : { 'what is published is for neighbours, too': () => seenBy(two, server.ip4, { port: 8080 }) }),
          [row('out')]: () => pings(two, client.ip4),
          [row('out, v6')]: () => pings(two, client.ip6),
          [row('from the host')]: () => seenBy(server, address),
        })
      }
      await filterBridges(server, 1)
    }))

  test(`bridge options, engine ${engine}: masquerade=false leaves with the container's own address`, () =>
    scene.play(async ({ server, client }) => {
      await server.docker(`${bridge} ${pair} -o com.docker.network.bridge.enable_ip_masquerade=false plain`)
      await server.docker('run -d --name www --network plain --ip 10.30.0.9 --ip6 fd00:30::9 probe')
      await serve(client, { port: 9000 })
      await serve(client, { port: 9000, family: 6 })
      await client.run(['ip', 'route', 'add', '10.30.0.0/24', 'via', server.ip4])
      await client.run(['ip', 'route', 'add', 'fd00:30::/64', 'via', server.ip6])
      const www = await netOf(server, 'www')
      assert.match(await www.run(['socat', '-u', '-T', '2', `TCP4:${client.ip4}:9000`, '-']), 'client 10.30.0.9')
      assert.match(await www.run(['socat', '-u', '-T', '2', `TCP6:[${client.ip6}]:9000`, '-']), /client \[?fd00:0*30:/)
      await closed(client, '10.30.0.9')
      await closed(client, 'fd00:30::9')
    }))

  test(`bridge options, engine ${engine}: an adopted bridge stays, with what it had`, () =>
    scene.play(async ({ server, client }) => {
      await server.sh(`ip link add lan1 address 02:00:00:00:00:01 type bridge; ip link set lan1 up
        ip address add 10.30.0.1/24 dev lan1; ip address add 10.99.0.1/24 dev lan1`)
      const before = await server.snapshot()
      await server.docker(`${bridge} ${pair} -o com.docker.network.bridge.name=lan1 web`)
      await server.docker('run -d --name www --network web -p 8080:80 probe')
      await server.docker('run -d --name two --network web probe')
      assert.match(await http(inside(server, 'two'), 'www', 80), ' client ')
      assert.is(await seenBy(client, server.ip4, { port: 8080 }), client.ip4)
      assert.is(await seenBy(client, server.ip6, { port: 8080 }), client.ip6)
      await pings(await netOf(server, 'two'), client.ip4)
      const again = `${bridge} -o com.docker.network.bridge.name=lan1 again`
      assert.match(await server.docker(again, { fails: true }), 'same bridge name')
      await asBefore(server, before)
      await server.run('ip link delete lan1')
    }))

  if (isNew(engine)) {
    test(`bridge options, engine ${engine}: a network of IPv6 alone`, () =>
      scene.play(async ({ server, client }) => {
        await server.docker(`${bridge} --ipv4=false --ipv6 six`)
        await server.docker('run -d --name www --network six -p 8080:80 -p [::]:8081:80/udp probe')
        await server.docker('run -d --name two --network six probe')
        const two = inside(server, 'two')
        assert.is(await two.run('ip -o -4 address show eth0'), '')
        assert.match(await http(two, 'www', 80), await server.addressOf('two', 'six', { family: 6 }))
        await rows({
          out: () => pings(two, client.ip6),
          published: sees(client, server.ip6, client.ip6, { port: 8080 }),
          'published, udp': sees(client, server.ip6, client.ip6, { port: 8081, protocol: 'udp' }),
          'v4, relayed': () => seenBy(client, server.ip4, { port: 8080 }),
          'not on v4': () => closed(client, server.ip4, { port: 8081, protocol: 'udp' }),
        })
      }))
  }

  test(`bridge options, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()

/** Whether frames switched within a bridge pass the rules of iptables: the engine switches it on for its own. */
async function filterBridges(host: Host, onOff: number): Promise<void> {
  await host.sh(`for name in iptables ip6tables; do echo ${onOff} >/proc/sys/net/bridge/bridge-nf-call-$name; done`)
}
