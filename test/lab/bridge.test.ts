/** The life of networks and containers of weft-bridge, as a real engine asks for it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually, http, inside } from '../support/lab.ts'
import { seenBy } from '../support/reach.ts'
import { agrees, engines, shared } from '../support/scene.ts'

for (const engine of engines()) {
  const scene = shared({ engine })

  test(`bridge, engine ${engine}: a container lives on a network, and nothing is left`, () =>
    scene.play(async ({ server }) => {
      await server.docker('network create -d weft-bridge web')
      assert.is(await server.docker('network inspect -f {{.Driver}} web'), 'weft-bridge')
      await server.docker('run -d --name one --network web probe')
      await server.docker('run -d --name two --network web probe')
      const two = inside(server, 'two')
      const seen = `client ${await server.addressOf('two', 'web')}`
      const answers = (): Promise<string> => eventually('one answers two', () => http(two, 'one', 80))
      assert.match(await answers(), seen)

      for (const verb of ['stop', 'start', 'restart', 'kill', 'start']) {
        await server.docker([verb, 'one'])
        if (verb === 'start' || verb === 'restart') assert.match(await answers(), seen, verb)
      }
      await agrees(server)
      assert.match(await server.docker('network rm web', { fails: true }), /active endpoints/)
      await server.docker('stop one two')
      await server.docker('rm one two')
      await server.docker('network rm web')
    }))

  test(`bridge, engine ${engine}: a running container is connected and disconnected; its port stays published`, () =>
    scene.play(async ({ server, client }) => {
      for (const name of ['mm', 'aa']) await server.docker(`network create -d weft-bridge ${name}`)
      await server.docker('run -d --name www --network mm -p 8080:80 probe')
      await server.docker('run -d --name friend --network aa probe')
      const published = (): Promise<string> => seenBy(client, server.ip4, { port: 8080 })
      assert.is(await published(), client.ip4)

      // By name, aa is before mm: publishing moves to it, and back.
      await server.docker('network connect aa www')
      assert.match(await http(inside(server, 'www'), 'friend', 80), await server.addressOf('www', 'aa'))
      assert.is(await published(), client.ip4, 'connected')
      await server.docker('network disconnect mm www')
      assert.is(await published(), client.ip4, 'the first network left')
      await server.docker('network connect mm www')
      await server.docker('network disconnect aa www')
      assert.is(await published(), client.ip4, 'the second network left')
      await agrees(server)

      // Connected before the start: two interfaces from the beginning.
      await server.docker('create --name both --network mm probe')
      await server.docker('network connect aa both')
      await server.docker('start both')
      const links = await server.docker('exec both ip -o -4 address')
      for (const name of [' eth0 ', ' eth1 ']) assert.match(links, name)
      assert.match(await http(inside(server, 'both'), 'www', 80), await server.addressOf('both', 'mm'))
      assert.match(await http(inside(server, 'both'), 'friend', 80), await server.addressOf('both', 'aa'))
    }))

  test(`bridge, engine ${engine}: ten containers start and go at once`, () =>
    scene.play(async ({ server, client }) => {
      await server.docker('network create -d weft-bridge web')
      const names = Array.from({ length: 10 }, (_, i) => `c${i}`)
      await Promise.all(names.map(name => server.docker(`run -d --name ${name} --network web -p 80 probe`)))

      const addresses = await Promise.all(names.map(name => server.addressOf(name, 'web')))
      assert.is(new Set(addresses).size, names.length)
      const ports = JSON.parse(await server.weft('ports --json')) as { hostPort: number; protocol: string }[]
      assert.is(new Set(ports.map(({ hostPort }) => hostPort)).size, names.length)
      for (const { hostPort } of ports) assert.is(await seenBy(client, server.ip4, { port: hostPort }), client.ip4)
      await agrees(server)
      await Promise.all(names.map(name => server.docker(`rm -f ${name}`)))
    }))

  test(`bridge, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()
