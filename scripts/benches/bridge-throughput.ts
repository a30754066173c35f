/** One TCP stream over each of the five paths of a bridge, in short slices, weft and the engine's own in turn. */
import { availableParallelism } from 'node:os'
import { eventually, type Host, type Place } from '../../test/support/lab.ts'
import { netOf } from '../../test/support/reach.ts'
import { compared, inTurn, type BridgeSettings, type Side, type Stage } from './bridge-stage.ts'
import type { Figure } from './figures.ts'

interface Scene {
  readonly host: Host
  /** Containers of one network; iperf3 listens in the second, and its port is published. */
  readonly container: Place
  readonly serverAddress: string
}

interface Path {
  readonly name: string
  readonly ends: (scene: Scene, outside: Host) => readonly [from: Place, to: string]
}

const paths: readonly Path[] = [
  { name: 'same bridge', ends: ({ container, serverAddress }) => [container, serverAddress] },
  { name: 'published port', ends: ({ host }, outside) => [outside, host.ip4] },
  { name: 'out to another host', ends: ({ container }, outside) => [container, outside.ip4] },
  { name: 'published on 127.0.0.1', ends: ({ host }) => [host, '127.0.0.1'] },
  { name: 'hairpin', ends: ({ host, container }) => [container, host.ip4] },
]
export const port = 5201
/** Sender and receiver on a processor each: where the scheduler puts them makes more difference than any bridge. */
const affinity = availableParallelism() > 1 ? ['-A', '0,1'] : []

export async function throughput(stage: Stage, settings: BridgeSettings): Promise<readonly Figure[]> {
  const { weft, own, client } = stage
  const scenes = new Map<Side, Scene>()
  for (const side of [weft, own]) scenes.set(side, await prepare(side))
  const listening = await client.start('iperf3', ['iperf3', '-s', '-p', String(port)])
  await eventually('iperf3 listens', async () => (await client.run(`ss -Hltn sport = :${port}`)) !== '')
  const figures: Figure[] = []
  for (const path of paths) {
    stage.report(`throughput, ${path.name}: ${settings.pairs} pairs of ${settings.seconds} s`)
    const pairs = await inTurn(settings.pairs, stage, async side => {
      const scene = scenes.get(side)
      if (!scene) throw new Error(`nothing runs on ${side.host.name}`)
      const [from, to] = path.ends(scene, client)
      return stream(from, to, settings.seconds)
    })
    figures.push(...compared(path.name, 'Gbit/s', pairs, { median: { least: 1 }, low: { least: 0.95 } }))
  }
  await listening.stop()
  for (const { host } of [weft, own]) await host.docker('rm -f server client')
  return figures
}

async function prepare({ host }: Side): Promise<Scene> {
  await host.docker(`run -d --name server --network bench -p ${port}:${port} probe iperf3 -s -p ${port}`)
  await host.docker('run -d --name client --network bench probe sleep 100000')
  const server = await netOf(host, 'server')
  await eventually('iperf3 listens', async () => (await server.run(`ss -Hltn sport = :${port}`)) !== '')
  return { host, container: await netOf(host, 'client'), serverAddress: await host.addressOf('server', 'bench') }
}

/** Gbit/s, as the receiver counts them. */
export async function stream(from: Place, to: string, seconds: number): Promise<number> {
  const command = ['iperf3', '-J', '-c', to, '-p', String(port), '-t', String(seconds), ...affinity]
  const answer = JSON.parse(await from.run(command)) as {
    readonly end: { readonly sum_received: { readonly bits_per_second: number } }
  }
  return answer.end.sum_received.bits_per_second / 1e9
}
