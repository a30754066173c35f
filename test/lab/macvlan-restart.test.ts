/** Containers in a LAN leave nothing on the host that would go with them: what restarts and deaths of the engine do. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually, type Host } from '../support/lab.ts'
import { netOf, pings } from '../support/reach.ts'
import { engines, open } from '../support/scene.ts'

const create =
  'network create -d weft-macvlan --ipam-driver weft-ipam --subnet 192.0.2.0/24 --ip-range 192.0.2.128/26 ' +
  '--gateway 192.0.2.1 --ipv6 --subnet fd00:2::/64 --gateway fd00:2::1 ' +
  '-o parent=eth0 -o host_access=192.0.2.120,fd00:2::120 a'
const fixed = '--network a --ip 192.0.2.140 --ip6 fd00:2::140'

async function reaches(from: Host): Promise<void> {
  await pings(from, '192.0.2.140')
  await pings(from, 'fd00:2::140')
}

async function endpoints(host: Host): Promise<number> {
  return (JSON.parse(await host.weft('endpoints --json')) as readonly unknown[]).length
}

for (const engine of engines('28.5')) {
  test(`macvlan restart, engine ${engine}: after its death containers are back, and the dead ones are given up`, async () => {
    await using scene = await open({ engine, anyOrder: true })
    const { server, client } = scene
    await server.docker(create)
    await server.docker(`run -d --name fixed --restart always ${fixed} probe`)
    await server.docker('run -d --name free --restart always --network a probe')
    await server.docker('run -d --name gone --network a probe')
    await scene.restartEngine('SIGKILL')
    // Each start has another MAC, and neighbours that remember the one before.
    for (const from of [client, server]) await reaches(from)
    await pings(await netOf(server, 'free'), client.ip4)
    await eventually('the dead one is given up', async () => (await endpoints(server)) === 2, { timeoutMs: 30_000 })
    await scene.restartEngine('SIGTERM')
    for (const from of [client, server]) await reaches(from)
    await eventually('there are as many as before', async () => (await endpoints(server)) === 2, { timeoutMs: 30_000 })
    await server.docker('network disconnect a free')
    await eventually('one is disconnected', async () => (await endpoints(server)) === 1)
    await scene.asBefore()
  })

  test(`macvlan restart, engine ${engine}: with live-restore they go on`, async () => {
    await using scene = await open({ engine, anyOrder: true, engineFlags: '--live-restore' })
    const { server, client } = scene
    await server.docker(create)
    await server.docker(`run -d --name one ${fixed} probe`)
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      await scene.restartEngine(signal)
      await pings(client, '192.0.2.140')
      await scene.restartWeft('SIGKILL')
      await server.weft('settle')
      assert.is(await endpoints(server), 1)
      await pings(server, '192.0.2.140')
    }
    await scene.asBefore()
  })
}

test.run()
