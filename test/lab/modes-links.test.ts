/** What a user can choose for addresses, routes and links of weft-bridge: it is there, and packets go by it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Ground } from '../support/matrix-ground.ts'
import { engines, shared } from '../support/scene.ts'

const docker = 'com.docker.network'
const create = 'network create -d weft-bridge'
const pair = (n: number): string => `--subnet 10.${n}.0.0/24 --ipv6 --subnet fd00:${n}::/64`
const at = (n: number, last = 9): string => `--ip 10.${n}.0.${last} --ip6 fd00:${n}::${last}`
const publish = (port: number): string => `-p ${port}:5000 -p ${port}:5000/udp`

for (const engine of engines('28.5')) {
  const scene = shared({ engine })

  test(`links, engine ${engine}: containers leave with the address that the network chose, or their own`, () =>
    scene.play(async scene => {
      const { server, client } = scene
      await using ground = new Ground(scene)
      await server.sh('ip address add 192.0.2.111/24 dev eth0; ip address add fd00:2::111/64 dev eth0 nodad')
      await client.sh(
        `ip route replace 10.31.0.0/24 via ${server.ip4}; ip route replace fd00:31::/64 via ${server.ip6}`,
      )
      const snat = `-o ${docker}.host_ipv4=192.0.2.111 -o ${docker}.host_ipv6=fd00:2::111`
      await server.docker(`${create} ${pair(30)} ${snat} a`)
      await server.docker(`${create} ${pair(31)} -o ${docker}.bridge.enable_ip_masquerade=false b`)
      await ground.containers({
        chosen: `--network a ${at(30)} ${publish(8080)}`,
        own: `--network b ${at(31)} ${publish(8081)}`,
      })
      await ground.holds(
        'out',
        `
        chosen  192.0.2.12   5000      192.0.2.111
        chosen  192.0.2.12   5000/udp  192.0.2.111
        chosen  fd00:2::12   5000      fd00:2::111
        own     192.0.2.12   5000      10.31.0.9
        own     fd00:2::12   5000/udp  fd00:31::9
        lan     192.0.2.111  8080      192.0.2.12
        lan     192.0.2.11   8081      192.0.2.12
        chosen  192.0.2.11   8081      10.30.0.9
        own     192.0.2.11   8080      10.31.0.9
        lan     10.31.0.9    5000      -`,
      )
      await server.sh('ip address delete 192.0.2.111/24 dev eth0; ip address delete fd00:2::111/64 dev eth0')
    }))

  test(`links, engine ${engine}: another machine in the segment is the gateway`, () =>
    scene.play(async scene => {
      const { server } = scene
      await using ground = new Ground(scene)
      // One without an IPv4 address of the host's, and one whose default route leads elsewhere.
      await server.docker(
        `${create} ${pair(30)} -o ${docker}.bridge.inhibit_ipv4=true -o ${docker}.bridge.name=bare0 a`,
      )
      const aux = '--aux-address DefaultGatewayIPv4=10.31.0.254 --aux-address DefaultGatewayIPv6=fd00:31::fe'
      await server.docker(`${create} ${pair(31)} ${aux} b`)
      await ground.containers({ inhibited: `--network a ${at(30)}`, aside: `--network b ${at(31)}` })
      const router = await ground.strange('router')
      await server.sh(`ip link add r0 type veth peer name eth0 netns router; ip link set r0 master bare0 up
        ip -n router link set eth0 up; ip -n router address add 10.30.0.1/24 dev eth0
        ip -n router address add 10.99.0.1/32 dev lo`)
      assert.not.match(await server.run('ip -o address show bare0'), ' inet ')
      await ground.endpoint('second', 'b', ['weft.antispoof=false'], at(31, 10))
      const second = ground.spot('second')
      for (const address of ['10.31.0.254/24', '10.99.0.2/32', 'fd00:31::fe/64', 'fd00:99::2/128']) {
        await second.run(`ip address add ${address} dev eth0${address.includes(':') ? ' nodad' : ''}`)
      }
      assert.match(await ground.spot('aside').run('ip route show default'), 'via 10.31.0.254')
      assert.match(await ground.spot('aside').run('ip -6 route show default'), 'via fd00:31::fe')
      await ground.holds(
        'by another gateway',
        `
        inhibited  10.99.0.1    5000      10.30.0.9
        router     10.30.0.9    5000      10.30.0.1
        inhibited  fd00:2::12   5000      fd00:2::11
        aside      10.99.0.2    5000      10.31.0.9
        aside      fd00:99::2   5000      fd00:31::9
        host       10.31.0.9    5000      10.31.0.1`,
      )
      await router.run('ip link delete eth0')
      await server.run('ip netns delete router')
    }))

  test(`links, engine ${engine}: the smallest subnets, /31 and /127`, () =>
    scene.play(async scene => {
      const { server } = scene
      await using ground = new Ground(scene)
      const small = '--ipam-driver weft-ipam --subnet 10.30.0.0/31 --ipv6 --subnet fd00:30::/127'
      await server.docker(`${create} ${small} a`)
      await ground.container('www', `--network a ${publish(8080)}`)
      const [four, six] = [await server.addressOf('www', 'a'), await server.addressOf('www', 'a', { family: 6 })]
      const [gateway4, gateway6] = [
        four === '10.30.0.0' ? '10.30.0.1' : '10.30.0.0',
        six === 'fd00:30::' ? 'fd00:30::1' : 'fd00:30::',
      ]
      assert.match(await server.docker('run --network a probe true', { fails: true }), /no available|full|exhausted/i)
      await ground.holds(
        'two addresses',
        `
        lan   192.0.2.11   8080      192.0.2.12
        lan   fd00:2::11   8080/udp  fd00:2::12
        host  ${four}      5000      ${gateway4}
        host  ${six}       5000/udp  ${gateway6}
        host  127.0.0.1    8080      ${gateway4}
        www   192.0.2.12   5000      192.0.2.11
        www   fd00:2::12   5000      fd00:2::11
        www   192.0.2.11   8080      ${gateway4}`,
      )
    }))

  test(`links, engine ${engine}: several subnets of a family in one network`, () =>
    scene.play(async scene => {
      const { server } = scene
      await using ground = new Ground(scene)
      const subnets = '--subnet 10.30.0.0/24 --subnet 10.31.0.0/24 --ipv6 --subnet fd00:30::/64 --subnet fd00:31::/64'
      await server.docker(`${create} ${subnets} a`)
      await ground.containers({
        first: `--network a ${at(30)} ${publish(8080)}`,
        second: `--network a ${at(31)} ${publish(8081)}`,
      })
      await ground.holds(
        'two subnets',
        `
        first   10.31.0.9    5001      10.30.0.9
        second  10.30.0.9    5001/udp  10.31.0.9
        first   fd00:31::9   5001      fd00:30::9
        second  fd00:30::9   5001/udp  fd00:31::9
        first   192.0.2.12   5000      192.0.2.11
        second  192.0.2.12   5000      192.0.2.11
        second  fd00:2::12   5000      fd00:2::11
        lan     192.0.2.11   8080      192.0.2.12
        lan     192.0.2.11   8081      192.0.2.12
        lan     fd00:2::11   8081/udp  fd00:2::12
        host    10.31.0.9    5001      10.31.0.1
        host    127.0.0.1    8081      10.31.0.1
        second  192.0.2.11   8081      10.31.0.1`,
      )
    }))

  test(`links, engine ${engine}: routes, blackholes, no default route, and names of links`, () =>
    scene.play(async scene => {
      const { server } = scene
      await using ground = new Ground(scene)
      const routes =
        'weft.routes=10.99.0.0/16 via 10.30.0.10,fd00:99::/64 via fd00:30::10,blackhole 192.0.2.1,blackhole fd00:2::1'
      await server.docker([
        ...`${create} ${pair(30)} -o ${docker}.container_iface_prefix=lan -o`.split(' '),
        routes,
        'a',
      ])
      await server.docker(`${create} ${pair(31)} -o weft.default_route=false b`)
      await ground.containers({ routed: `--network a ${at(30)}`, alone: `--network b ${at(31)} ${publish(8080)}` })
      await ground.endpoint('router', 'a', ['weft.antispoof=false', 'weft.link=web7'], at(30, 10))
      await ground.container('beside', `--network b ${at(31, 10)}`)
      assert.match(await server.run('ip -o link show web7'), ' master wb')
      const router = ground.spot('router')
      assert.match(await router.run('ip -o link show lan0'), 'lan0@')
      for (const address of ['10.99.0.1/32', 'fd00:99::1/128']) await router.run(`ip address add ${address} dev lan0`)
      // No leg on docker_gwbridge either. The engine publishes ports where the default route leads: nowhere.
      const alone = ground.spot('alone')
      assert.is((await alone.run('ip -o link show')).split('\n').length, 2)
      assert.is(await alone.run('ip route show default'), '')
      assert.is(await alone.run('ip -6 route show default'), '')
      assert.not.match(await server.docker('network ls'), 'docker_gwbridge')
      await ground.holds(
        'routes',
        `
        routed  10.99.0.1    5000      10.30.0.9
        routed  fd00:99::1   5000      fd00:30::9
        routed  192.0.2.12   5000      192.0.2.11
        routed  fd00:2::12   5000      fd00:2::11
        routed  192.0.2.1    5000      -
        routed  192.0.2.1    5000/udp  -
        routed  fd00:2::1    5000      -
        host    192.0.2.1    5000      192.0.2.11
        beside  10.31.0.9    5000      10.31.0.10
        beside  fd00:31::9   5000/udp  fd00:31::10
        alone   192.0.2.12   5000      -
        alone   fd00:2::12   5000      -
        host    10.31.0.9    5001      10.31.0.1
        host    127.0.0.1    8080      -`,
      )
      await server.docker('restart -t 0 router')
      assert.match(await server.run('ip -o link show web7'), ' master wb')
    }))

  test(`links, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()
