/** Gateway modes, and the other ways to a container by its own address: who reaches what, and whom it sees. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Ground } from '../support/matrix-ground.ts'
import { engines, isNew, shared, type Scene } from '../support/scene.ts'

const bridge = 'com.docker.network.bridge'
const pair = (n: number): string => `--subnet 10.${n}.0.0/24 --ipv6 --subnet fd00:${n}::/64`
const at = (n: number, last = 9): string => `--ip 10.${n}.0.${last} --ip6 fd00:${n}::${last}`
const publish = (port: number): string => `-p ${port}:5000 -p ${port}:5000/udp`

for (const engine of engines('28.5')) {
  const scene = shared({ engine })

  test(`modes, engine ${engine}: nat, nat-unprotected, routed, and each family its own`, () =>
    scene.play(async scene => {
      const { server } = scene
      await using ground = await onRoutedLan(scene)
      const modes = { 30: ['nat', 'nat'], 31: ['nat-unprotected', 'nat-unprotected'], 32: ['routed', 'routed'] }
      const mixed = { 33: ['nat', 'routed'], 34: ['routed', 'nat-unprotected'] }
      for (const [n, [four = '', six = '']] of Object.entries({ ...modes, ...mixed })) {
        const options = `-o ${bridge}.gateway_mode_ipv4=${four} -o ${bridge}.gateway_mode_ipv6=${six}`
        await server.docker(`network create -d weft-bridge ${pair(Number(n))} ${options} net${n}`)
      }
      await ground.containers({
        nat: `--network net30 ${at(30)} ${publish(8030)}`,
        open: `--network net31 ${at(31)} ${publish(8031)}`,
        routed: `--network net32 ${at(32)} ${publish(8032)}`,
        routed6: `--network net33 ${at(33)} ${publish(8033)}`,
        routed4: `--network net34 ${at(34)} ${publish(8034)}`,
      })
      await ground.holds(
        'by the address of the container',
        `
        lan   10.30.0.9    5000      -
        lan   fd00:30::9   5000      -
        lan   10.30.0.9    5001      -
        lan   10.30.0.9    ping      -
        lan   fd00:30::9   ping      -
        lan   10.31.0.9    5000      192.0.2.12
        lan   10.31.0.9    5001      192.0.2.12
        lan   fd00:31::9   5001      fd00:2::12
        lan   10.31.0.9    5001/udp  192.0.2.12
        lan   fd00:31::9   5001/udp  fd00:2::12
        lan   10.31.0.9    ping      yes
        lan   10.32.0.9    5000      192.0.2.12
        lan   10.32.0.9    5000/udp  192.0.2.12
        lan   fd00:32::9   5000      fd00:2::12
        lan   fd00:32::9   5000/udp  fd00:2::12
        lan   10.32.0.9    5001      -
        lan   fd00:32::9   5001      -
        lan   fd00:32::9   5001/udp  -
        lan   10.32.0.9    ping      yes
        lan   fd00:32::9   ping      yes
        lan   10.33.0.9    5000      -
        lan   10.33.0.9    ping      -
        lan   fd00:33::9   5000      fd00:2::12
        lan   fd00:33::9   5001      -
        lan   fd00:33::9   ping      yes
        lan   10.34.0.9    5000      192.0.2.12
        lan   10.34.0.9    5001      -
        lan   fd00:34::9   5001      fd00:2::12
        nat   10.31.0.9    5001      -
        nat   fd00:31::9   5001      -
        nat   10.32.0.9    5000      10.30.0.9
        nat   fd00:32::9   5000/udp  fd00:30::9
        nat   10.32.0.9    5001      -
        nat   10.32.0.9    ping      yes
        nat   10.31.0.9    ping      -
        host  10.32.0.9    5001      10.32.0.1
        host  fd00:31::9   5001      fd00:31::1`,
      )
      await ground.holds(
        'by the address of the host',
        `
        lan     192.0.2.11   8030      192.0.2.12
        lan     fd00:2::11   8030      fd00:2::12
        lan     192.0.2.11   8031      192.0.2.12
        lan     fd00:2::11   8031/udp  fd00:2::12
        lan     192.0.2.11   8032      -
        lan     fd00:2::11   8032      -
        lan     192.0.2.11   8032/udp  -
        host    127.0.0.1    8032      -
        lan     192.0.2.11   8033      192.0.2.12
        lan     192.0.2.11   8034      -
        lan     fd00:2::11   8034      fd00:2::12
        routed  192.0.2.11   8030      10.32.0.9
        routed  fd00:2::11   8030      fd00:32::9`,
      )
      await ground.holds(
        'out',
        `
        nat      192.0.2.12   5000      192.0.2.11
        nat      fd00:2::12   5000      fd00:2::11
        open     192.0.2.12   5000/udp  192.0.2.11
        open     fd00:2::12   5000      fd00:2::11
        routed   192.0.2.12   5000      10.32.0.9
        routed   fd00:2::12   5000      fd00:32::9
        routed   192.0.2.12   5000/udp  10.32.0.9
        routed6  192.0.2.12   5000      192.0.2.11
        routed6  fd00:2::12   5000      fd00:33::9
        routed4  192.0.2.12   5000      10.34.0.9
        routed4  fd00:2::12   5000      fd00:2::11`,
      )
      assert.not.match(await server.weft('ports'), '8032')
    }))

  test(`modes, engine ${engine}: published ports of a routed network that is not the container's gateway`, () =>
    scene.play(async scene => {
      const { server } = scene
      await using ground = await onRoutedLan(scene)
      await server.docker(`network create -d weft-bridge ${pair(30)} a`)
      // The way back: the default route leads by the other network.
      const routes = 'weft.routes=192.0.2.0/24 via 10.32.0.1,fd00:2::/64 via fd00:32::1'
      const modes = `-o ${bridge}.gateway_mode_ipv4=routed -o ${bridge}.gateway_mode_ipv6=routed`
      const words = `network create -d weft-bridge ${pair(32)} ${modes}`.split(' ')
      await server.docker([...words, '-o', routes, 'b'])
      await ground.container('www', `--network a ${at(30)} ${publish(8080)}`)
      await server.docker(`network connect ${at(32)} b www`)
      assert.match(await ground.spot('www').run('ip route show default'), '10.30.0.1')
      await ground.holds(
        'two networks',
        `
        lan   10.32.0.9    5000      192.0.2.12
        lan   fd00:32::9   5000      fd00:2::12
        lan   10.32.0.9    5000/udp  192.0.2.12
        lan   10.32.0.9    5001      -
        lan   fd00:32::9   5001      -
        lan   10.30.0.9    5000      -
        host  10.32.0.9    5000      10.32.0.1
        host  127.0.0.1    8080      10.30.0.1`,
      )
    }))

  test(`modes, engine ${engine}: isolated: the host has no address, and nobody gets in or out`, () =>
    scene.play(async scene => {
      const { server } = scene
      await using ground = await onRoutedLan(scene)
      const isolated = `-o ${bridge}.gateway_mode_ipv4=isolated -o ${bridge}.gateway_mode_ipv6=isolated`
      const refused = await server.docker(`network create -d weft-bridge ${pair(36)} ${isolated} no`, { fails: true })
      assert.match(refused, "gateway mode 'isolated' can only be used for an internal network")
      await server.docker(
        `network create -d weft-bridge --internal ${pair(36)} ${isolated} -o ${bridge}.name=alone0 alone`,
      )
      await server.docker(
        `network create -d weft-bridge --internal ${pair(37)} -o ${bridge}.gateway_mode_ipv4=isolated ` +
          `-o ${bridge}.name=half0 half`,
      )
      await ground.containers({
        one: `--network alone ${at(36)} ${publish(8080)}`,
        two: `--network alone ${at(36, 10)}`,
        three: `--network half ${at(37)}`,
        four: `--network half ${at(37, 10)}`,
      })
      assert.is(await server.run('ip -o address show alone0'), '')
      const half = await server.run('ip -o address show half0')
      assert.not.match(half, ' inet ')
      assert.match(half, 'inet6 fd00:37::1/64')
      assert.is(await ground.spot('one').run('ip route show default'), '')
      assert.is(await ground.spot('one').run('ip -6 route show default'), '')
      await server.run('ip route add 10.36.0.0/24 dev alone0')
      await ground.holds(
        'isolated',
        `
        two    10.36.0.9    5001      10.36.0.10
        two    fd00:36::9   5001/udp  fd00:36::10
        three  10.37.0.10   5001      10.37.0.9
        three  fd00:37::10  5001      fd00:37::9
        host   10.36.0.9    5000      -
        host   10.37.0.9    5000      -
        host   fd00:36::9   5000      -
        host   fd00:37::9   5000      fd00:37::1
        lan    10.36.0.9    5000      -
        lan    fd00:36::9   5000      -
        lan    192.0.2.11   8080      -
        one    192.0.2.12   5000      -
        one    fd00:2::12   5000      -
        three  10.36.0.9    5000      -
        three  fd00:36::9   5000      -`,
      )
      if (isNew(engine)) {
        // GwAllocCheck: no address is set aside for a gateway that there is not.
        await ground.container('first', '--network alone --ip 10.36.0.1')
        await ground.holds('the address of the gateway', 'first 10.36.0.9 5000 10.36.0.1')
      }
    }))

  test(`modes, engine ${engine}: trusted interfaces reach published ports by the container's address`, () =>
    scene.play(async scene => {
      const { server } = scene
      await using ground = await onRoutedLan(scene)
      const trusted = `-o ${bridge}.trusted_host_interfaces=eth7:eth0`
      await server.docker(`network create -d weft-bridge ${pair(30)} ${trusted} a`)
      await server.docker(`network create -d weft-bridge ${pair(31)} b`)
      await ground.containers({
        www: `--network a ${at(30)} ${publish(8080)}`,
        other: `--network b ${at(31)} ${publish(8081)}`,
      })
      await ground.holds(
        'trusted',
        `
        lan    10.30.0.9    5000      192.0.2.12
        lan    10.30.0.9    5000/udp  192.0.2.12
        lan    fd00:30::9   5000      fd00:2::12
        lan    10.30.0.9    5001      -
        lan    fd00:30::9   5001      -
        lan    10.30.0.9    ping      -
        lan    10.31.0.9    5000      -
        other  10.30.0.9    5000      -
        lan    192.0.2.11   8080      192.0.2.12`,
      )
    }))

  test(`modes, engine ${engine}: the settings acceptFwmark, allowDirectRouting and publishAddress`, () =>
    scene.play(async scene => {
      const { server } = scene
      await using ground = await onRoutedLan(scene)
      const restart = async (flags: string): Promise<void> => {
        await server.weftd?.stop()
        await server.startWeft({ flags })
      }
      await restart('--accept-fwmark 0x10/0x30 --publish-address 192.0.2.11')
      await server.docker(`network create -d weft-bridge ${pair(30)} a`)
      await server.docker(`network create -d weft-bridge --internal ${pair(31)} b`)
      await server.docker(`network create -d weft-bridge ${pair(32)} -o ${bridge}.host_binding_ipv4=127.0.0.1 c`)
      await ground.containers({
        www: `--network a ${at(30)} ${publish(8080)} -p [::]:8082:5000`,
        hidden: `--network b ${at(31)}`,
        loop: `--network c ${at(32)} ${publish(8081)}`,
      })
      await server.sh(`nft add table inet lab
        nft add chain inet lab pre '{ type filter hook prerouting priority mangle; }'
        nft add rule inet lab pre ip saddr 192.0.2.1 meta mark set 0x10
        nft add rule inet lab pre ip6 saddr fd00:2::1 meta mark set 0x50
        nft add rule inet lab pre ip saddr 192.0.2.12 meta mark set 0x30`)
      await ground.holds(
        'marked by the host',
        `
        far   10.30.0.9    5001      192.0.2.1
        far   10.30.0.9    5001/udp  192.0.2.1
        far   fd00:30::9   5001      fd00:2::1
        far   10.31.0.9    5001      -
        lan   10.30.0.9    5000      -
        lan   10.30.0.9    5001      -`,
      )
      await server.run('nft delete table inet lab')
      await ground.holds(
        'published on one address',
        `
        far   10.30.0.9    5001      -
        lan   192.0.2.11   8080      192.0.2.12
        lan   192.0.2.11   8080/udp  192.0.2.12
        host  192.0.2.11   8080      192.0.2.11
        host  127.0.0.1    8080      -
        lan   fd00:2::11   8080      -
        lan   fd00:2::11   8082      fd00:2::12
        lan   192.0.2.11   8081      -
        lan   192.0.2.11   8081/udp  -
        host  127.0.0.1    8081      10.32.0.1
        host  127.0.0.1    8081/udp  10.32.0.1`,
      )
      await restart('--allow-direct-routing true')
      await ground.holds(
        'direct routing is allowed',
        `
        lan   10.30.0.9    5000      192.0.2.12
        lan   10.30.0.9    5000/udp  192.0.2.12
        lan   fd00:30::9   5000      fd00:2::12
        lan   10.30.0.9    5001      -
        lan   fd00:30::9   5001      -
        lan   10.31.0.9    5000      -
        lan   192.0.2.11   8080      192.0.2.12
        www   10.32.0.9    5000      -`,
      )
      await restart('')
      await ground.holds(
        'as before',
        `
        lan   10.30.0.9    5000      -
        lan   192.0.2.11   8080      192.0.2.12`,
      )
    }))

  test(`modes, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()

/** The LAN knows ways to 10.16.0.0 to 10.63.255.255 and fd00:30:: to fd00:3f::, and uses them. */
async function onRoutedLan(scene: Scene): Promise<Ground> {
  const { server, client, net } = scene
  for (const host of [client, net.underlay.outside]) {
    await host.sh(`ip route replace 10.16.0.0/12 via ${server.ip4}; ip route replace 10.32.0.0/11 via ${server.ip4}
      ip route replace fd00:30::/28 via ${server.ip6}`)
  }
  return new Ground(scene)
}
