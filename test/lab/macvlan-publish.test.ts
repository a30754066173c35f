/** Ports of containers of weft-macvlan, which the host serves by its place in the network. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { closed, netOf, seenBy, sees } from '../support/reach.ts'
import { engines, rows, shared } from '../support/scene.ts'

const create = 'network create -d weft-macvlan'
const lan =
  '--subnet 192.0.2.0/24 --ip-range 192.0.2.128/26 --gateway 192.0.2.1 ' +
  '--ipv6 --subnet fd00:2::/64 --gateway fd00:2::1 -o parent=eth0'
const at = (last: number): string => `--ip 192.0.2.${last} --ip6 fd00:2::${last}`
const own = '--ipam-driver weft-ipam'

for (const engine of engines('28.5')) {
  const scene = shared({ engine })

  test(`host access, engine ${engine}: published ports are served on the host`, () =>
    scene.play(async ({ server, client }) => {
      await server.docker(`${create} ${lan} -o host_access=192.0.2.120,fd00:2::120 a`)
      await server.docker('network create -d weft-bridge --subnet 10.31.0.0/24 b')
      await server.docker(`run -d --name one --network a ${at(140)} -p 8080:80 -p 127.0.0.1:8081:80 probe`)
      await server.docker('run -d --name other --network b probe')
      const [one, other] = [await netOf(server, 'one'), await netOf(server, 'other')]
      await rows({
        'from the LAN': sees(client, server.ip4, '192.0.2.120', { port: 8080 }),
        'from the LAN, v6': sees(client, server.ip6, 'fd00:2::120', { port: 8080 }),
        'by udp': () => seenBy(client, '192.0.2.140', { protocol: 'udp' }),
        'on the host': sees(server, server.ip4, '192.0.2.120', { port: 8080 }),
        'on 127.0.0.1': sees(server, '127.0.0.1', '192.0.2.120', { port: 8081 }),
        'on 127.0.0.1, published everywhere': sees(server, '127.0.0.1', '192.0.2.120', { port: 8080 }),
        'from another network': () => seenBy(other, server.ip4, { port: 8080 }),
        'from the container itself': () => seenBy(one, server.ip4, { port: 8080 }),
        'not the loopback one': () => closed(client, server.ip4, { port: 8081 }),
        'the host is no router for the container': () => closed(other, '192.0.2.140'),
      })
      assert.match(await server.weft('ports'), /8080/)
      await server.docker('rm -f one')
      await closed(client, server.ip4, { port: 8080 })
    }))

  test(`host access, engine ${engine}: ports of a container whose default route is the link itself`, () =>
    scene.play(async ({ server }) => {
      await server.docker(`${create} ${own} --subnet 10.30.0.0/24 -o host_access=true a`)
      await server.sh('ip link add p0 type veth peer name p1; ip link set p0 up; ip link set p1 up')
      await server.docker(`${create} ${own} --subnet 10.31.0.0/24 -o parent=p0 -o host_access=true b`)
      await server.docker('network create -d weft-bridge --subnet 10.32.0.0/24 web')
      await server.docker('run -d --name one --network b -p 8080:80 probe')
      await seenBy(server, '127.0.0.1', { port: 8080 })
      // With a network that leads out the ports go there, once.
      await server.docker('network connect web one')
      await seenBy(server, '127.0.0.1', { port: 8080 })
      await server.docker('restart -t 0 one')
      await seenBy(server, '127.0.0.1', { port: 8080 })
      await server.docker('rm -f one')
      await server.docker('network rm a b web')
      await server.run('ip link delete p0')
    }))

  test(`host access, engine ${engine}: ports of a network without a parent, in which no engine sees a gateway`, () =>
    scene.play(async ({ server, client }) => {
      await server.docker(`${create} ${own} --subnet 10.30.0.0/24 -o host_access=true a`)
      await server.docker('network create -d weft-bridge --subnet 10.32.0.0/24 web')
      await server.docker('run -d --name one --network a -p 8080:80 probe')
      await seenBy(client, server.ip4, { port: 8080 })
      await seenBy(server, '127.0.0.1', { port: 8080 })
      // With a network that leads out the ports go there, once.
      await server.docker('network connect web one')
      await seenBy(client, server.ip4, { port: 8080 })
      await server.docker('restart -t 0 one')
      await seenBy(client, server.ip4, { port: 8080 })
      await server.docker('network disconnect web one')
      await server.docker('restart -t 0 one')
      await seenBy(client, server.ip4, { port: 8080 })
      await server.docker('rm -f one')
      await closed(client, server.ip4, { port: 8080 })
    }))

  test(`host access, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()
