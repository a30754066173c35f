/** Restarts, kills and upgrades under traffic: no datagram is lost, connections live on, ports stay taken. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually, type Host } from '../support/lab.ts'
import { flows } from '../support/loss.ts'
import { agrees, engines, shared, type Scene } from '../support/scene.ts'
import { echoes, traffic } from '../support/traffic.ts'

const full = process.env['WEFT_TEST_FULL'] === '1'
/** On each path, at 1,000 a second. */
const packets = full ? 10_000 : 3_000
const port = 7000
const other = ['--mark-hairpin', '0x00800000']

interface Event {
  readonly name: string
  readonly happen: (scene: Scene) => Promise<void>
}

/** An upgrade: another rule set, which takes the place of the one before. */
async function upgrade({ server }: Scene, signal: NodeJS.Signals, flags: readonly string[]): Promise<void> {
  server.weftd?.kill(signal)
  await server.weftd?.exited
  await server.startWeft({ flags })
}

const groups: Readonly<Record<string, readonly Event[]>> = {
  weftd: [
    { name: 'weftd ends by TERM and starts', happen: ({ restartWeft }) => restartWeft() },
    { name: 'weftd ends by KILL and starts', happen: ({ restartWeft }) => restartWeft('SIGKILL') },
    { name: 'weftd is upgraded to another rule set', happen: scene => upgrade(scene, 'SIGTERM', other) },
    { name: 'weftd is killed, and upgraded back', happen: scene => upgrade(scene, 'SIGKILL', []) },
  ],
  'the engine, with live-restore,': (['SIGTERM', 'SIGKILL'] as const).map(signal => ({
    name: `the engine ends by ${signal} and starts`,
    async happen({ server, restartEngine }) {
      const over = { yes: false }
      const restarted = restartEngine(signal).finally(() => (over.yes = true))
      while (!over.yes) await taken(server)
      await restarted
    },
  })),
}

for (const engine of engines('28.5')) {
  const scene = shared({ engine, engineFlags: '--live-restore', anyOrder: true })

  for (const [who, events] of Object.entries(groups)) {
    test(`loss, engine ${engine}: ${who} goes and comes, and nothing is lost`, () =>
      scene.play(async here => {
        const { server, client } = here
        await server.docker('network create -d weft-bridge --subnet 10.30.0.0/24 --ipv6 --subnet fd00:30::/64 web')
        await server.docker(`run -d --name echo --network web -p ${port}:${port} -p ${port}:${port}/udp ${echoes}`)
        await server.docker('run -d --name other --network web probe')
        for (const { name, happen } of events) {
          const datagrams = await flows({ server, client, echo: 'echo', port, neighbour: 'other' })
          const connections = await traffic({ server, container: 'echo', client, port })
          await taken(server)
          await happen(here)
          // Before its sockets appear weftd holds the ports again.
          await taken(server)
          await agrees(server)
          await eventually(`${packets} datagrams were sent`, () => datagrams.sent() >= packets, { timeoutMs: 120_000 })
          const { answers } = await connections.stop()
          console.log(`engine ${engine}: ${name}: ${await datagrams.stop()}; ${answers} answers by TCP`)
        }
      }))
  }

  test(`loss, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()

/** Nobody else gets the published port. */
async function taken(server: Host): Promise<void> {
  const listens = [
    `TCP4-LISTEN:${port},reuseaddr`,
    `TCP6-LISTEN:${port},reuseaddr`,
    `UDP4-RECV:${port}`,
    `UDP6-RECV:${port}`,
  ]
  for (const listen of listens) {
    assert.match(await server.run(['socat', '-u', listen, '-'], { fails: true, timeoutMs: 10_000 }), /already in use/)
  }
}
