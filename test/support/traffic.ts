/** Traffic that must not be lost while something is restarted, killed or flushed. */
import { join } from 'node:path'
import { eventually, type Daemon, type Host } from './lab.ts'

export interface Traffic {
  /** Errors: what was lost. Answers how much was not. */
  stop(): Promise<{ readonly pings: number; readonly answers: number }>
}

export interface Flows {
  /** The container that is pinged from, 100 times a second, and whom it asks. */
  readonly server: Host
  readonly container: string
  /** Where one long TCP connection comes from, and a new one five times a second. */
  readonly client: Host
  /** The published port of a server that sends back what comes: see `echoes`. */
  readonly port: number
}

/** Of a container that sends back on port 7000 what it gets. */
export const echoes = 'probe socat TCP6-LISTEN:7000,fork,reuseaddr,ipv6only=0 PIPE'

/** Runs until it is stopped; it has begun when this resolves. */
export async function traffic({ server, container, client, port }: Flows): Promise<Traffic> {
  const pid = await server.docker(['inspect', '-f', '{{.State.Pid}}', container])
  const checkout = join(import.meta.dirname, '../..')
  const script = join(import.meta.dirname, 'crash-traffic.ts')
  const [ping, flow] = await Promise.all([
    server.start(`ping-${Date.now()}`, ['nsenter', '-t', pid, '-n', 'ping', '-n', '-i', '0.01', client.ip4]),
    client.start(`flow-${Date.now()}`, [
      ...[join(checkout, 'scripts/node'), script, 'flow'],
      ...[server.ip4, String(port), server.ip6, String(port)],
    ]),
  ])
  await eventually('pings are answered', () => sequence(ping).length > 5)
  await eventually('the flow has begun', () => flow.log().includes('ready'))
  return {
    async stop() {
      const answers = await end(flow)
      ping.kill('SIGINT')
      await ping.exited
      const seen = sequence(ping)
      const lost = (seen.at(-1) ?? 0) - (seen[0] ?? 0) + 1 - new Set(seen).size
      if (lost > 0) throw new Error(`${lost} of ${seen.length} pings were lost`)
      return { pings: seen.length, answers }
    },
  }
}

async function end(flow: Daemon): Promise<number> {
  await flow.stop()
  const losses = flow.log().match(/^lost: .*$/gm) ?? []
  if (losses.length > 0) throw new Error(losses.slice(0, 10).join('\n'))
  const sum = JSON.parse(flow.log().trim().split('\n').at(-1) ?? '') as { readonly received: number }
  if (sum.received === 0) throw new Error('the flow had no answer at all')
  return sum.received
}

/** The numbers of the answers that came. */
function sequence(ping: Daemon): readonly number[] {
  return [...ping.log().matchAll(/icmp_seq=(\d+) ttl/g)].map(([, number]) => Number(number))
}
