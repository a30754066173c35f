/**
 * Questions that never pause while something happens to a firewall: 50 pings a second that must never be answered, or
 * that tell how long an interruption was.
 */
import { eventually, type Daemon, type Host } from './lab.ts'

export interface Way {
  /** Where the question is asked: in the host itself, in a container's network, or in a namespace of the host's. */
  readonly host: Host
  readonly container?: string
  readonly netns?: string
  readonly address: string
}

export interface Streams {
  /** Errors: closed ways that were answered, with how often. */
  stop(): Promise<Sum>
  /** Milliseconds from `since` (of Date.now()) until no question on the open ways was lost any more; by name. */
  healedAfter(since: number): Readonly<Record<string, number>>
}

export interface Sum {
  /** How many were asked of closed ways, at least. */
  readonly asked: number
  /** Questions on open ways that were not answered, by name. */
  readonly lost: Readonly<Record<string, number>>
}

export interface Ways {
  readonly closed: Readonly<Record<string, Way>>
  readonly open: Readonly<Record<string, Way>>
}

const intervalMs = 20

let started = 0

/** They run when this resolves: the open ways are answered. */
export async function streams({ closed, open }: Ways): Promise<Streams> {
  const begun = Date.now()
  const shut = await startAll(closed)
  const served = await startAll(open)
  for (const [name, daemon] of served) await eventually(`${name} is answered`, () => repliesOf(daemon).length > 5)
  return {
    healedAfter: since =>
      Object.fromEntries(served.map(([name, daemon]) => [name, endOfLoss(repliesOf(daemon), since)])),
    async stop() {
      const asked = Math.floor((Date.now() - begun) / intervalMs) * shut.length
      for (const [, daemon] of [...shut, ...served]) {
        daemon.kill('SIGINT')
        await daemon.exited
      }
      const opened = shut.flatMap(([name, daemon]) => {
        const replies = repliesOf(daemon).length
        return replies === 0 ? [] : [`${name} was open: ${replies} answers`]
      })
      const broken = shut.filter(([, daemon]) => !daemon.log().includes('packets transmitted'))
      if (opened.length > 0) throw new Error(opened.join('\n'))
      if (broken.length > 0) throw new Error(`never asked: ${broken.map(([name]) => name).join(', ')}`)
      return { asked, lost: Object.fromEntries(served.map(([name, daemon]) => [name, lossOf(daemon)])) }
    },
  }
}

async function startAll(ways: Readonly<Record<string, Way>>): Promise<readonly (readonly [string, Daemon])[]> {
  return Promise.all(Object.entries(ways).map(async ([name, way]) => [name, await start(way)] as const))
}

async function start({ host, container, netns, address }: Way): Promise<Daemon> {
  const into =
    netns !== undefined
      ? ['ip', 'netns', 'exec', netns]
      : container !== undefined
        ? ['nsenter', '-t', await pidOf(host, container), '-n', '--']
        : []
  const ping = ['ping', '-n', '-D', '-i', String(intervalMs / 1000), address]
  return host.start(`stream-${++started}`, [...into, ...ping])
}

function pidOf(host: Host, container: string): Promise<string> {
  return host.docker(['inspect', '-f', '{{.State.Pid}}', container])
}

interface Reply {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly sequence: number
}

function repliesOf(daemon: Daemon): readonly Reply[] {
  const lines = daemon.log().matchAll(/^\[(\d+\.\d+)\] \d+ bytes from .* icmp_seq=(\d+) ttl=/gm)
  return [...lines].map(([, at, sequence]) => ({ at: Number(at) * 1000, sequence: Number(sequence) }))
}

/** Between the first answer and the last. */
function lossOf(daemon: Daemon): number {
  const seen = repliesOf(daemon).map(({ sequence }) => sequence)
  return (seen.at(-1) ?? 0) - (seen[0] ?? 0) + 1 - new Set(seen).size
}

/** The first answer after the last one that was lost: a program that had to wait for its turn loses nothing. */
function endOfLoss(replies: readonly Reply[], since: number): number {
  const isLate = ({ at, sequence }: Reply, index: number): boolean =>
    at > since && sequence > (replies[index - 1]?.sequence ?? sequence) + 1
  const end = replies.findLast(isLate)
  return end === undefined ? 0 : Math.round(end.at - since)
}
