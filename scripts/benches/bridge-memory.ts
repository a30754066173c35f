/** Memory of everything that serves 500 published ports: what the processes grow by, and those that are started. */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Host } from '../../test/support/lab.ts'
import { firstPort, type Side, type Stage } from './bridge-stage.ts'
import type { Figure } from './figures.ts'

const count = 500
/** Until collectors of garbage have come to rest. */
const restMs = 10_000

export async function memory({ weft, own, report }: Stage): Promise<readonly Figure[]> {
  const before = await atRest(weft, own)
  for (const { host, driver } of [weft, own]) {
    report(`memory: ${count} ports on ${driver}, both families`)
    const range = `${firstPort}-${firstPort + count - 1}`
    const command = `run -d --name served --network bench -p ${range}:${range} probe sleep 100000`
    await host.docker(command, { timeoutMs: 600_000 })
  }
  const after = await atRest(weft, own)
  for (const { host } of [weft, own]) await host.docker('rm -f served', { timeoutMs: 600_000 })
  const grown = (which: 'weft' | 'own', part: keyof Usage): number => after[which][part] - before[which][part]
  // A collector of garbage may have taken back more than the ports need: that is no merit of theirs.
  const total = (which: 'weft' | 'own'): number =>
    (['weftd', 'engine', 'proxies'] as const).reduce((sum, part) => sum + Math.max(0, grown(which, part)), 0)
  const row = (name: string, value: number): Figure => ({ name: `PSS of ${count} ports, ${name}`, value, unit: 'MB' })
  return [
    row('weft-bridge, weftd', grown('weft', 'weftd')),
    row('weft-bridge, the engine beside it', grown('weft', 'engine')),
    row('bridge, the engine', grown('own', 'engine')),
    row('bridge, its proxies', grown('own', 'proxies')),
    {
      name: `PSS of ${count} ports, weft-bridge to bridge, ratio of the sums`,
      value: total('weft') / total('own'),
      unit: 'x',
      goal: { most: 0.2 },
    },
  ]
}

/** In MB (10^6 bytes). */
interface Usage {
  readonly weftd: number
  readonly engine: number
  readonly proxies: number
}

async function atRest(weft: Side, own: Side): Promise<{ readonly weft: Usage; readonly own: Usage }> {
  await sleep(restMs)
  return { weft: usage(weft.host), own: usage(own.host) }
}

function usage({ engine, weftd }: Host): Usage {
  const sum = (pids: readonly number[]): number => pids.reduce((total, pid) => total + proportionalMegabytes(pid), 0)
  return {
    weftd: sum(weftd ? [weftd.pid] : []),
    engine: sum(engine ? [engine.pid] : []),
    proxies: sum(engine ? childrenNamed(engine.pid, 'docker-proxy') : []),
  }
}

/** Whichever of its threads started them. */
function childrenNamed(pid: number, name: string): readonly number[] {
  return readdirSync(`/proc/${pid}/task`)
    .flatMap(thread => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' '))
    .filter(child => child !== '' && readFileSync(`/proc/${child}/comm`, 'utf8').trim() === name)
    .map(Number)
}

/** A page that n processes share counts as the nth part for each. */
function proportionalMegabytes(pid: number): number {
  const [, kilobytes = '0'] = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')) ?? []
  return (Number(kilobytes) * 1024) / 1e6
}
