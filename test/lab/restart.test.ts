/** Engine, weftd and the whole host go down in every way and come back; traffic that can go on does. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually, http, inside, type Host } from '../support/lab.ts'
import { pings, netOf, seenBy } from '../support/reach.ts'
import type { Engine } from '../../scripts/engines.ts'
import { agrees, engineJumps, engines, open, shared } from '../support/scene.ts'
import { echoes, traffic } from '../support/traffic.ts'

const pair = '--subnet 10.30.0.0/24 --ipv6 --subnet fd00:30::/64'

/** A network, a container that always runs and one that does not, both published. */
async function settleIn(server: Host): Promise<void> {
  await server.docker(`network create -d weft-bridge ${pair} web`)
  await server.docker('network create -d weft-bridge --internal hidden')
  await server.docker(`run -d --name echo --network web -p 7000:7000 ${echoes}`)
  await server.docker('run -d --name www --restart always --network web -p 8080:80 probe')
  await server.docker('network connect hidden www')
}

async function endpointsOf(host: Host): Promise<number> {
  return (JSON.parse(await host.weft('endpoints --json')) as unknown[]).length
}

for (const engine of engines('28.5')) {
  // A reboot gives the engine's own bridge another address.
  const scene = shared({ engine, anyOrder: true, except: /^docker0 / })

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`restart, engine ${engine}: the engine ends by ${signal}; what always runs is back, the rest is forgotten`, () =>
      scene.play(async ({ server, client, restartEngine }) => {
        await settleIn(server)
        await restartEngine(signal)
        const back = (): Promise<string> => seenBy(client, server.ip4, { port: 8080 })
        assert.is(await back(), client.ip4)
        assert.is(await seenBy(client, server.ip6, { port: 8080 }), client.ip6)
        // Two for www; none for echo, which has ended without a word from the engine after SIGKILL.
        await eventually('the dead endpoint is given up', async () => (await endpointsOf(server)) === 2, {
          timeoutMs: 90_000,
          pauseMs: 500,
        })
        await agrees(server)
        await server.docker('start echo')
        assert.match(await http(inside(server, 'echo'), 'www', 80), ' client ')
      }))
  }

  test(`restart, engine ${engine}: weftd ends by TERM and by KILL under traffic, and nothing is lost`, () =>
    scene.play(async ({ server, client, restartWeft }) => {
      await settleIn(server)
      const flows = await traffic({ server, container: 'echo', client, port: 7000 })
      for (const round of [1, 2, 3]) {
        assert.equal(await server.weftd?.stop(), { status: 0, signal: null }, `round ${round}`)
        await restartWeft()
        await restartWeft('SIGKILL')
        await agrees(server)
      }
      const { pings, answers } = await flows.stop()
      console.log(`engine ${engine}: weftd restarted 6 times, ${pings} pings and ${answers} answers, none lost`)
    }))

  test(`restart, engine ${engine}: a container is started while weftd is down`, () =>
    scene.play(async ({ server, client, restartWeft }) => {
      await settleIn(server)
      server.weftd?.kill()
      await server.weftd?.exited
      // The engine asks again for 15 s.
      const started = server.docker('run -d --name late --network web -p 8081:80 probe')
      await eventually('the engine asks in vain', () => server.engine?.log().includes('weft-bridge'))
      await restartWeft()
      await started
      assert.is(await seenBy(client, server.ip4, { port: 8081 }), client.ip4)
      await agrees(server)
    }))

  test(`restart, engine ${engine}: after a reboot networks are there before the engine, and what always runs is back`, () =>
    scene.play(async ({ server, client }) => {
      await settleIn(server)
      await server.reboot()
      await server.startWeft()
      const bridges = await server.run('ip -o link show type bridge')
      assert.is(bridges.split('\n').length, 2)
      await server.startEngine()
      assert.is(await seenBy(client, server.ip4, { port: 8080 }), client.ip4)
      assert.is(await seenBy(client, server.ip6, { port: 8080 }), client.ip6)
      await server.docker('start echo')
      assert.match(await http(inside(server, 'echo'), 'www', 80), ' client ')
      await pings(await netOf(server, 'echo'), client.ip4)
      await agrees(server)
      // See scene.ts: once again after a reboot.
      await server.docker('run --rm -p 65000:80 probe true')
    }))

  test(`restart, engine ${engine}: the lab ends`, () => scene.end())

  const live = shared({ engine, engineFlags: '--live-restore', anyOrder: true })

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`restart, engine ${engine}: with live-restore nothing is lost when the engine ends by ${signal}`, () =>
      live.play(async ({ server, client, restartEngine, restartWeft }) => {
        await settleIn(server)
        const flows = await traffic({ server, container: 'echo', client, port: 7000 })
        await restartEngine(signal)
        await restartWeft('SIGKILL')
        await agrees(server)
        assert.is(await endpointsOf(server), 3)
        await flows.stop()
        // The engine knows its endpoints still: all is taken down as usual.
        await server.docker('restart -t 1 echo')
        await pings(await netOf(server, 'echo'), client.ip4)
      }))
  }

  test(`restart, engine ${engine}: the lab with live-restore ends`, () => live.end())
}

/** `echo` ends while weftd is down: three calls in vain, 15 s each, then the engine forgets the endpoint. */
async function forgetEndpoint(engine: Engine): Promise<void> {
  await using scene = await open({ engine, hosts: 1 })
  const { server, restartWeft } = scene
  await settleIn(server)
  server.weftd?.kill()
  await server.weftd?.exited
  await server.docker('rm -f echo', { timeoutMs: 120_000 })
  await restartWeft()
  await eventually('the dead endpoint is given up', async () => (await endpointsOf(server)) === 2, {
    timeoutMs: 120_000,
    pauseMs: 250,
  })
  await agrees(server)
  await server.docker(`run -d --name echo --network web -p 7000:7000 ${echoes}`)
  await scene.asBefore()
}

/** A removal goes wrong while weftd is down; the engine is killed, and ends it at its next start, without weftd again. */
async function forgetNetwork(engine: Engine): Promise<void> {
  await using scene = await open({ engine, hosts: 1, anyOrder: true, except: engineJumps })
  const { server, restartWeft, restartEngine } = scene
  await server.docker('network create -d weft-bridge forgotten')
  const told = async (): Promise<boolean> => (await server.weft('networks')).includes('forgotten')
  await eventually('the engine has told of it', told, { timeoutMs: 30_000, pauseMs: 250 })
  server.weftd?.kill()
  await server.weftd?.exited
  // Engine 28 calls that a success.
  await server.docker('network rm forgotten', { timeoutMs: 120_000 }).catch(() => undefined)
  await restartEngine('SIGKILL')
  assert.is(await server.docker('network ls -q --filter name=forgotten'), '')
  await restartWeft()
  const gone = async (): Promise<boolean> => (await server.weft('networks --json')).trim() === '[]'
  await eventually('the forgotten network is given up', gone, { timeoutMs: 60_000, pauseMs: 250 })
  await scene.asBefore()
}

// They wait for what the engine tries in vain: all at once.
test('restart: what the engine forgot while weftd was down is given up later, and its port is free', async () => {
  await Promise.all(engines('28.5').flatMap(engine => [forgetEndpoint(engine), forgetNetwork(engine)]))
})

test.run()
