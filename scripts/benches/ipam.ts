/** weft's IPAM: its allocator alone, and a weftd that is asked over its socket, by many at once. */
import { lab, type Host } from '../../test/support/lab.ts'
import { Bitmap } from '../../ipam/bitmap.ts'
import { Pool } from '../../ipam/pool.ts'
import { poolIdOf } from '../../ipam/records.ts'
import type { Cidr } from '../../native/value/ip.ts'
import { cpuMs, residentMegabytes } from './daemon.ts'
import { circumstances, median, type Circumstances, type Figure } from './figures.ts'
import { rawCalls } from './raw-calls.ts'

export interface IpamBenchOptions {
  /** Addresses that are asked for over the socket in each round. */
  readonly many: number
  readonly report: (line: string) => void
}

/** Addresses of a /8. */
const full = 2 ** 24
const rounds = 5
const atOnce = 64
const subnet = '10.0.0.0/8' as Cidr

export async function ipam({ many, report }: IpamBenchOptions): Promise<[Circumstances, Figure[]]> {
  const about = circumstances('ipam')
  report(`a /8 in memory, ${rounds} times`)
  const bare = Array.from({ length: rounds }, () => fillBitmap())
  const pools = Array.from({ length: rounds }, () => fillPool())
  report(`${many} addresses over the socket, ${rounds} times, ${atOnce} at once`)
  await using net = await lab({ hosts: 1, report })
  const [host] = net.hosts
  const weftd = await host.startWeft()
  const [durable, cpu] = await overSocket(host, weftd.pid, many)
  return [
    about,
    [
      figure(
        'allocations in memory',
        bare.map(({ perSecond }) => perSecond),
        '/s',
        { least: 10_000_000 },
      ),
      figure(
        'memory of a full /8',
        bare.map(({ megabytes }) => megabytes),
        'MB',
        { most: 4 },
      ),
      figure('allocations in memory with their leases', pools, '/s'),
      figure('durable allocations over the socket', durable, '/s', { least: 10_000 }),
      figure('processor time of weftd for one of them', cpu, 'ms'),
      { name: `RSS with ${many * rounds} leases`, value: residentMegabytes(weftd.pid), unit: 'MB' },
    ],
  ]
}

function figure(name: string, values: readonly number[], unit: Figure['unit'], goal?: Figure['goal']): Figure {
  return { name, value: median(values), unit, samples: values.length, ...(goal && { goal }) }
}

function fillBitmap(): { readonly perSecond: number; readonly megabytes: number } {
  const before = process.memoryUsage().arrayBuffers
  const bitmap = new Bitmap(full)
  const started = performance.now()
  for (let count = 0; count < full; count += 1) bitmap.set(bitmap.nextFree() ?? -1)
  const seconds = (performance.now() - started) / 1000
  if (bitmap.taken !== full) throw new Error(`${bitmap.taken} taken`)
  return { perSecond: full / seconds, megabytes: (process.memoryUsage().arrayBuffers - before) / 1e6 }
}

/** As a request decides: an address as text, and the record of its lease. */
function fillPool(): number {
  const record = { subnet, family: 4, automatic: false, options: {}, client: 'weft-ipam', session: 0, at: 1 } as const
  const pool = new Pool(poolIdOf(subnet, undefined), record, 60_000)
  const count = 200_000
  const started = performance.now()
  for (let at = 0; at < count; at += 1) {
    const address = pool.choose('endpoint', 0)
    if (address !== undefined) pool.put({ sort: 'lease', address, value: { purpose: 'endpoint', at } })
  }
  return count / ((performance.now() - started) / 1000)
}

/** Rates by round, and milliseconds of processor time by allocation. */
async function overSocket(
  host: Host,
  pid: number,
  many: number,
): Promise<readonly [rates: readonly number[], cpu: readonly number[]]> {
  const socketPath = host.path('/run/docker/plugins/weft-ipam.sock')
  const call = (method: string, bodies: readonly object[]): Promise<readonly string[]> =>
    rawCalls({ socketPath, method: `IpamDriver.${method}`, bodies, atOnce: Math.min(atOnce, bodies.length) })
  const wish = { AddressSpace: 'weft-local', Pool: subnet, SubPool: '', Options: {}, V6: false }
  const [pool = ''] = await call('RequestPool', [wish])
  const { PoolID } = JSON.parse(pool) as { readonly PoolID: string }
  const [rates, cpus]: [number[], number[]] = [[], []]
  const given = new Set<string>()
  for (let round = 0; round < rounds; round += 1) {
    const bodies = Array.from({ length: many }, (_, index) => {
      return { PoolID, Address: '', Options: { [macKey]: macOf(round * many + index) } }
    })
    const [started, cpu] = [performance.now(), cpuMs(pid)]
    for (const answer of await call('RequestAddress', bodies)) given.add(answer)
    rates.push(many / ((performance.now() - started) / 1000))
    cpus.push((cpuMs(pid) - cpu) / many)
  }
  if (given.size !== many * rounds) throw new Error(`${given.size} addresses for ${many * rounds} requests`)
  return [rates, cpus]
}

const macKey = 'com.docker.network.endpoint.macaddress'

function macOf(number: number): string {
  return `02:42:${[24, 16, 8, 0].map(shift => ((number >> shift) & 255).toString(16).padStart(2, '0')).join(':')}`
}
