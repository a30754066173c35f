/** weft's own IPAM behind a real engine: what it grants, that it gives nothing twice, and that it forgets nothing. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { contains, type Cidr, type Ip } from '../../native/value/ip.ts'
import type { Status } from '../../daemon/view.ts'
import { eventually, http, inside, type Host } from '../support/lab.ts'
import { netOf, pings, seenBy } from '../support/reach.ts'
import { agrees, engines, isNew, rows, shared } from '../support/scene.ts'

const create = 'network create -d weft-bridge'
const pair = '--subnet 10.30.0.0/24 --ipv6 --subnet fd00:30::/64'

for (const engine of engines('20.10')) {
  const scene = shared({ engine, anyOrder: true })

  for (const ipam of ['weft-ipam', 'weft-bridge']) {
    test(`ipam, engine ${engine}: ${ipam} grants pools and addresses, and takes them back`, () =>
      scene.play(async ({ server, client }) => {
        const own = `${create} --ipam-driver ${ipam}`
        await rows({
          'automatic pools': async () => {
            await server.docker(`${own} auto1`)
            await server.docker(`${own} auto2`)
            const [one, two] = [await subnetsOf(server, 'auto1'), await subnetsOf(server, 'auto2')]
            assert.match(one[0] ?? '', /^10\.\d+\.\d+\.0\/24$/)
            assert.is.not(one[0], two[0])
            await server.docker('run -d --name www --network auto1 -p 8080:80 probe')
            assert.ok(contains(one[0] as Cidr, (await server.addressOf('www', 'auto1')) as Ip))
            assert.is(await seenBy(client, server.ip4, { port: 8080 }), client.ip4)
            await pings(await netOf(server, 'www'), client.ip4)
            // Two gateways, one container.
            assert.is(await leasesOf(server), 3)
            await server.docker('stop www')
            assert.is(await leasesOf(server), 2)
            await server.docker('start www')
            assert.is(await leasesOf(server), 3)
            await server.docker('rm -f www')
            await server.docker('network rm auto1 auto2')
            assert.is(await leasesOf(server), 0)
          },
          'range, gateway and reserved addresses': async () => {
            const flags = '--subnet 10.50.0.0/16 --ip-range 10.50.7.0/30 --gateway 10.50.0.9 --aux-address a=10.50.7.1'
            await server.docker(`${own} ${flags} ranged`)
            const given = await Promise.all(
              ['r1', 'r2', 'r3'].map(async name => {
                await server.docker(`run -d --name ${name} --network ranged probe`)
                return server.addressOf(name, 'ranged')
              }),
            )
            assert.is(new Set(given).size, 3)
            for (const address of given) assert.ok(contains('10.50.7.0/30' as Cidr, address as Ip), address)
            assert.not(given.includes('10.50.7.1'))
            const full = await server.docker('run -d --name r4 --network ranged probe', { fails: true })
            assert.match(full, 'no available addresses')
            const taken = await server.docker(['run', '-d', '--network', 'ranged', '--ip', given[0] ?? '', 'probe'], {
              fails: true,
            })
            assert.match(taken, 'Address already in use')
            await server.docker('rm -f r1 r4')
            await server.docker('run -d --name r5 --network ranged probe')
            assert.is(await server.addressOf('r5', 'ranged'), given[0], 'the only one that is free')
            await server.docker('run -d --name far --network ranged --ip 10.50.9.9 probe')
            assert.match(await server.docker('exec far ip route'), 'default via 10.50.0.9')
          },
          'both families, chosen': async () => {
            await server.docker(`${own} ${pair} both`)
            await server.docker('run -d --name b1 --network both --ip 10.30.0.77 --ip6 fd00:30::77 probe')
            await server.docker('run -d --name b2 --network both probe')
            assert.match(await http(inside(server, 'b2'), 'b1', 80), ' client ')
            assert.is(await server.addressOf('b1', 'both', { family: 6 }), 'fd00:30::77')
          },
          'the same pool for another network': async () => {
            assert.match(await server.docker(`${own} ${pair} again`, { fails: true }), 'Pool overlaps')
          },
          'a prefix length alone': async () => {
            await server.docker(`${own} --subnet 0.0.0.0/28 short`)
            await server.docker('run -d --name s1 --network short probe')
            assert.match(await server.docker('exec s1 ip -o -4 address show eth0'), '/28 ')
          },
          ...(isNew(engine) && {
            'both families, automatic': async () => {
              await server.docker(`${own} --ipv6 six`)
              assert.ok((await subnetsOf(server, 'six')).some(subnet => /^fd.*\/64$/.test(subnet)))
              await server.docker('run -d --name six1 --network six probe')
              await server.docker('run -d --name six2 --network six probe')
              const address = await server.addressOf('six1', 'six', { family: 6 })
              await pings(await netOf(server, 'six2'), address)
              await pings(await netOf(server, 'six2'), client.ip6)
            },
          }),
        })
      }))
  }

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`ipam, engine ${engine}: after ${signal} of engine and weftd no address is given twice`, () =>
      scene.play(async ({ server, client, restartEngine, restartWeft }) => {
        await server.docker(`${create} --ipam-driver weft-ipam ${pair} --aux-address a=10.30.0.2 web`)
        await server.docker('network create -d weft-bridge --ipam-driver weft-bridge auto')
        await server.docker('run -d --name one --restart always --network web -p 8080:80 probe')
        await server.docker('run -d --name two --restart always --network web probe')
        await server.docker('run -d --name three --restart always --network auto probe')
        for (const round of [1, 2]) {
          await restartEngine(signal)
          await restartWeft(signal)
          const names = ['one', 'two', 'three']
          await eventually('all are back', async () => {
            const running = await server.docker(['ps', '--format', '{{.Names}}'])
            return names.every(name => running.split('\n').includes(name))
          })
          await server.docker('run -d --name late --network web probe')
          const addresses = await Promise.all(
            ['one', 'two', 'late'].flatMap(name =>
              ([4, 6] as const).map(family => server.addressOf(name, 'web', { family })),
            ),
          )
          assert.is(new Set(addresses).size, 6, `round ${round}: ${addresses.join(' ')}`)
          assert.not(addresses.includes('10.30.0.2'))
          await server.docker('rm -f late')
          assert.is(await seenBy(client, server.ip4, { port: 8080 }), client.ip4)
          // Gateways of three pools, one reserved address, five of containers.
          assert.is(await leasesOf(server), 9)
          await agrees(server)
        }
        assert.match(
          await server.docker(`${create} --ipam-driver weft-ipam ${pair} again`, { fails: true }),
          'overlaps',
        )
      }))
  }

  test(`ipam, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()

async function subnetsOf(server: Host, network: string): Promise<readonly string[]> {
  const format = '{{range .IPAM.Config}}{{println .Subnet}}{{end}}'
  return (await server.docker(['network', 'inspect', '-f', format, network])).split('\n').filter(Boolean)
}

async function leasesOf(server: Host): Promise<number> {
  return (JSON.parse((await server.admin('/v1/status')).body) as Status).counts.leases
}
