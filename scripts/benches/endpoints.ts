/** weftd alone, called over its sockets: the cost of each call, of many endpoints, and of their removal. */
import { cp } from 'node:fs/promises'
import { eventually, lab, type Host } from '../../test/support/lab.ts'
import { Caller, inParallel, type BenchEndpoint, type BenchNetwork } from './caller.ts'
import { cpuMs, endpointLinks, residentMegabytes, takePulse } from './daemon.ts'
import { circumstances, median, quantile, spread, type Circumstances, type Figure } from './figures.ts'

export interface EndpointsOptions {
  /** Endpoints that are made and removed one after the other. */
  readonly singles: number
  /** Endpoints that exist at once. A bridge has 1,023 ports at most. */
  readonly many: number
  /** Directory for a profile of weftd's processor time, as `node --cpu-prof` writes it; slows it down a little. */
  readonly profile: string | undefined
  readonly report: (line: string) => void
}

const startCalls = [
  ...['IpamDriver.RequestAddress', 'NetworkDriver.CreateEndpoint', 'NetworkDriver.Join'],
  ...['NetworkDriver.ProgramExternalConnectivity', 'NetworkDriver.EndpointOperInfo'],
]
/** An engine that starts containers in parallel has a few calls under way. */
const atOnce = 4
const groupSize = 40
const idleMs = 10_000
const profiles = '/run/profiles'
const profiling = { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profiles}` }

export async function endpoints(options: EndpointsOptions): Promise<[Circumstances, Figure[]]> {
  const { singles, many, profile, report } = options
  const about = circumstances('endpoints')
  await using net = await lab({ hosts: 1, report })
  const [host] = net.hosts
  const weftd = await host.startWeft(profile === undefined ? {} : { env: profiling })
  using caller = new Caller(host)
  const network = await caller.createNetwork('10.99.0.0/16', '10.99.0.1')
  report('warming up')
  await lives(caller, network, 50)
  report(`${singles} endpoints one after the other, then ${singles} with a published port`)
  const plain = await lives(caller, network, singles)
  const published = await lives(caller, network, singles, { publish: true })
  await gone(host)
  const figures = [
    ...sums('start calls', plain),
    ...sums('start calls with a published port', published),
    ...[...plain].flatMap(([method, times]) => calls(method, times)),
    ...spread(
      'ProgramExternalConnectivity, one port',
      published.get('NetworkDriver.ProgramExternalConnectivity') ?? [],
    ),
    ...(await lag(host, caller, network, report)),
    ...(await crowd(host, caller, network, { many, report })),
  ]
  if (profile !== undefined) {
    await weftd.stop()
    await cp(host.path(profiles), profile, { recursive: true })
  }
  return [about, figures]
}

type Times = ReadonlyMap<string, readonly number[]>

/** So many endpoints from their first call to their last, and what each call took. */
async function lives(
  caller: Caller,
  network: BenchNetwork,
  count: number,
  { publish = false }: { readonly publish?: boolean } = {},
): Promise<Times> {
  caller.times.clear()
  for (let i = 0; i < count; i += 1) {
    await caller.end(await caller.start(network, publish ? 20_000 + (i % 1000) : undefined))
  }
  return new Map(caller.times)
}

/** What the calls of one start took together. */
function sums(name: string, times: Times): readonly Figure[] {
  const all = startCalls.map(method => times.get(method) ?? [])
  const together = (all[0] ?? []).map((_, i) => all.reduce((sum, some) => sum + (some[i] ?? 0), 0))
  return spread(name, together, { most: 6 })
}

function calls(method: string, times: readonly number[]): readonly Figure[] {
  const name = method.split('.')[1] ?? method
  return spread(name, times, name === 'DeleteEndpoint' ? { most: 3 } : undefined)
}

/** How long the daemon's loop is held up while links are removed together. */
async function lag(
  host: Host,
  caller: Caller,
  network: BenchNetwork,
  report: (line: string) => void,
): Promise<readonly Figure[]> {
  report(`the loop while ${groupSize} links are removed, ten times`)
  const times: number[] = []
  for (let round = 0; round < 10; round += 1) {
    const group = await inParallel(Array.from({ length: groupSize }), atOnce, () => caller.start(network))
    const pulse = takePulse(host)
    await inParallel(group, atOnce, endpoint => caller.end(endpoint))
    await gone(host)
    times.push(...(await pulse.stop()))
  }
  const common = { unit: 'ms', samples: times.length } as const
  return [
    { name: `loop lag while ${groupSize} links are removed, p99`, value: quantile(times, 0.99), ...common },
    {
      name: `loop lag while ${groupSize} links are removed, longest`,
      value: Math.max(...times),
      ...common,
      goal: { most: 15 },
    },
  ]
}

/** Many endpoints at once on one bridge. */
async function crowd(
  host: Host,
  caller: Caller,
  network: BenchNetwork,
  { many, report }: Pick<EndpointsOptions, 'many' | 'report'>,
): Promise<readonly Figure[]> {
  const pid = host.weftd?.pid
  if (pid === undefined) throw new Error('weftd ended by itself')
  report(`${many} endpoints on one bridge`)
  const cpuStart = cpuMs(pid)
  const started = performance.now()
  const all = await inParallel(Array.from({ length: many }), atOnce, () => caller.start(network))
  const seconds = (performance.now() - started) / 1000
  const made = cpuMs(pid) - cpuStart
  report(`as good as idle for ${idleMs / 1000} s`)
  const cpuBefore = cpuMs(pid)
  await new Promise(resolve => setTimeout(resolve, idleMs))
  const busy = ((cpuMs(pid) - cpuBefore) / idleMs) * 100
  report('fifty more, one after the other')
  const late = await lives(caller, network, Math.min(50, 1020 - many))
  const memory = residentMegabytes(pid)
  const pulse = takePulse(host)
  const compared = performance.now()
  await host.admin('/v1/diff')
  const diffMs = performance.now() - compared
  const lags = await pulse.stop()
  report('removing all of them')
  const cpuFull = cpuMs(pid)
  const goneSeconds = await removeAll(host, caller, all)
  const removed = cpuMs(pid) - cpuFull
  const lateSums = startCalls.map(method => late.get(method) ?? [])
  return [
    { name: `endpoints/s up to ${many}`, value: many / seconds, unit: '/s', goal: { least: 250 } },
    { name: 'processor time of weftd for one of them, made', value: made / many, unit: 'ms' },
    { name: 'processor time of weftd for one of them, removed', value: removed / many, unit: 'ms' },
    { name: `processor while ${many} endpoints idle`, value: busy, unit: '%' },
    { name: `start calls beside ${many} endpoints, p50`, value: sumOfMedians(lateSums), unit: 'ms' },
    { name: `comparison of ${many} endpoints with the kernel`, value: diffMs, unit: 'ms' },
    { name: 'loop lag meanwhile, longest', value: Math.max(...lags), unit: 'ms' },
    { name: `RSS with ${many} endpoints`, value: memory, unit: 'MB' },
    { name: `${many} endpoints gone`, value: goneSeconds, unit: 's', goal: { most: 3 } },
  ]
}

function sumOfMedians(all: readonly (readonly number[])[]): number {
  return all.reduce((sum, times) => sum + median(times), 0)
}

/** Seconds from the first call until the last link is gone. */
async function removeAll(host: Host, caller: Caller, all: readonly BenchEndpoint[]): Promise<number> {
  const started = performance.now()
  await inParallel(all, atOnce, endpoint => caller.end(endpoint))
  await gone(host)
  return (performance.now() - started) / 1000
}

async function gone(host: Host): Promise<void> {
  await eventually('the last link is gone', () => endpointLinks(host) === 0, { timeoutMs: 60_000, pauseMs: 5 })
}
