/** weft-macvlan beside the engine's own driver, in turn in one run, on one parent: traffic, starts. */
import { eventually, lab, type Host, type Place } from '../../test/support/lab.ts'
import { netOf } from '../../test/support/reach.ts'
import type { Engine } from '../engines.ts'
import { compared, inTurn } from './bridge-stage.ts'
import { port, stream } from './bridge-throughput.ts'
import { circumstances, type Circumstances, type Figure } from './figures.ts'

export interface MacvlanOptions {
  readonly engine: Engine
  readonly seconds: number
  /** Slices of traffic of each path, and half of the containers that are started on each network. */
  readonly pairs: number
  readonly report: (line: string) => void
}

interface Side {
  readonly network: string
  /** Third byte of the containers' addresses. */
  readonly subnet: number
}

const sides = { weft: { network: 'weft', subnet: 40 }, own: { network: 'own', subnet: 41 } } as const

export async function macvlan({ engine, seconds, pairs, report }: MacvlanOptions): Promise<[Circumstances, Figure[]]> {
  await using net = await lab({ hosts: 1, engine, report })
  const [host, outside] = [net.hosts[0], net.underlay.outside]
  await host.startWeft()
  await host.startEngine()
  await host.image()
  const about = circumstances('macvlan', await host.docker('version -f {{.Server.Version}}'))
  const create = 'network create -o parent=eth0 --subnet'
  await host.docker(`${create} 10.40.0.0/16 -d weft-macvlan weft`)
  // The search for the address takes 0.6 s, which the engine's own does not do.
  await host.docker(`${create} 10.42.0.0/16 -d weft-macvlan -o weft.dad=off weft-unasked`)
  await host.docker(`${create} 10.41.0.0/16 -d macvlan own`)
  for (const byte of [40, 41, 42]) await outside.run(`ip address add 10.${byte}.255.254/16 dev ul0`)
  const figures: Figure[] = []
  for (const [name, ends] of Object.entries(await traffic(host, outside))) {
    report(`throughput, ${name}: ${pairs} pairs of ${seconds} s`)
    const measured = await inTurn(pairs, ends, ({ from, to }) => stream(from, to, seconds))
    figures.push(...compared(name, 'Gbit/s', measured, { median: { least: 1 }, low: { least: 0.95 } }, 'macvlan'))
  }
  for (const { network } of Object.values(sides)) await host.docker(`rm -f server-${network} client-${network}`)

  const start = (network: string): Promise<number> => startOn(host, network)
  const unasked = { weft: 'weft-unasked', own: 'own' }
  await inTurn(3, unasked, start)
  report(`starts: ${pairs * 2} pairs`)
  const alone = await inTurn(pairs * 2, unasked, start)
  const asked = await inTurn(pairs, { weft: 'weft', own: 'own' }, start)
  return [
    about,
    [
      ...figures,
      ...compared('docker run -d, weft.dad=off', 'ms', alone, { median: { most: 1 } }, 'macvlan'),
      ...compared('docker run -d, addresses searched for', 'ms', asked, {}, 'macvlan'),
    ],
  ]
}

interface Ends {
  readonly from: Place
  readonly to: string
}

/** Between two containers of one network, and out to another machine. */
async function traffic(
  host: Host,
  outside: Host,
): Promise<Readonly<Record<string, { readonly weft: Ends; readonly own: Ends }>>> {
  await outside.start('iperf3', ['iperf3', '-s', '-p', String(port)])
  await eventually('iperf3 listens', async () => (await outside.run(`ss -Hltn sport = :${port}`)) !== '')
  const prepare = async ({ network, subnet }: Side): Promise<{ readonly inside: Ends; readonly out: Ends }> => {
    await host.docker(`run -d --name server-${network} --network ${network} probe iperf3 -s -p ${port}`)
    await host.docker(`run -d --name client-${network} --network ${network} probe sleep 100000`)
    const server = await netOf(host, `server-${network}`)
    await eventually('iperf3 listens', async () => (await server.run(`ss -Hltn sport = :${port}`)) !== '')
    const from = await netOf(host, `client-${network}`)
    return {
      inside: { from, to: await host.addressOf(`server-${network}`, network) },
      out: { from, to: `10.${subnet}.255.254` },
    }
  }
  const [weft, own] = [await prepare(sides.weft), await prepare(sides.own)]
  return {
    'between containers': { weft: weft.inside, own: own.inside },
    'out to another machine': { weft: weft.out, own: own.out },
  }
}

/** Milliseconds of the start alone. */
async function startOn(host: Host, network: string): Promise<number> {
  const started = performance.now()
  await host.docker(`run -d --name started --network ${network} probe sleep 1000`)
  const ms = performance.now() - started
  await host.docker('rm -f started')
  return ms
}
