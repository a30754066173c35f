/** weft-bridge beside the engine's own bridge driver, in turn in one run: traffic, ports, starts, memory. */
import { lab } from '../../test/support/lab.ts'
import { connections } from './bridge-connections.ts'
import { latency } from './bridge-latency.ts'
import { memory } from './bridge-memory.ts'
import { prepare, type BridgeSettings, type Stage } from './bridge-stage.ts'
import { starts } from './bridge-start.ts'
import { throughput } from './bridge-throughput.ts'
import { circumstances, type Circumstances, type Figure } from './figures.ts'

/** In this order: what is sensitive to noise first, and last what leaves a large heap behind. */
const parts = { throughput, connections, start: starts, latency, memory } as const
export type Part = keyof typeof parts
export const partNames = Object.keys(parts) as readonly Part[]

export interface BridgeOptions extends BridgeSettings {
  readonly only: readonly Part[]
}

export async function bridge(options: BridgeOptions): Promise<[Circumstances, Figure[]]> {
  const { engine, only, report } = options
  await using net = await lab({ hosts: 3, engine, report })
  const [first, second, spare] = net.hosts
  const stage: Stage = {
    net,
    weft: { driver: 'weft-bridge', host: first },
    own: { driver: 'bridge', host: second },
    spare,
    client: net.underlay.outside,
    report,
  }
  await prepare(stage.weft)
  await prepare(stage.own)
  const about = circumstances('bridge', await first.docker('version -f {{.Server.Version}}'))
  const figures: Figure[] = []
  for (const name of partNames.filter(part => only.includes(part))) figures.push(...(await parts[name](stage, options)))
  return [about, figures]
}
