/** Constant streams of datagrams: 100 a second from one port, and who gets them. The tools are those of the place. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { eventually, type Daemon, type Host } from './lab.ts'

export interface Stream {
  readonly address: string
  readonly port: number
  /** Of the sender. */
  readonly from: number
  /** Of one datagram; a few may come as one. */
  readonly text?: string
}

/** How much has come so far. */
export type Count = () => number | Promise<number>

/** For `bash -c`: ends with its one process. A pause forks nothing. */
export function sending({ address, port, from, text = '.' }: Stream): string {
  const peer = address.includes(':') ? `UDP6-SENDTO:[${address}]:${port}` : `UDP4-SENDTO:${address}:${port}`
  const source = `exec 9<> <(:); while echo ${text}; do read -rt 0.01 -u 9; done`
  return `exec socat -u - ${peer},sourceport=${from} < <(${source})`
}

/** For a shell: writes what comes to standard output. */
export function receiving(port: number): string {
  return `exec socat -u UDP6-RECV:${port},ipv6only=0 -`
}

/** In a host of the lab. */
export function stream(host: Host, what: Stream): Promise<Daemon> {
  return host.start(`stream-${what.from}`, ['bash', '-c', sending(what)])
}

export interface Running extends AsyncDisposable {
  /** Of its standard output. */
  readonly bytes: () => number
}

/** In a network namespace given by its path, with the machine's tools. */
export function runIn(netns: string, script: string): Running {
  const child = spawn('nsenter', [`--net=${netns}`, '--', 'bash', '-c', script], {
    ...{ detached: true, stdio: ['ignore', 'pipe', 'inherit'] },
  })
  const ended = once(child, 'close')
  let bytes = 0
  child.stdout.on('data', (chunk: Buffer) => (bytes += chunk.length))
  return {
    bytes: () => bytes,
    async [Symbol.asyncDispose]() {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
      await ended
    },
  }
}

/** Datagrams come from now on. */
export async function arrives(what: string, count: Count, more = 5): Promise<void> {
  const before = await count()
  await eventually(`datagrams arrive at ${what}`, async () => (await count()) >= before + 2 * more, {
    timeoutMs: 20_000,
  })
}

/** None comes any more, while `meter` shows that time goes on. */
export async function silent(what: string, count: Count, meter: Count): Promise<void> {
  await eventually(
    `no datagrams arrive at ${what}`,
    async () => {
      const before = await count()
      await arrives('the meter', meter, 20)
      return (await count()) === before
    },
    { timeoutMs: 20_000 },
  )
}
