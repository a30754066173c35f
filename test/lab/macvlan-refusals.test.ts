/** What weft-macvlan refuses under real engines: in words, and without leaving anything. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { engines, shared } from '../support/scene.ts'

const create = 'network create -d weft-macvlan'
/** In the LAN of the lab: 192.0.2.0/24 and fd00:2::/64, whose router is the place outside. */
const lan =
  '--subnet 192.0.2.0/24 --ip-range 192.0.2.128/26 --gateway 192.0.2.1 ' +
  '--ipv6 --subnet fd00:2::/64 --gateway fd00:2::1 -o parent=eth0'

for (const engine of engines('20.10')) {
  const scene = shared({ engine })

  test(`macvlan, engine ${engine}: what cannot be is refused in words, and nothing is left`, () =>
    scene.play(async ({ server }) => {
      await server.sh('ip link add br9 type bridge; ip link add q0 type veth peer name q1; ip link set q0 master br9')
      const cases: readonly (readonly [string, RegExp])[] = [
        ['-o parent=lo', /loopback interface is not a valid macvlan parent link/],
        ['-o parent=eth9', /-o parent interface was not found on the host: eth9/],
        ['-o parent=q0', /q0 is a port of bridge br9/],
        ['-o parent=eth0.0', /vlan id must be between 1-4094, received: 0/],
        ['-o parent=eth0.4095', /vlan id must be between 1-4094, received: 4095/],
        ['-o parent=eth0 -o macvlan_mode=l2', /requested macvlan mode 'l2' is not valid/],
        ['-o parent=eth0 -o vlan=50', /a VLAN is part of the name of the parent: -o parent=eth0\.50/],
        ['-o parnt=eth0', /did you mean parent\?/],
        ['-o parent=eth0 -o host_access=10.9.0.1', /10\.9\.0\.1 is in none of its subnets/],
      ]
      for (const [options, text] of cases) {
        assert.match(await server.docker(`${create} --subnet 10.30.0.0/24 ${options} no`, { fails: true }), text)
      }
      assert.match(
        await server.docker('network create -d weft-ipvlan -o parent=eth0 --subnet 10.30.0.0/24 no', { fails: true }),
        /this kernel has no ipvlan/,
      )
      await server.docker(`${create} --subnet 10.30.0.0/24 -o parent=eth0 a`)
      assert.match(
        await server.docker('run --network a --ip 10.31.0.9 probe true', { fails: true }),
        /no configured subnet|invalid|does not contain|outside/i,
      )
      assert.match(await server.docker('run --network a -p 8080:80 probe true', { fails: true }), /host_access=true/)
      await server.docker('run -d --name one --network a --mac-address 02:42:00:00:00:77 probe')
      assert.match(
        await server.docker('run --network a --mac-address 02:42:00:00:00:77 probe true', { fails: true }),
        /MAC address 02:42:00:00:00:77 is in use in this segment/,
      )
      await server.docker('rm -f one')
      await server.docker('network rm a')
      await server.run('ip link delete br9')
      await server.run('ip link delete q0')
    }))

  test(`macvlan, engine ${engine}: an address that a machine of the LAN has is found before it is used`, () =>
    scene.play(async ({ server, client }) => {
      await client.sh('ip address add 192.0.2.170/24 dev eth0; ip address add fd00:2::171/64 dev eth0 nodad')
      const mac = (await client.run('cat /sys/class/net/eth0/address')).trim()
      await server.docker(`${create} ${lan} a`)
      const four = await server.docker('run --network a --ip 192.0.2.170 probe true', { fails: true })
      assert.match(four, `address 192.0.2.170 is in use on eth0: ${mac} has it`)
      const six = await server.docker('run --network a --ip6 fd00:2::171 probe true', { fails: true })
      assert.match(six, `address fd00:2::171 is in use on eth0: ${mac} has it`)
      const own = await server.docker(`run --network a --ip ${server.ip4} probe true`, { fails: true })
      assert.match(own, 'the host itself has it on eth0')
      await server.docker('run -d --name one --network a --ip 192.0.2.172 probe')
      // The long search begins in one call of the engine and ends in the next.
      await server.docker('rm -f one')
      await server.docker('network rm a')
      await server.docker(`${create} ${lan} -o weft.dad=rfc5227 a`)
      const long = await server.docker('run --network a --ip 192.0.2.170 probe true', { fails: true })
      assert.match(long, `address 192.0.2.170 is in use on eth0: ${mac} has it`)
      await server.docker('run --rm --network a --ip 192.0.2.172 probe true')
      await client.sh('ip address delete 192.0.2.170/24 dev eth0; ip address delete fd00:2::171/64 dev eth0')
    }))

  test(`macvlan, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()
