/** From the start of weftd until its last socket answers, without endpoints and with many; and its memory then. */
import { setTimeout as sleep } from 'node:timers/promises'
import { lab, type Host } from '../../test/support/lab.ts'
import { accepting } from '../../test/support/lab/socket.ts'
import { Caller, inParallel } from './caller.ts'
import { residentMegabytes } from './daemon.ts'
import { circumstances, median, type Circumstances, type Figure } from './figures.ts'

export interface RestartOptions {
  readonly starts: number
  readonly many: number
  readonly report: (line: string) => void
}

interface Start {
  readonly seconds: number
  readonly megabytes: number
}
/** The checkout is read-only inside a host: compiled sources are kept elsewhere, and are there from the second start on. */
const env = { NODE_COMPILE_CACHE: '/var/lib/weft/compiled' }
/** The last socket that appears. */
const lastSocket = '/run/docker/plugins/weft-ipam.sock'
const settleMs = 3000

export async function restart({ starts, many, report }: RestartOptions): Promise<[Circumstances, Figure[]]> {
  const about = circumstances('restart')
  await using net = await lab({ hosts: 1, report })
  const [host] = net.hosts
  const cold = await start(host)
  await start(host)
  report(`${starts} starts without endpoints`)
  const empty = await several(host, starts)
  report(`making ${many} endpoints`)
  await host.startWeft({ env })
  await populate(host, many)
  await stop(host)
  report(`${starts} starts with ${many} endpoints`)
  const full = await several(host, starts)
  const figures: Figure[] = [
    { name: 'first start ever, to sockets', value: cold.seconds, unit: 's' },
    { name: 'start to sockets, empty, median', value: seconds(empty), unit: 's', samples: starts, goal: { most: 0.6 } },
    { name: 'RSS idle, empty', value: megabytes(empty), unit: 'MB', samples: starts, goal: { most: 100 } },
    {
      name: `start to sockets, ${many} endpoints, median`,
      value: seconds(full),
      unit: 's',
      samples: starts,
      goal: { most: 1.5 },
    },
    { name: `RSS idle, ${many} endpoints`, value: megabytes(full), unit: 'MB', samples: starts, goal: { most: 100 } },
  ]
  return [about, figures]
}

const seconds = (all: readonly Start[]): number => median(all.map(one => one.seconds))
const megabytes = (all: readonly Start[]): number => median(all.map(one => one.megabytes))

async function several(host: Host, count: number): Promise<readonly Start[]> {
  const all: Start[] = []
  for (let i = 0; i < count; i += 1) all.push(await start(host))
  return all
}

/** Starts, waits until memory has come to rest, and stops. */
async function start(host: Host): Promise<Start> {
  const started = performance.now()
  const weftd = await host.start('weftd', ['/bin/sh', '-c', `exec ${weftdPath}`], env)
  while (!(await accepting(host.path(lastSocket)))) {
    if (performance.now() - started > 60_000) throw new Error(`weftd does not start:\n${weftd.log()}`)
    await sleep(2)
  }
  const seconds = (performance.now() - started) / 1000
  await sleep(settleMs)
  const megabytes = residentMegabytes(weftd.pid)
  await weftd.stop()
  return { seconds, megabytes }
}
