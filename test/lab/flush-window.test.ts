/** Rules that everybody may flush, as on kernels before 6.9: how long they are gone, and what is left of it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { flushWindows, Knocker, report } from '../support/flush-window.ts'
import { netOf, pingsNot, seenBy } from '../support/reach.ts'
import { agrees, engines, shared } from '../support/scene.ts'

/** So that a restored rule set reads the same as the first one. */
const warm = 'iptables-save | iptables-restore; ip6tables-save | ip6tables-restore'
const rounds = process.env['WEFT_TEST_FULL'] ? 50 : 5

for (const engine of engines('28.5')) {
  const scene = shared({ engine, warm, weftFlags: '--table-owner off' })

  test(`flush window, engine ${engine}: what began in it does not go on`, () =>
    scene.play(async ({ server, client }) => {
      await server.docker('network create -d weft-bridge --subnet 10.30.0.0/24 open')
      await server.docker('network create -d weft-bridge --subnet 10.31.0.0/24 other')
      await server.docker('run -d --name www --network open --ip 10.30.0.9 -p 8080:80 probe')
      await server.docker('run -d --name stranger --network other probe')
      const stranger = await netOf(server, 'stranger')
      await client.run(`ip route add 10.30.0.0/24 via ${server.ip4}`)
      await pingsNot(stranger, '10.30.0.9')
      await pingsNot(client, '10.30.0.9')
      const pid = await server.docker('inspect -f {{.State.Pid}} stranger')
      const knockers = [
        await Knocker.start(server, 'other', `nsenter -t ${pid} -n --`, '10.30.0.9'),
        await Knocker.start(client, 'lan', '', '10.30.0.9'),
      ]

      const windows = await flushWindows(server, { rounds, knockers })

      report(`engine ${engine}`, windows, knockers)
      for (const knocker of knockers) await knocker.end()
      assert.is(await seenBy(client, server.ip4, { port: 8080 }), client.ip4)
      await client.run('ip route del 10.30.0.0/24')
      await agrees(server)
    }))

  test(`flush window, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()
