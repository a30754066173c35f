/** The host's place in a network of weft-macvlan: who reaches whom, and what it survives. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { probe } from '../../native/dad/dad.ts'
import type { Ip } from '../../native/value/ip.ts'
import { eventually, type Host } from '../support/lab.ts'
import { netOf, pings, seenBy, sees } from '../support/reach.ts'
import { engineJumps, engines, open, rows, shared } from '../support/scene.ts'

const create = 'network create -d weft-macvlan'
const lan =
  '--subnet 192.0.2.0/24 --ip-range 192.0.2.128/26 --gateway 192.0.2.1 ' +
  '--ipv6 --subnet fd00:2::/64 --gateway fd00:2::1 -o parent=eth0'
const at = (last: number): string => `--ip 192.0.2.${last} --ip6 fd00:2::${last}`
const own = '--ipam-driver weft-ipam'

async function shimOf(host: Host): Promise<string> {
  const links = await host.run('ip -o link')
  return /: (ws[a-z2-7]{11})@/.exec(links)?.[1] ?? ''
}

for (const engine of engines('28.5')) {
  const scene = shared({ engine, except: engineJumps })

  test(`host access, engine ${engine}: the host and its containers reach each other, until the last one goes`, () =>
    scene.play(async ({ server, client, restartWeft }) => {
      await server.docker(`${create} ${lan} -o host_access=192.0.2.120,fd00:2::120 a`)
      assert.is(await shimOf(server), '')
      await server.docker(`run -d --name one --network a ${at(140)} probe`)
      const one = await netOf(server, 'one')
      const all = (): Promise<void> =>
        rows({
          'host to container': sees(server, '192.0.2.140', '192.0.2.120'),
          'host to container, v6': sees(server, 'fd00:2::140', 'fd00:2::120'),
          'container to host': () => pings(one, '192.0.2.120'),
          'container to host, v6': () => pings(one, 'fd00:2::120'),
          'container to the own address of the host': () => pings(one, server.ip4),
          'container to the LAN': () => pings(one, client.ip4),
          'the LAN to the host': () => pings(client, server.ip4),
        })
      await all()
      // The host answers for its addresses by one link only.
      const holders = await probe({ netns: client.netns, link: 'eth0', addresses: [server.ip4 as Ip] })
      assert.equal(
        holders.map(({ mac }) => mac),
        ['02:00:00:00:02:0b'],
      )
      await server.sh('ip link set eth0 down; ip link set eth0 up')
      await server.sh('ip route replace default via 192.0.2.1; ip address replace fd00:2::11/64 dev eth0 nodad')
      await all()
      await restartWeft('SIGKILL')
      await all()
      const shim = await shimOf(server)
      await server.run(['ip', 'link', 'delete', shim])
      await eventually('the place of the host is back', async () => (await shimOf(server)) === shim)
      await all()
      await server.docker(`run -d --name two --network a ${at(141)} probe`)
      await server.docker('rm -f one')
      await pings(server, '192.0.2.141')
      await server.docker('rm -f two')
      await eventually('the place of the host is gone', async () => (await shimOf(server)) === '')
      await server.run('ip -6 route replace default via fd00:2::1')
    }))

  test(`host access, engine ${engine}: a free address of the pool, which no container gets`, () =>
    scene.play(async ({ server }) => {
      await server.docker(`${create} ${own} --subnet 10.30.0.0/29 -o host_access=true a`)
      const names = ['one', 'two', 'three', 'four']
      for (const name of names) await server.docker(`run -d --name ${name} --network a probe`)
      const shim = await shimOf(server)
      const [, mine = ''] = /inet (\S+)\/32/.exec(await server.run(['ip', '-o', 'address', 'show', shim])) ?? []
      assert.match(mine, /^10\.30\.0\.\d$/)
      for (const name of names) {
        const address = await server.addressOf(name, 'a')
        assert.is.not(address, mine)
        assert.is(await seenBy(server, address), mine)
      }
      assert.match(
        await server.docker(['run', '--network', 'a', '--ip', mine, 'probe', 'true'], { fails: true }),
        /in use|already/i,
      )
      await server.docker('rm -f one two three four')
      await server.docker('network rm a')
      // With the engine's own IPAM, one that is kept out of the way.
      await server.docker(`${create} --subnet 10.33.0.0/24 --aux-address host=10.33.0.2 -o host_access=true b`)
      await server.docker('run -d --name five --network b probe')
      assert.is(await seenBy(server, await server.addressOf('five', 'b')), '10.33.0.2')
    }))

  test(`host access, engine ${engine}: the parent goes and comes back`, () =>
    scene.play(async ({ server }) => {
      await server.sh('ip link add p0 type veth peer name p1; ip link set p0 up; ip link set p1 up')
      await server.docker(`${create} ${own} --subnet 10.30.0.0/24 -o parent=p0 -o host_access=true a`)
      await server.docker('run -d --name one --network a --ip 10.30.0.9 probe')
      await pings(server, '10.30.0.9')
      await server.run('ip link delete p0')
      await eventually('the container has lost its link', async () => (await shimOf(server)) === '')
      const refusal = await server.docker('run --network a probe true', { fails: true })
      assert.match(refusal, /on p0.*a link that it is to stand on is not there/s)
      await server.sh('ip link add p0 type veth peer name p1; ip link set p0 up; ip link set p1 up')
      await eventually('the place of the host is back', async () => (await shimOf(server)) !== '')
      // What stood in the container went with the parent.
      await server.docker('restart -t 0 one')
      await pings(server, '10.30.0.9')
      await server.docker('rm -f one')
      await server.docker('network rm a')
      await server.run('ip link delete p0')
    }))

  test(`host access, engine ${engine}: many networks at once, each with addresses that are asked for`, () =>
    scene.play(async ({ server }) => {
      const numbers = [1, 2, 3, 4, 5, 6, 7, 8]
      const subnets = (n: number): string => `--subnet 10.30.${n}.0/24 --ipv6 --subnet fd00:30:${n}::/64 -o parent=eth0`
      await Promise.all(
        numbers.map(n => server.docker(`${create} ${subnets(n)} -o host_access=10.30.${n}.9,fd00:30:${n}::9 n${n}`)),
      )
      assert.is((await server.docker('network ls -q --filter driver=weft-macvlan')).split('\n').length, numbers.length)
    }))

  test(`host access, engine ${engine}: on a parent that was down, addresses of others are found as soon as it is up`, () =>
    scene.play(async ({ server }) => {
      const far = (what: string): Promise<string> => server.sh(`ip netns exec far ${what}`)
      await server.sh('ip netns add far; ip link add p0 type veth peer name p1 netns far; ip -n far link set p1 up')
      await far('ip address add 10.30.0.8/32 dev p1')
      await far('ip address add 10.30.0.9/32 dev p1')
      const mac = (await far('cat /sys/class/net/p1/address')).trim()
      await server.docker(`${create} --subnet 10.30.0.0/24 -o parent=p0 -o host_access=10.30.0.8 a`)
      await server.run('ip link set p0 up')
      const host = await server.docker('run --network a --ip 10.30.0.20 probe true', { fails: true })
      assert.match(host, `address 10.30.0.8 for the host is in use on p0: ${mac} has it`)
      await far('ip address delete 10.30.0.8/32 dev p1')
      const refused = await server.docker('run --network a --ip 10.30.0.9 probe true', { fails: true })
      assert.match(refused, `address 10.30.0.9 is in use on p0: ${mac} has it`)
      await server.docker('run -d --name one --network a --ip 10.30.0.20 probe')
      await pings(server, '10.30.0.20')
      // The last link of the host's is still on its way out when the next search begins.
      for (let round = 0; round < 5; round += 1) await server.docker('restart -t 0 one')
      await pings(server, '10.30.0.20')
      await server.docker('rm -f one')
      await server.docker('network rm a')
      await server.sh('ip link delete p0; ip netns delete far')
    }))

  test(`host access, engine ${engine}: the lab ends`, () => scene.end())
}

test('macvlan: a parent that is late after a boot: the network waits for it', async () => {
  await using scene = await open({ engine: '28.5', hosts: 1 })
  const { server } = scene
  const parent = 'ip link add p0 type veth peer name p1; ip link set p0 up; ip link set p1 up'
  await server.sh(parent)
  await server.docker(`${create} ${own} --subnet 10.30.0.0/24 -o parent=p0 -o host_access=true a`)
  await server.docker('run -d --name one --network a --ip 10.30.0.9 --restart always probe')
  await server.reboot()
  await server.startWeft()
  await server.startEngine()
  assert.match(await server.docker('run --network a probe true', { fails: true }), / on p0: .* is not there/)
  assert.match(await server.docker('network ls'), 'weft-macvlan')
  await server.sh(parent)
  await server.docker('start one')
  await pings(server, '10.30.0.9')
})

test.run()
