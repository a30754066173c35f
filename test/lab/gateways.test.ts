/** Ports of containers whose families have their gateways in different networks, or are served in different ways. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { http, type Place } from '../support/lab.ts'
import { engines, isNew, shared } from '../support/scene.ts'

const create = 'network create -d weft-bridge'
const only6 = '--ipv4=false --ipv6'

async function reaches(from: Place, address: string, port: number): Promise<string> {
  const url = `http://${address.includes(':') ? `[${address}]` : address}:${port}/`
  return from.run(['curl', '-sS', '-g', '-m', '2', url]).then(
    () => 'yes',
    () => 'no',
  )
}

for (const engine of engines('28.5')) {
  const scene = shared({ engine })

  // Engines before have one gateway for both families.
  if (isNew(engine)) {
    for (const [name, second] of [
      ['IPv6 alone', only6],
      ['both', '--ipv6 --subnet 10.42.0.0/24'],
    ] as const) {
      test(`gateways, engine ${engine}: IPv4 in one network, IPv6 in another that has ${name}`, () =>
        scene.play(async ({ server, client }) => {
          await server.docker(`${create} --subnet 10.41.0.0/24 a`)
          await server.docker(`${create} ${second} --subnet fd00:42::/64 b`)
          await server.docker('run -d --name www --network name=a,gw-priority=1 --network b -p 8080:80 probe')
          const rows = (await server.weft('ports')).split('\n').filter(line => line.includes(':8080'))
          assert.is(rows.filter(row => row.includes('relay')).length, 0, rows.join('\n'))
          const both = async (): Promise<readonly string[]> => [
            await reaches(client, server.ip4, 8080),
            await reaches(client, server.ip6, 8080),
          ]
          assert.equal(await both(), ['yes', 'yes'])
          // The relay of IPv6 comes back when the other network goes, and gives way when it comes.
          await server.docker('network disconnect b www')
          assert.equal(await both(), ['yes', 'yes'])
          assert.match(await server.weft('ports'), 'relay')
          await server.docker('network connect b www')
          assert.equal(await both(), ['yes', 'yes'])
        }))
    }
  }

  test(`gateways, engine ${engine}: what is published on an IPv4 address is not open by a routed IPv6 one`, () =>
    scene.play(async ({ server, client }) => {
      const routed = '-o com.docker.network.bridge.gateway_mode_ipv6=routed'
      await server.docker(`${create} ${routed} --subnet 10.45.0.0/24 --ipv6 --subnet fd00:45::/64 r`)
      const run = async (name: string, last: number, port: string): Promise<string> =>
        server.docker(`run -d --name ${name} --network r --ip6 fd00:45::${last} -p ${port} probe`)
      await run('inside', 9, '127.0.0.1:8081:80')
      await run('host', 10, '[::1]:8082:80')
      await run('four', 11, `${server.ip4}:8083:80`)
      await run('open', 12, '8084:80')
      await client.sh(`ip -6 route add fd00:45::/64 via ${server.ip6}`)
      const open = await Promise.all([9, 10, 11, 12].map(last => reaches(client, `fd00:45::${last}`, 80)))
      await client.sh('ip -6 route del fd00:45::/64')
      assert.equal(open, ['no', 'no', 'no', 'yes'])
      assert.match(await http(server, '127.0.0.1', 8081), ' client ')
    }))

  test(`gateways, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()
