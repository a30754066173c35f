/** A container's start and end by a real engine: on a network of weft, and on one of the engine's own bridge driver. */
import type { Engine } from '../engines.ts'
import { lab, type Host } from '../../test/support/lab.ts'
import { circumstances, median, ratio, type Circumstances, type Figure } from './figures.ts'

export interface RunOptions {
  readonly engine: Engine
  readonly pairs: number
  /** Publish a port of each container. */
  readonly publish: boolean
  readonly report: (line: string) => void
}

interface Life {
  readonly run: number
  readonly rm: number
}
type Pair = Readonly<Record<'weft' | 'own', Life>>

export async function run({ engine, pairs, publish, report }: RunOptions): Promise<[Circumstances, Figure[]]> {
  await using net = await lab({ hosts: 1, engine, report })
  const [host] = net.hosts
  await host.startWeft()
  await host.startEngine()
  await host.image()
  const about = circumstances('run', await host.docker('version -f {{.Server.Version}}'))
  await host.docker('network create --driver weft-bridge weft')
  await host.docker('network create --driver bridge own')
  report('warming up')
  for (let i = 0; i < 5; i += 1) await pairOf(host, i, publish)
  const measured: Pair[] = []
  for (let i = 0; i < pairs; i += 1) {
    measured.push(await pairOf(host, i, publish))
    if ((i + 1) % 10 === 0) report(`${i + 1} of ${pairs} pairs`)
  }
  return [about, [...compared('docker run -d', measured, 'run'), ...compared('docker rm -f', measured, 'rm')]]
}

/** One container on each network; A B, then B A, so that a drift of the machine hits both alike. */
async function pairOf(host: Host, index: number, publish: boolean): Promise<Pair> {
  const ports = publish ? ['-p', '8080:80'] : []
  const life = async (network: string): Promise<Life> => {
    const command = ['run', '-d', '--name', 'bench', '--network', network, ...ports, 'probe', 'sleep', '1000']
    const runMs = await timed(() => host.docker(command))
    const rm = await timed(() => host.docker('rm -f bench'))
    return { run: runMs, rm }
  }
  if (index % 2 === 0) {
    const weft = await life('weft')
    return { weft, own: await life('own') }
  }
  const own = await life('own')
  return { own, weft: await life('weft') }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return performance.now() - started
}

function compared(name: string, pairs: readonly Pair[], part: keyof Life): readonly Figure[] {
  const ratios = pairs.map(({ weft, own }) => weft[part] / own[part])
  const samples = pairs.length
  return [
    { name: `${name} on weft-bridge, median`, value: median(pairs.map(({ weft }) => weft[part])), unit: 'ms', samples },
    { name: `${name} on bridge, median`, value: median(pairs.map(({ own }) => own[part])), unit: 'ms', samples },
    ...ratio(name, ratios, { high: { most: 1.05 } }),
  ]
}
