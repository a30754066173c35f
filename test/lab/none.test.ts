/** weft-none under real engines: `lo` and nothing else, whatever the IPAM and however many networks. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually, inside } from '../support/lab.ts'
import { engines, shared } from '../support/scene.ts'

for (const engine of engines()) {
  const scene = shared({ engine, hosts: 1, anyOrder: true })

  test(`none, engine ${engine}: a container has lo and nothing else, in any number of networks`, () =>
    scene.play(async ({ server }) => {
      const before = await server.run('ip -o link')
      await server.docker('network create -d weft-none a')
      await server.docker('network create -d weft-none --ipam-driver null b')
      await server.docker('network create -d weft-none --ipam-driver weft-ipam --ipv6 --subnet fd00:30::/64 c')
      await server.docker('network create -d weft-none --internal d')
      await server.docker('run -d --name one --network a probe')
      for (const network of ['b', 'c', 'd']) await server.docker(`network connect ${network} one`)
      await server.docker('run -d --name two --network b probe')
      for (const name of ['one', 'two']) {
        const there = inside(server, name)
        assert.match(await there.run('ip -o link'), /^1: lo: [^\n]*$/)
        assert.is(await there.run('ip route show table all type unicast'), '')
      }
      await server.docker('restart -t 0 one')
      assert.match(await inside(server, 'one').run('ip -o link'), /^1: lo: [^\n]*$/)
      assert.not.match(await server.docker('network ls'), 'docker_gwbridge')
      assert.is(await server.run('ip -o link'), before)
    }))

  test(`none, engine ${engine}: published ports are refused, and nothing is left`, () =>
    scene.play(async ({ server }) => {
      await server.docker('network create -d weft-none a')
      const refusal = await server.docker('run --name one --network a -p 8080:80 probe true', { fails: true })
      assert.match(refusal, /published ports: a container of weft-none has no network: leave -p out/)
      assert.match(
        await server.docker('network create -d weft-none -o parent=eth0 b', { fails: true }),
        /weft-none has no option parent/,
      )
    }))

  test(`none, engine ${engine}: what an engine that was killed forgot is given up`, () =>
    scene.play(async ({ server, restartEngine }) => {
      await server.docker('network create -d weft-none a')
      await server.docker('run -d --name one --network a probe')
      await restartEngine('SIGKILL')
      await eventually('the endpoint is given up', async () => (await server.weft('endpoints --json')) === '[]', {
        timeoutMs: 20_000,
      })
    }))

  test(`none, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()
