/** A thousand datagrams a second on every path through a host, none of which may be lost. */
import { join } from 'node:path'
import { eventually, type Daemon, type Host } from './lab.ts'

export interface Paths {
  readonly server: Host
  readonly client: Host
  /** Sends back datagrams at this published port, UDP. */
  readonly echo: string
  readonly port: number
  /** A container of the same network, which asks `echo`, and the client outside. */
  readonly neighbour: string
}

interface Sum {
  readonly sent: number
  readonly received: number
  readonly overflowed: number
  readonly refused: readonly string[]
}

export interface Flows {
  /** How many went out on each path so far, in hundreds. */
  sent(): number
  /** Ends them. Errors: what was lost. Answers a line of figures. */
  stop(): Promise<string>
}

const checkout = join(import.meta.dirname, '../..')
const command = [join(checkout, 'scripts/node'), join(import.meta.dirname, 'loss-flow.ts')]
let made = 0

/** All have begun when this resolves. */
export async function flows({ server, client, echo, port, neighbour }: Paths): Promise<Flows> {
  made += 1
  const inside = async (container: string): Promise<readonly string[]> => {
    const pid = await server.docker(['inspect', '-f', '{{.State.Pid}}', container])
    return ['nsenter', '-t', pid, '-n', ...command]
  }
  const [inEcho, inNeighbour] = [await inside(echo), await inside(neighbour)]
  const network = Object.keys(
    JSON.parse(await server.docker(['inspect', '-f', '{{json .NetworkSettings.Networks}}', echo])) as object,
  )[0]
  const address = await server.addressOf(echo, network ?? '')
  const echoes = [
    await server.start(`loss-echo-${made}`, [...inEcho, 'echo', String(port)]),
    await client.start(`loss-echo-${made}`, [...command, 'echo', String(port)]),
  ]
  for (const one of echoes) await eventually('it echoes', () => one.log().includes('ready'), { timeoutMs: 30_000 })
  const start = (from: Host, name: string, words: readonly string[], to: string): Promise<Daemon> =>
    from.start(`loss-${name}-${made}`, [...words, 'send', to, String(port)])
  const senders: Readonly<Record<string, Daemon>> = {
    'published, IPv4': await start(client, 'v4', command, server.ip4),
    'published, IPv6': await start(client, 'v6', command, server.ip6),
    'same network': await start(server, 'same', inNeighbour, address),
    egress: await start(server, 'egress', inNeighbour, client.ip4),
  }
  for (const [path, one] of Object.entries(senders)) {
    await eventually(`${path}: datagrams come back`, () => sentBy(one) > 0, { timeoutMs: 30_000 })
  }
  return {
    sent: () => Math.min(...Object.values(senders).map(sentBy)),
    async stop() {
      const sums: [string, Sum][] = []
      for (const one of Object.values(senders)) one.kill('SIGTERM')
      for (const [path, one] of Object.entries(senders)) {
        await one.exited
        sums.push([path, sumOf(one)])
      }
      for (const one of echoes) await one.stop()
      const spilt = [...echoes.map(sumOf), ...sums.map(([, sum]) => sum)].reduce((all, sum) => all + sum.overflowed, 0)
      const lost = sums.reduce((all, [, { sent, received }]) => all + sent - received, 0)
      const figures = sums.map(([path, { sent, received }]) => `${path} ${received} of ${sent}`).join(', ')
      const refused = sums.flatMap(([, sum]) => sum.refused)
      if (lost > spilt || refused.length > 0) throw new Error(`${lost - spilt} lost: ${figures} ${refused.join('; ')}`)
      return `${figures}${spilt > 0 ? `, ${spilt} of them too fast for their receiver` : ''}`
    },
  }
}

function sentBy(daemon: Daemon): number {
  return Number(/sent (\d+)\n$/.exec(daemon.log())?.[1] ?? 0)
}

function sumOf(daemon: Daemon): Sum {
  return JSON.parse(daemon.log().trim().split('\n').at(-1) ?? '') as Sum
}
