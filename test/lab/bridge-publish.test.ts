/** Published ports of weft-bridge: every form of -p, and whom the container sees. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually, inside, type Host } from '../support/lab.ts'
import { closed, netOf, seenBy, sees, type Target } from '../support/reach.ts'
import { engines, rows, shared } from '../support/scene.ts'

const pair = '--subnet 10.30.0.0/24 --ipv6 --subnet fd00:30::/64'
const forms = [
  '8080:80',
  '8081:80/udp',
  '9000-9003:80',
  '9010-9011:80-81',
  '127.0.0.1:8082:80',
  '192.0.2.11:8083:80',
  '192.0.2.11:8083:80/udp',
  '[::]:8084:80',
  '[fd00:2::11]:8085:80',
  '80',
]

interface Port {
  readonly protocol: string
  readonly hostAddress: string
  readonly hostPort: number
  readonly containerPort: number
  readonly state: string
}

for (const engine of engines()) {
  const scene = shared({ engine })

  test(`publish, engine ${engine}: each form of -p serves where it says, with the real client's address`, () =>
    scene.play(async ({ server, client }) => {
      await server.docker(`network create -d weft-bridge ${pair} web`)
      await server.docker('network create -d weft-bridge --subnet 10.31.0.0/24 other')
      const flags = forms.flatMap(form => ['-p', form])
      await server.docker([
        ...'run -d --name www --network web --ip 10.30.0.9 --ip6 fd00:30::9'.split(' '),
        ...flags,
        'probe',
      ])
      await server.docker('run -d --name two --network web --ip 10.30.0.10 --ip6 fd00:30::10 probe')
      await server.docker('run -d --name far --network other --ip 10.31.0.10 probe')
      const [www, two, far] = [await netOf(server, 'www'), await netOf(server, 'two'), await netOf(server, 'far')]
      const all = await portsOf(server)
      const [chosen] = all.filter(({ hostPort, containerPort }) => hostPort > 30_000 && containerPort === 80)
      const [ranged] = all.filter(({ hostPort }) => hostPort >= 9000 && hostPort <= 9003)
      assert.equal(
        all.filter(({ state }) => state !== 'ok'),
        [],
      )
      const udp = (port: number): Target => ({ port, protocol: 'udp' })
      const [v4, v6, lan4, lan6] = [server.ip4, server.ip6, client.ip4, client.ip6]
      await rows({
        'fixed, v4': sees(client, v4, lan4, { port: 8080 }),
        'fixed, v6': sees(client, v6, lan6, { port: 8080 }),
        'udp, v4': sees(client, v4, lan4, udp(8081)),
        'udp, v6': sees(client, v6, lan6, udp(8081)),
        'udp is not tcp': () => closed(client, v4, { port: 8081 }),
        'tcp is not udp': () => closed(client, v4, udp(8080)),
        'the first free one of a range': sees(client, v4, lan4, { port: ranged?.hostPort ?? 0 }),
        'range to range': sees(client, v4, lan4, { port: 9010 }),
        'ephemeral, v4': sees(client, v4, lan4, { port: chosen?.hostPort ?? 0 }),
        'ephemeral, v6': sees(client, v6, lan6, { port: chosen?.hostPort ?? 0 }),
        'one host address': sees(client, v4, lan4, { port: 8083 }),
        'one host address, udp': sees(client, v4, lan4, udp(8083)),
        'one host address is v4 alone': () => closed(client, v6, { port: 8083 }),
        'all of v6': sees(client, v6, lan6, { port: 8084 }),
        'all of v6 is not v4': () => closed(client, v4, { port: 8084 }),
        'one v6 address': sees(client, v6, lan6, { port: 8085 }),
        'not 127.0.0.1 from outside': () => closed(client, v4, { port: 8082 }),
        'the host at its own address': sees(server, v4, v4, { port: 8080 }),
        'the host at its own address, v6': sees(server, v6, v6, { port: 8080 }),
        'the host at its own address, udp': sees(server, v4, v4, udp(8081)),
        'the host at 127.0.0.1': sees(server, '127.0.0.1', '10.30.0.1', { port: 8080 }),
        'the host at 127.0.0.1, udp': sees(server, '127.0.0.1', '10.30.0.1', udp(8081)),
        'the host at 127.0.0.1 alone': sees(server, '127.0.0.1', '10.30.0.1', { port: 8082 }),
        'another address of the host alone': () => closed(server, '127.0.0.1', { port: 8083 }),
        'itself, by the host': sees(www, v4, '10.30.0.1', { port: 8080 }),
        'itself, by the host, v6': sees(www, v6, 'fd00:30::1', { port: 8080 }),
        'itself, by the gateway': sees(www, '10.30.0.1', '10.30.0.1', { port: 8080 }),
        'itself, by the gateway, v6': sees(www, 'fd00:30::1', 'fd00:30::1', { port: 8080 }),
        'itself, by the host, udp': sees(www, v4, '10.30.0.1', udp(8081)),
        'a neighbour by the host': sees(two, v4, '10.30.0.1', { port: 8080 }),
        'a neighbour by the host, v6': sees(two, v6, 'fd00:30::1', { port: 8080 }),
        'another network by the host': sees(far, v4, '10.31.0.10', { port: 8080 }),
        'another network by the host, udp': sees(far, v4, '10.31.0.10', udp(8081)),
      })
      await server.docker('stop www')
      await closed(client, v4, { port: 8080 })
      assert.equal(await portsOf(server), [])
      await server.docker('start www')
      assert.is(await seenBy(client, v4, { port: 8080 }), lan4, 'published again')
    }))

  test(`publish, engine ${engine}: -P publishes what the image exposes; restarts and kills keep nothing`, () =>
    scene.play(async ({ server, client }) => {
      await server.docker('network create -d weft-bridge web')
      await server.docker('run -d --name www --network web -P probe')
      const ports = await portsOf(server)
      // For both families of the host; the container has IPv4 only.
      const published = ports.map(
        ({ protocol, hostAddress, containerPort }) => `${protocol} ${hostAddress} ${containerPort}`,
      )
      assert.equal(published.sort(), ['tcp 0.0.0.0 80', 'tcp :: 80', 'udp 0.0.0.0 80', 'udp :: 80'])
      assert.is(
        new Set(ports.map(({ protocol, hostPort }) => `${protocol} ${hostPort}`)).size,
        2,
        'one number for both',
      )
      for (const { protocol, hostPort: port } of ports) {
        const target = { port, protocol: protocol === 'udp' ? 'udp' : 'tcp' } as const
        assert.is(await seenBy(client, server.ip4, target), client.ip4, protocol)
      }
      for (const verb of ['restart', 'kill', 'start', 'stop', 'start']) await server.docker([verb, 'www'])
      const again = await portsOf(server)
      assert.is(again.length, 4)
      for (const { hostPort } of again.filter(({ protocol }) => protocol === 'tcp')) {
        assert.is(await seenBy(client, server.ip4, { port: hostPort }), client.ip4)
      }
      assert.match(await inside(server, 'www').run('ss -Hltn'), ':80 ')
    }))

  test(`publish, engine ${engine}: many of the engine's own in a row are passed over, and what a server left behind`, () =>
    scene.play(async ({ server, client }) => {
      await server.docker('network create -d weft-bridge --subnet 10.30.0.0/24 web')
      const numbers = Array.from({ length: 14 }, (_, i) => i)
      const flags = numbers.flatMap(i => ['-p', String(100 + i), '-p', `${9000 + i}:${200 + i}/udp`])
      await server.docker(['run', '-d', '--name', 'own', ...flags, 'probe'])
      for (const publish of ['80', '9000-9030:80/udp']) {
        await server.docker(`run -d --name www --network web -p ${publish} probe`)
        const [{ hostPort } = { hostPort: 0 }] = await portsOf(server)
        const protocol = publish === '80' ? 'tcp' : 'udp'
        assert.is(await seenBy(client, server.ip4, { port: hostPort, protocol }), client.ip4)
        await server.docker('rm -f www')
      }
      // A server that was first to close, and has ended: an ordinary one could listen at once.
      await server.sh(
        'socat TCP-LISTEN:8090,reuseaddr SYSTEM:"echo bye" & sleep 1; socat -u TCP:127.0.0.1:8090 -; wait',
      )
      assert.match(await server.sh('ss -Htan state time-wait'), ':8090')
      await server.docker('run -d --name www --network web -p 8090:80 probe')
      assert.is(await seenBy(client, server.ip4, { port: 8090 }), client.ip4)
      const listens = await server.start('socat', ['socat', 'TCP-LISTEN:8091,reuseport,fork', 'SYSTEM:echo hello'])
      await eventually('socat listens', () => server.run(['ss', '-Hltn', 'sport = :8091']))
      const late = await server.docker('run -d --network web -p 8091:80 probe', { fails: true })
      assert.match(late, '8091 failed: port is already allocated')
      await listens.stop()
    }))

  test(`publish, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()

async function portsOf(server: Host): Promise<readonly Port[]> {
  return JSON.parse(await server.weft('ports --json')) as readonly Port[]
}
