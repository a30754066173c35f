/** From the start of weftd until its last socket answers, without endpoints and with many; and its memory then. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, lab, type Host } from '../../test/support/lab.ts'
import { accepting } from '../../test/support/lab/socket.ts'
import { Caller, inParallel } from './caller.ts'
import { cpuMs, residentMegabytes } from './daemon.ts'
import { circumstances, median, type Circumstances, type Figure } from './figures.ts'

export interface RestartOptions {
  readonly starts: number
  readonly many: number
  /** Each endpoint has a published port: its socket ends with weftd, and is held anew. */
  readonly publish: boolean
  readonly report: (line: string) => void
}

interface Start {
  readonly seconds: number
  /** Processor time until then. */
  readonly cpuMs: number
  readonly megabytes: number
}
/** The checkout is read-only inside a host: compiled sources are kept elsewhere, and are there from the second start on. */
const env = { NODE_COMPILE_CACHE: '/var/lib/weft/compiled' }
/** The last socket that appears. */
const lastSocket = '/run/docker/plugins/weft-ipam.sock'
const restMs = 3000

export async function restart({ starts, many, publish, report }: RestartOptions): Promise<[Circumstances, Figure[]]> {
  const about = circumstances('restart')
  await using net = await lab({ hosts: 1, report })
  const [host] = net.hosts
  const once = (): Promise<Start> => start(host, join(net.checkout, 'bin/weftd'))
  const cold = await once()
  await once()
  report(`${starts} starts without endpoints`)
  const empty = await repeated(once, starts)
  report(`making ${many} endpoints`)
  await populate(host, many, { publish })
  report(`${starts} starts with ${many} endpoints`)
  const full = await repeated(once, starts)
  return [about, [...figuresOf('empty', empty, 0.6), ...figuresOf(`${many} endpoints`, full, 1.5), first(cold)]]
}

async function repeated(once: () => Promise<Start>, count: number): Promise<readonly Start[]> {
  const all: Start[] = []
  for (let i = 0; i < count; i += 1) all.push(await once())
  return all
}

/** Starts, waits until memory has come to rest, and stops. */
async function start(host: Host, weftd: string): Promise<Start> {
  const started = performance.now()
  const daemon = await host.start('weftd', [weftd], env)
  await eventually('weftd serves', () => accepting(host.path(lastSocket)), { timeoutMs: 60_000, pauseMs: 2 })
  const seconds = (performance.now() - started) / 1000
  const cpu = cpuMs(daemon.pid)
  await sleep(restMs)
  const megabytes = residentMegabytes(daemon.pid)
  await daemon.stop()
  return { seconds, cpuMs: cpu, megabytes }
}

async function populate(host: Host, count: number, { publish }: Pick<RestartOptions, 'publish'>): Promise<void> {
  const daemon = await host.startWeft({ env })
  {
    using caller = new Caller(host)
    const network = await caller.createNetwork('10.99.0.0/16', '10.99.0.1')
    const ports = Array.from({ length: count }, (_, index) => (publish ? 20_000 + index : undefined))
    await inParallel(ports, 4, port => caller.start(network, port))
  }
  await daemon.stop()
}

function figuresOf(what: string, starts: readonly Start[], most: number): readonly Figure[] {
  const samples = starts.length
  const [seconds, megabytes] = [starts.map(one => one.seconds), starts.map(one => one.megabytes)]
  return [
    { name: `start to sockets, ${what}, median`, value: median(seconds), unit: 's', samples, goal: { most } },
    { name: `start to sockets, ${what}, longest`, value: Math.max(...seconds), unit: 's', samples },
    {
      name: `processor time of a start, ${what}, median`,
      value: median(starts.map(one => one.cpuMs)),
      unit: 'ms',
      samples,
    },
    { name: `RSS idle, ${what}, median`, value: median(megabytes), unit: 'MB', samples, goal: { most: 100 } },
  ]
}

/** Nothing is compiled yet. */
function first({ seconds }: Start): Figure {
  return { name: 'start to sockets, the first one ever', value: seconds, unit: 's', samples: 1 }
}
