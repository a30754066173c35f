/** Thousands of ports of one container: quick, without a process for each, and gone at once. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually, type Host } from '../support/lab.ts'
import { closed, seenBy } from '../support/reach.ts'
import { asBefore, engines, shared } from '../support/scene.ts'

for (const engine of engines('28.5')) {
  const scene = shared({ engine })

  test(`many ports, engine ${engine}: 5,000 of one container, udp and tcp`, () =>
    scene.play(async ({ server, client }) => {
      const before = await server.snapshot()
      await server.docker('network create -d weft-bridge --subnet 10.31.0.0/24 many')
      for (const protocol of ['udp', 'tcp'] as const) {
        const processes = await server.sh('ls -d /proc/[0-9]* | wc -l')
        const started = performance.now()
        await server.docker(
          `run -d --name www --network many -p 20000-24999:20000-24999/${protocol} -p 8080:80/${protocol} probe`,
        )
        console.log(`  5,001 ports, ${protocol}: docker run took ${Math.round(performance.now() - started)} ms`)
        assert.is((await portsOf(server)).filter(({ hostAddress }) => hostAddress === '0.0.0.0').length, 5001)
        const more = Number(await server.sh('ls -d /proc/[0-9]* | wc -l')) - Number(processes)
        assert.ok(more < 20, `${more} more processes`)
        assert.is(await seenBy(client, server.ip4, { port: 8080, protocol }), client.ip4)
        await server.docker('rm -f www')
        await eventually('all ports are given back', async () => {
          return (await portsOf(server)).length === 0
        })
        await closed(client, server.ip4, { port: 8080, protocol })
      }
      await server.docker('network rm many')
      await asBefore(server, before)
    }))

  test(`many ports, engine ${engine}: the lab ends`, () => scene.end())
}

async function portsOf(server: Host): Promise<readonly { readonly hostAddress: string }[]> {
  return JSON.parse(await server.weft('ports --json')) as readonly { readonly hostAddress: string }[]
}

test.run()
