/** How long weftd takes for its answers while 32 containers are started at once: from its own histogram. */
import type { Host } from '../../test/support/lab.ts'
import { firstPort, type Stage } from './bridge-stage.ts'
import type { Figure } from './figures.ts'

const atOnce = 32
const rounds = 4
const metric = 'weft_request_duration_seconds'
const startCalls = ['CreateEndpoint', 'Join', 'ProgramExternalConnectivity', 'EndpointOperInfo']

interface Round {
  readonly before: string
  readonly after: string
}

export async function latency({ weft, report }: Stage): Promise<readonly Figure[]> {
  await round(weft.host)
  const all: Round[] = []
  for (let i = 0; i < rounds; i += 1) {
    report(`answers: ${atOnce} starts at once, ${i + 1} of ${rounds}`)
    all.push(await round(weft.host))
  }
  const lags = all.map(({ after }) => Number(/^nodejs_eventloop_lag_p99_seconds (\S+)/m.exec(after)?.[1]))
  const name = `answers at ${atOnce} starts at once`
  return [
    quantileRow(`${name}, p50`, all, 0.5),
    { ...quantileRow(`${name}, p99`, all, 0.99), goal: { most: 50 } },
    ...startCalls.map(call => quantileRow(`${name}, ${call}, p99`, all, 0.99, `NetworkDriver.${call}`)),
    { name: 'loop lag meanwhile, p99, the worst round', value: Math.max(...lags) * 1000, unit: 'ms', samples: rounds },
  ]
}

/** What weftd has counted before and after the starts; the removals are not among them. */
async function round(host: Host): Promise<Round> {
  const names = Array.from({ length: atOnce }, (_, index) => `at-once-${index}`)
  const exposition = async (): Promise<string> => (await host.admin('/metrics')).body
  const before = await exposition()
  await Promise.all(
    names.map((name, index) =>
      host.docker(`run -d --name ${name} --network bench -p ${firstPort + index}:80 probe sleep 1000`),
    ),
  )
  const after = await exposition()
  await host.docker(['rm', '-f', ...names])
  return { before, after }
}

/** Over all rounds; of all methods, unless one is named. */
function quantileRow(name: string, all: readonly Round[], share: number, method?: string): Figure {
  const counted = (text: string, sign: 1 | -1): readonly Bucket[] =>
    histogram(text, metric, method).map(({ bound, count }) => ({ bound, count: sign * count }))
  const buckets = added(all.flatMap(({ before, after }) => [counted(after, 1), counted(before, -1)]))
  return { name, value: quantileOf(buckets, share) * 1000, unit: 'ms', samples: buckets.at(-1)?.count ?? 0 }
}

/** Observations of at most `bound`. */
export interface Bucket {
  readonly bound: number
  readonly count: number
}

/** Of a metric in Prometheus's text; all label values together, or those of one method. */
export function histogram(text: string, name: string, method?: string): readonly Bucket[] {
  const lines = text.matchAll(new RegExp(`^${name}_bucket{(.*)} (\\S+)$`, 'gm'))
  const buckets = [...lines].flatMap(([, labels = '', count]) => {
    const of = (label: string): string | undefined => new RegExp(`\\b${label}="([^"]*)"`).exec(labels)?.[1]
    if (method !== undefined && of('method') !== method) return []
    return [{ bound: of('le') === '+Inf' ? Infinity : Number(of('le')), count: Number(count) }]
  })
  return added([buckets])
}

/** In the order of the bounds. */
function added(all: readonly (readonly Bucket[])[]): readonly Bucket[] {
  const counts = new Map<number, number>()
  for (const { bound, count } of all.flat()) counts.set(bound, (counts.get(bound) ?? 0) + count)
  return [...counts].map(([bound, count]) => ({ bound, count })).toSorted((a, b) => a.bound - b.bound)
}

/** As Prometheus estimates it: linear within the bucket where it lies; beyond the last bound, that bound. */
export function quantileOf(buckets: readonly Bucket[], share: number): number {
  const wanted = (buckets.at(-1)?.count ?? 0) * share
  if (wanted === 0) throw new RangeError('no samples')
  const at = buckets.findIndex(({ count }) => count >= wanted)
  const [below, bucket] = [buckets[at - 1] ?? { bound: 0, count: 0 }, buckets[at]]
  if (!bucket || bucket.bound === Infinity) return below.bound
  return below.bound + ((bucket.bound - below.bound) * (wanted - below.count)) / (bucket.count - below.count)
}
