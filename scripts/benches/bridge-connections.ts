/** New connections/s to a published port from another host, with one published port and with ten thousand. */
import { eventually, type Daemon, type Host } from '../../test/support/lab.ts'
import type { Order } from './bridge-connector.ts'
import { repeatRules } from './bridge-rules.ts'
import {
  firstPort,
  inNetOf,
  nodeScript,
  prepare,
  publish,
  type BridgeSettings,
  type Side,
  type Stage,
} from './bridge-stage.ts'
import { median, ratio, type Figure } from './figures.ts'

const many = 10_000
/** Evenly spread over all that are published: in a list of rules the first are found sooner than the last. */
const drawn = 16
const manyPorts = Array.from({ length: drawn }, (_, i) => firstPort + Math.floor(((i + 0.5) * many) / drawn))

export async function connections(stage: Stage, settings: BridgeSettings): Promise<readonly Figure[]> {
  const { weft, own, spare, client, report } = stage
  const crowded: Side = { driver: 'weft-bridge', host: spare }
  await prepare(crowded)
  const accepting: Daemon[] = []
  const serve = async (host: Host, published: number): Promise<void> => {
    await publish(host, 'server', published)
    accepting.push(await acceptor(stage, host))
  }
  await serve(weft.host, 1)
  report(`connections: ${many} ports, published by weft`)
  await serve(crowded.host, many)
  report(`connections: ${many} ports, one published by the engine and its rules repeated for the others`)
  await serve(own.host, 1)
  await client.sh('echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range')
  const [few, crowd] = [
    { address: weft.host.ip4, ports: [firstPort] },
    { address: spare.ip4, ports: manyPorts },
  ]
  const order = { slices: settings.pairs, ms: settings.seconds * 1000 }

  const measure = async (targets: Order['targets']): Promise<readonly (readonly number[])[]> => {
    report(`connections: ${targets.length} targets, ${order.slices} slices of ${settings.seconds} s each`)
    const command = [...nodeScript(stage.net, 'bridge-connector.ts'), 'connect', JSON.stringify({ targets, ...order })]
    return JSON.parse(await client.run(command, { timeoutMs: 600_000 })) as readonly (readonly number[])[]
  }
  const rules = await repeatRules(own.host, firstPort, many)
  const [weftFew = [], weftMany = [], ownMany = []] = await measure([
    few,
    crowd,
    { address: own.host.ip4, ports: manyPorts },
  ])
  await rules[Symbol.asyncDispose]()
  const [weftAgain = [], ownFew = []] = await measure([few, { address: own.host.ip4, ports: [firstPort] }])

  for (const daemon of accepting) {
    daemon.kill()
    await daemon.exited
  }
  for (const host of [weft.host, own.host]) await host.docker('rm -f server')
  // It is not needed any more, and would be looked after by weftd while others are measured.
  await spare.docker('rm -f server', { timeoutMs: 300_000 })
  await spare.docker('network rm bench')
  for (const daemon of [spare.engine, spare.weftd]) await daemon?.stop(60_000)
  return [
    rate('weft-bridge with 1 port', weftFew),
    rate(`weft-bridge with ${many} ports`, weftMany),
    rate(`bridge with the rules of ${many} ports`, ownMany),
    rate('bridge with 1 port', ownFew),
    ...ratio(`new connections, weft-bridge, ${many} ports to 1`, divided(weftMany, weftFew), {
      median: { least: 0.95 },
    }),
    ...ratio(`new connections, ${many} ports, weft-bridge to bridge`, divided(weftMany, ownMany), {
      median: { least: 3 },
    }),
    ...ratio('new connections, 1 port, weft-bridge to bridge', divided(weftAgain, ownFew)),
  ]
}

/** Takes connections in the container's namespace, on the same ports everywhere. */
async function acceptor(stage: Stage, host: Host): Promise<Daemon> {
  const script = nodeScript(stage.net, 'bridge-connector.ts')
  const daemon = await host.start('acceptor', [
    ...(await inNetOf(host, 'server')),
    ...script,
    'accept',
    ...[firstPort, ...manyPorts].map(String),
  ])
  await eventually('the acceptor listens', () => daemon.log().includes('ready'))
  return daemon
}

function rate(name: string, rates: readonly number[]): Figure {
  return { name: `new connections, ${name}, median`, value: median(rates), unit: '/s', samples: rates.length }
}

function divided(above: readonly number[], below: readonly number[]): readonly number[] {
  return above.map((value, i) => value / (below[i] ?? Number.NaN))
}
