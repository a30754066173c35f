/** An engine that accepts and never answers: it is asked in the background only, so no call waits for it. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually, lab } from '../support/lab.ts'
import { Caller } from '../support/town.ts'

test('frozen engine: it is asked in the background, and no call waits for it', async () => {
  await using net = await lab({ hosts: 1 })
  const [host] = net.hosts
  let asked = ''
  const engine = createServer(connection => {
    connection.on('data', (chunk: Buffer) => (asked += chunk.toString()))
    connection.on('error', () => undefined)
  })
  engine.listen(host.path('/run/docker.sock'))
  await once(engine, 'listening')
  const weftd = await host.startWeft({ flags: '--settle-seconds 1' })
  await eventually('it was asked', () => asked.includes('GET /version'), { timeoutMs: 20_000 })

  // Nothing is answered until weftd gives a question up after 5 s: sixty calls that asked would outlast this test.
  using caller = new Caller(host.path('/run/docker/plugins/weft-bridge.sock'))
  await caller.build()
  const networks = JSON.parse((await host.admin('/v1/networks')).body) as readonly { readonly id: string }[]
  await caller.raze(networks.map(({ id }) => id))

  const givenUp = async (): Promise<boolean> => (await host.weft('status')).includes('no answer; weft works without it')
  await eventually('the question is given up', givenUp, { timeoutMs: 30_000, pauseMs: 250 })
  assert.equal(await weftd.stop(), { status: 0, signal: null })
  engine.close()
})

test.run()
