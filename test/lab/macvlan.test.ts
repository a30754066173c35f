/** weft-macvlan under real engines: containers in the LAN of the host. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually, http, inside } from '../support/lab.ts'
import { netOf, pings, pingsNot, seenBy, sees } from '../support/reach.ts'
import { engines, isNew, rows, shared } from '../support/scene.ts'

const create = 'network create -d weft-macvlan'
/** In the LAN of the lab: 192.0.2.0/24 and fd00:2::/64, whose router is the place outside. */
const lan =
  '--subnet 192.0.2.0/24 --ip-range 192.0.2.128/26 --gateway 192.0.2.1 ' +
  '--ipv6 --subnet fd00:2::/64 --gateway fd00:2::1 -o parent=eth0'
const at = (last: number): string => `--ip 192.0.2.${last} --ip6 fd00:2::${last}`
const docker = 'com.docker.network'

for (const engine of engines('20.10')) {
  const scene = shared({ engine })

  test(`macvlan, engine ${engine}: containers are in the LAN, with MTU and names as wished`, () =>
    scene.play(async ({ server, client }) => {
      await server.docker(
        `${create} ${lan} -o ${docker}.driver.mtu=1400 -o ${docker}.container_iface_prefix=lan -o txqueuelen=77 a`,
      )
      await server.docker(`run -d --name one --network a ${at(140)} --mac-address 02:42:00:00:00:77 probe`)
      await server.docker(`run -d --name two --network a ${at(141)} probe`)
      const [one, two] = [await netOf(server, 'one'), await netOf(server, 'two')]
      assert.match(await one.run('ip -o link show lan0'), /mtu 1400 .* qlen 77.* 02:42:00:00:00:77 /)
      assert.match(await one.run('ip route show default'), 'via 192.0.2.1 dev lan0')
      assert.match(await one.run('ip -6 route show default'), 'via fd00:2::1 dev lan0')
      assert.is((await one.run('ip -o link')).split('\n').length, 2)
      assert.not.match(await server.docker('network ls'), 'docker_gwbridge')
      assert.match(await http(inside(server, 'two'), 'one', 80), ' client ')
      await rows({
        'neighbour v4': sees(two, '192.0.2.140', '192.0.2.141'),
        'neighbour v6': sees(two, 'fd00:2::140', 'fd00:2::141'),
        'from the LAN': sees(client, '192.0.2.140', client.ip4),
        'from the LAN, v6': sees(client, 'fd00:2::140', client.ip6),
        'into the LAN': () => pings(one, client.ip4),
        'to the router': () => pings(one, '192.0.2.1'),
        'not the host': () => pingsNot(one, server.ip4),
        'nor from it': () => pingsNot(server, '192.0.2.140'),
      })
      await server.docker('restart -t 0 one')
      await pings(await netOf(server, 'one'), client.ip4)
    }))

  test(`macvlan, engine ${engine}: without a parent, internal, without a gateway`, () =>
    scene.play(async ({ server, client }) => {
      const mtu = `-o ${docker}.driver.mtu=9000`
      await server.docker(`${create} --subnet 10.30.0.0/24 --ipv6 --subnet fd00:30::/64 -o parent= ${mtu} apart`)
      await server.docker(`${create} --subnet 192.0.2.0/24 -o parent=eth0 --internal inner`)
      await server.docker(`run -d --name one --network apart --ip 10.30.0.8 probe`)
      await server.docker(`run -d --name two --network apart --ip 10.30.0.9 probe`)
      await server.docker(`run -d --name in --network inner --ip 192.0.2.150 probe`)
      const [one, inner] = [await netOf(server, 'one'), await netOf(server, 'in')]
      for (const place of [one, inner]) assert.is(await place.run('ip route show default'), '')
      assert.match(await one.run('ip -o link show eth0'), /mtu 9000 /)
      assert.not.match(await server.docker('network ls'), 'docker_gwbridge')
      await rows({
        neighbour: () => seenBy(one, '10.30.0.9'),
        'the segment of an internal network': () => pings(inner, client.ip4),
      })
      await server.docker('rm -f in')
      await server.docker('network rm inner')
      if (!isNew(engine)) return
      // Older engines take an address for a gateway in any case.
      await server.docker(`${create} --subnet 192.0.2.0/24 -o parent=eth0 open`)
      await server.docker(`run -d --name out --network open --ip 192.0.2.150 probe`)
      const out = await netOf(server, 'out')
      assert.match(await out.run('ip route show default'), /^default dev eth0/)
      assert.is((await out.run('ip -o link')).split('\n').length, 2)
      await pings(out, client.ip4)
    }))

  test(`macvlan, engine ${engine}: several networks on one parent; null IPAM`, () =>
    scene.play(async ({ server, client }) => {
      await server.docker(`${create} ${lan} a`)
      await server.docker(`${create} --subnet 10.30.0.0/24 -o parent=eth0 -o macvlan_mode=private b`)
      await server.docker(`${create} --ipam-driver null -o parent=eth0 raw`)
      await server.docker(`run -d --name one --network a ${at(140)} probe`)
      await server.docker('run -d --name two --network b --ip 10.30.0.9 probe')
      await server.docker('run -d --name three --network b --ip 10.30.0.10 probe')
      await server.docker('run -d --name bare --network raw probe')
      await pings(await netOf(server, 'one'), client.ip4)
      await pingsNot(await netOf(server, 'two'), '10.30.0.10')
      const bare = await netOf(server, 'bare')
      await bare.run('ip address add 192.0.2.160/24 dev eth0')
      await pings(bare, client.ip4)
      const two = '--subnet 10.40.0.0/24 --gateway 10.40.0.1 --subnet 10.41.0.0/24 --gateway 10.41.0.1'
      await server.docker(`${create} ${two} -o parent=eth0 two`)
      for (const subnet of ['10.40.0', '10.41.0']) {
        await server.docker(`run -d --name in-${subnet} --network two --ip ${subnet}.9 probe`)
        assert.match(await (await netOf(server, `in-${subnet}`)).run('ip route show default'), `via ${subnet}.1 dev`)
      }
      await server.docker('rm -f in-10.40.0 in-10.41.0')
      await server.docker('network rm two')
      const passthru = `${create} --subnet 10.31.0.0/24 -o parent=eth0 -o macvlan_mode=passthru p`
      assert.match(await server.docker(passthru, { fails: true }), /already using parent interface eth0/)
      await server.docker('rm -f one two three bare')
      await server.docker('network rm a b raw')
    }))

  test(`macvlan, engine ${engine}: passthru: one container after the other has the link, which gets its MAC back`, () =>
    scene.play(async ({ server }) => {
      await server.sh('ip link add p0 type veth peer name p1; ip link set p0 up; ip link set p1 up')
      const mac = async (): Promise<string> => (await server.run('cat /sys/class/net/p0/address')).trim()
      const own = await mac()
      const passthru = '--subnet 10.31.0.0/24 -o parent=p0 -o macvlan_mode=passthru p'
      for (const ipam of ['default', 'weft-ipvlan']) {
        await server.docker(`${create} --ipam-driver ${ipam} ${passthru}`)
        for (const name of ['one', 'two']) {
          await server.docker(`run -d --name ${name} --network p probe`)
          assert.match(await (await netOf(server, name)).run('ip -o link show eth0'), own)
          const second = await server.docker('run --network p probe true', { fails: true })
          assert.match(second, /weft-macvlan cannot use parent p0: endpoint \w+ .* passthru takes the whole link/)
          await server.docker(`rm -f ${name}`)
        }
        await server.docker('network rm p')
      }
      // The engine sets the MAC that it made, as with a macvlan network of its own.
      await server.docker(`${create} --ipam-driver weft-ipam ${passthru}`)
      for (const [name, more] of [
        ['four', ''],
        ['five', '--mac-address 02:42:00:00:00:77'],
      ] as const) {
        await server.docker(`run -d --name ${name} --network p ${more} probe`)
        const given = await mac()
        assert.is.not(given, own)
        assert.match(await (await netOf(server, name)).run('ip -o link show eth0'), given)
        assert.match(await server.docker(['inspect', name]), given)
        await server.docker(`rm -f ${name}`)
        await eventually('the link has its MAC back', async () => (await mac()) === own)
      }
      await server.docker('network rm p')
      await server.run('ip link delete p0')
    }))

  test(`macvlan, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()
