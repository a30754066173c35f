/** A container that weft serves while daemons die, and traffic through it that must not notice. */
import { join } from 'node:path'
import type { FakeEngine } from './crash-engine.ts'
import { eventually, type Daemon, type Host } from './lab.ts'

const script = join(import.meta.dirname, 'crash-traffic.ts')
const servicePort = 9000
const patience = { timeoutMs: 30_000 }

/** Starts a command in the container, and keeps it running. */
type Inside = (name: string, command: readonly string[]) => Promise<Daemon>

export class Witness {
  readonly #daemons: readonly Daemon[]
  readonly #flow: Daemon
  readonly #pings: readonly Daemon[]

  private constructor(daemons: readonly Daemon[], flow: Daemon, pings: readonly Daemon[]) {
    this.#daemons = [...daemons, flow, ...pings]
    this.#flow = flow
    this.#pings = pings
  }

  /** A namespace that the stand-in for an engine connects. */
  static async ofNamespace(engine: FakeEngine, host: Host, client: Host): Promise<Witness> {
    const network = await engine.createNetwork('witness', '10.78.0', 'fd00:78')
    await engine.connect(network, 'witness', [{ Proto: 6, Port: 80, HostPort: servicePort }])
    const inside: Inside = (name, command) => host.start(name, ['ip', 'netns', 'exec', 'witness', ...command])
    const echo = await inside('echo', [process.execPath, script, 'echo', '80'])
    await eventually('the witness serves', () => echo.log().includes('ready'), patience)
    return Witness.#watch(host, client, inside, [echo])
  }

  /** A real container. */
  static async ofEngine(host: Host, client: Host): Promise<Witness> {
    await host.docker(
      'network create -d weft-bridge --ipam-driver weft-ipam --ipv6 --subnet 10.78.0.0/24 --subnet fd00:78::/64 witness',
    )
    await host.docker(
      `run -d --name witness --network witness -p ${servicePort}:80 probe socat TCP6-LISTEN:80,fork EXEC:cat`,
    )
    const docker = ['docker', '-H', 'unix:///run/docker.sock', 'exec', 'witness']
    return Witness.#watch(host, client, (name, command) => host.start(name, [...docker, ...command]), [])
  }

  /** The client asks at the published port, and the container pings the client. */
  static async #watch(host: Host, client: Host, inside: Inside, daemons: readonly Daemon[]): Promise<Witness> {
    const targets = [host.ip4, host.ip6].flatMap(address => [address, String(servicePort)])
    const flow = await client.start(`flow-${host.name}`, [process.execPath, script, 'flow', ...targets])
    await eventually('traffic flows', () => flow.log().includes('ready'), patience)
    const pings = [client.ip4, client.ip6].map((address, i) =>
      inside(`ping-${i}`, ['ping', '-D', '-i', '0.05', address]),
    )
    return new Witness(daemons, flow, await Promise.all(pings))
  }

  /** One line for each thing that was lost so far. */
  losses(): readonly string[] {
    const lost = this.#flow
      .log()
      .split('\n')
      .filter(line => /^lost:|Error/.test(line))
    return [...lost, ...this.#pings.flatMap(ping => unanswered(ping.log()))]
  }

  /** What went through. */
  async stop(): Promise<string> {
    await this.#flow.stop()
    for (const daemon of this.#daemons) daemon.kill()
    await Promise.all(this.#daemons.map(({ exited }) => exited))
    const pings = this.#pings.map(ping => ping.log().match(/ bytes from /g)?.length ?? 0)
    return `${this.#flow.log().trimEnd().split('\n').at(-1) ?? ''} pings ${pings.join(' ')}`
  }
}

/** Those of the last second may still come. */
function unanswered(log: string): readonly string[] {
  const came = new Set([...log.matchAll(/ bytes from .* icmp_seq=(\d+)/g)].map(([, seq]) => Number(seq)))
  const last = Math.max(0, ...came)
  const missing = Array.from({ length: last }, (_, i) => i + 1).filter(seq => !came.has(seq) && seq < last - 20)
  const to = /^PING (\S+)/.exec(log)?.[1] ?? ''
  return missing.map(seq => `ping ${seq} to ${to} was not answered`)
}
