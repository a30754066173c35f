/**
 * Where the benches of the bridge play: one host with engine and weftd, one with the engine alone, and a place outside of
 * both. Two hosts, because the rules of either driver would be in the way of the other's packets.
 */
import { join } from 'node:path'
import type { Host, Lab } from '../../test/support/lab.ts'
import type { Engine } from '../engines.ts'
import { median, ratio, type Figure, type RatioGoals, type Unit } from './figures.ts'

export interface Side {
  readonly driver: 'weft-bridge' | 'bridge'
  readonly host: Host
}

export interface Stage {
  readonly net: Lab<3>
  readonly weft: Side
  readonly own: Side
  /** For a second one with weft; nothing runs on it. */
  readonly spare: Host
  /** Another host: 192.0.2.1. */
  readonly client: Host
  readonly report: (line: string) => void
}

/** Of each bench: one entry of `--only`. */
export interface BridgeSettings {
  readonly engine: Engine
  /** Of one slice of traffic. */
  readonly seconds: number
  /** Slices of each side, and half of the containers that are started on each. */
  readonly pairs: number
  readonly report: (line: string) => void
}

export interface Pair {
  readonly weft: number
  readonly own: number
}

/** Engine, weftd if wanted, the test image, and a network `bench`. */
export async function prepare({ host, driver }: Side): Promise<void> {
  if (driver === 'weft-bridge') await host.startWeft()
  await host.startEngine()
  await host.image()
  await host.docker(['network', 'create', '--driver', driver, 'bench'])
}

/** A container on `bench`; so many ports from 20000 on are published under their own numbers, for IPv4. */
export async function publish(host: Host, name: string, count: number): Promise<void> {
  const range = count === 1 ? `${firstPort}` : `${firstPort}-${firstPort + count - 1}`
  const ports = ['-p', `0.0.0.0:${range}:${range}`]
  const command = ['run', '-d', '--name', name, '--network', 'bench', ...ports, 'probe', 'sleep', '100000']
  await host.docker(command, { timeoutMs: 300_000 })
}

/** Below the ephemeral ports. */
export const firstPort = 20_000

/** A B, then B A, so that a drift of the machine hits both alike. */
export async function inTurn<S>(
  count: number,
  { weft, own }: { readonly weft: S; readonly own: S },
  measure: (side: S) => Promise<number>,
): Promise<readonly Pair[]> {
  const pairs: Pair[] = []
  for (let i = 0; i < count; i += 1) {
    if (i % 2 === 0) {
      const first = await measure(weft)
      pairs.push({ weft: first, own: await measure(own) })
    } else {
      const first = await measure(own)
      pairs.push({ own: first, weft: await measure(weft) })
    }
  }
  return pairs
}

/** `driver`: the engine's own, whose name with `weft-` before it is ours. */
export function compared(
  name: string,
  unit: Unit,
  pairs: readonly Pair[],
  goals: RatioGoals,
  driver = 'bridge',
): readonly Figure[] {
  const common = { unit, samples: pairs.length }
  const ratios = pairs.map(({ weft, own }) => weft / own)
  return [
    { name: `${name}, weft-${driver}, median`, value: median(pairs.map(({ weft }) => weft)), ...common },
    { name: `${name}, ${driver}, median`, value: median(pairs.map(({ own }) => own)), ...common },
    ...ratio(`${name}, weft-${driver} to ${driver}`, ratios, goals),
  ]
}

/** In the network namespace of a container of the host, with the host's programs. */
export async function inNetOf(host: Host, container: string): Promise<readonly string[]> {
  return ['nsenter', '-t', await host.docker(['inspect', '-f', '{{.State.Pid}}', container]), '-n', '--']
}

export function nodeScript({ checkout }: Stage['net'], name: string): readonly string[] {
  return [join(checkout, 'scripts/node'), join(checkout, 'scripts/benches', name)]
}
