/** Questions over the network, asked from a host or a container; the answers tell whom the server saw. */
import { eventually } from './eventually.ts'
import type { Command, Host } from './host.ts'
import { type Daemon, type RunOptions, words } from './process.ts'

/** Where a question is asked from. */
export interface Place {
  run(command: Command, options?: RunOptions): Promise<string>
}

export interface Server {
  readonly protocol?: 'tcp' | 'udp'
  readonly family?: 4 | 6
  readonly port: number
  /** One address to listen on. Default: all. */
  readonly address?: string
}

/** A container as a place. */
export function inside(host: Host, container: string): Place {
  return { run: (command, options) => host.docker(['exec', container, ...words(command)], options) }
}

/** Asks by HTTP: `name <hostname> client <address>`. Errors: curl's, after 3 s at the latest. */
export function http(from: Place, address: string, port: number): Promise<string> {
  return from.run(['curl', '-sSf', '-m', '3', `http://${bracketed(address)}:${port}/`])
}

/** Connects and reads what the server says. Errors: socat's. */
export async function tcp(from: Place, address: string, port: number): Promise<string> {
  return shortened(await from.run(['socat', '-u', '-T', '2', `${peer('TCP', address, port)},connect-timeout=2`, '-']))
}

/** Sends one datagram and waits up to 2 s for one. Errors: socat's, and no answer. */
export async function udp(from: Place, address: string, port: number, question = 'hello'): Promise<string> {
  // The answer comes back on the error stream, so that socat ends with it instead of waiting for more.
  const ask = `echo ${question}; read -r line; echo "$line" >&2`
  const script = `exec socat -t 0 -T 2 ${peer('UDP', address, port)} SYSTEM:'${ask}' 2>&1`
  const answer = await from.run(['sh', '-c', script])
  if (answer === '') throw new Error(`udp ${address} port ${port}: no answer within 2 s`)
  return shortened(answer)
}

/** Listens in a host itself; answers every client with `name <host> client <address>`. */
export async function serve(host: Host, server: Server): Promise<Daemon> {
  const { protocol = 'tcp', family = 4, port, address } = server
  const kind = protocol === 'tcp' ? `TCP${family}-LISTEN` : `UDP${family}-RECVFROM`
  const only = [address && `bind=${bracketed(address)}`, family === 6 && 'ipv6only=1'].filter(Boolean)
  const listen = [`${kind}:${port}`, 'fork', 'reuseaddr', ...only].join(',')
  const daemon = await host.start(`serve-${protocol}${family}-${port}`, [
    ...['socat', listen, `SYSTEM:echo name ${host.name} client $SOCAT_PEERADDR`],
  ])
  await eventually(`${host.name} listens on ${protocol} ${port}`, async () => {
    return (await host.run(['ss', `-${family}Hln`, protocol === 'tcp' ? '-t' : '-u', `sport = :${port}`])) !== ''
  })
  return daemon
}

function peer(protocol: string, address: string, port: number): string {
  return `${protocol}${address.includes(':') ? 6 : 4}:${bracketed(address)}:${port}`
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address
}

/** socat writes IPv6 addresses in full and in brackets: `[fd00:0002:...]` becomes `fd00:2::12`. */
function shortened(answer: string): string {
  return answer.replace(/\[[0-9a-f]*:[0-9a-f:]+\]/gi, address => new URL(`http://${address}`).hostname.slice(1, -1))
}
