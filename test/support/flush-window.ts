/** A foreign flush where no owner protects weft's rules: how long they are gone, and what began meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { tableName } from '../../drivers/names.ts'
import { watchKernel } from '../../native/diag/events.ts'
import { inNetns } from '../../native/ffi/netns.ts'
import { Monitor } from '../../native/netlink/monitor.ts'
import { eventually, type Daemon, type Host, type Place } from './lab.ts'
import { words } from './lab/process.ts'
import { netOf, pingsNot, seenBy } from './reach.ts'
import { agrees } from './scene.ts'

/** Sends without pause to an address that is closed to it. */
class Knocker {
  readonly #ping: Daemon

  private constructor(ping: Daemon) {
    this.#ping = ping
  }

  static async start(host: Host, name: string, inside: string, address: string): Promise<Knocker> {
    return new Knocker(await host.start(`knock-${name}`, words(`${inside} ping -n -i 0.02 ${address}`)))
  }

  get answers(): number {
    return this.#ping.log().match(/ttl=/g)?.length ?? 0
  }

  async end(): Promise<void> {
    this.#ping.kill('SIGINT')
    await this.#ping.exited
  }
}

export interface FlushOptions {
  readonly rounds: number
  readonly timeoutMs?: number
}

/** Another machine, and how a command is run in it. */
export interface Neighbour extends Place {
  readonly ip4: string
  readonly host: Host
  readonly inside: string
}

/** Two networks and a neighbour; pings to an address that is closed to both come through in the windows only. */
export async function flushStory(what: string, host: Host, neighbour: Neighbour, options: FlushOptions): Promise<void> {
  await host.docker('network create -d weft-bridge --subnet 10.30.0.0/24 open')
  await host.docker('network create -d weft-bridge --subnet 10.31.0.0/24 other')
  await host.docker('run -d --name www --network open --ip 10.30.0.9 -p 8080:80 probe')
  await host.docker('run -d --name stranger --network other probe')
  await neighbour.run(`ip route add 10.30.0.0/24 via ${host.ip4}`)
  for (const from of [await netOf(host, 'stranger'), neighbour]) await pingsNot(from, '10.30.0.9')
  const pid = await host.docker('inspect -f {{.State.Pid}} stranger')
  const knockers = [
    await Knocker.start(host, 'other', `nsenter -t ${pid} -n --`, '10.30.0.9'),
    await Knocker.start(neighbour.host, 'lan', neighbour.inside, '10.30.0.9'),
  ]
  report(what, await flushWindows(host, knockers, options), knockers)
  for (const knocker of knockers) await knocker.end()
  assert.is(await seenBy(neighbour, host.ip4, { port: 8080 }), neighbour.ip4)
  await neighbour.run('ip route del 10.30.0.0/24')
  await agrees(host)
}

/**
 * Milliseconds from the event of each flush, as this process sees it, to that of weft's rules. The engine's own rules are
 * put back after each. What a knocker began in the window must not go on after it.
 */
async function flushWindows(
  host: Host,
  knockers: readonly Knocker[],
  { rounds, timeoutMs = 20_000 }: FlushOptions,
): Promise<readonly number[]> {
  await host.sh('iptables-save >/run/rules4; ip6tables-save >/run/rules6')
  await using monitor = new Monitor()
  let seen: number[] = []
  inNetns(host.netns, () => {
    watchKernel(monitor, events => {
      for (const event of events) {
        if (event.type === 'nftables' && event.tables.includes(`inet ${tableName}`)) seen.push(performance.now())
      }
    })
  })
  const windows: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    seen = []
    await host.run('nft flush ruleset')
    await eventually('the rules are back', () => seen.length > 1, { timeoutMs })
    const [gone = NaN, back = NaN] = seen
    windows.push(back - gone)
    await host.sh('iptables-restore /run/rules4; ip6tables-restore /run/rules6')
    const count = (): string => knockers.map(({ answers }) => answers).join(' ')
    await eventually('nothing comes through any more', () => silent(count), { timeoutMs })
  }
  return windows
}

async function silent(count: () => string): Promise<boolean> {
  const before = count()
  await sleep(500)
  return count() === before
}

/** For people: `12, 15 and 11 ms`, and what came through. */
function report(what: string, windows: readonly number[], knockers: readonly Knocker[]): void {
  assert.ok(windows.every(Number.isFinite))
  const list = windows.map(ms => ms.toFixed(1)).join(', ')
  const through = knockers.map(({ answers }) => answers).join(' and ')
  console.log(`${what}: from a flush to the rules ${list} ms; pings that came through: ${through}`)
}
