/** Who reaches whom: questions with patience for what must answer, and without for what must not. */
import * as assert from 'uvu/assert'
import { eventually, http, udp, type Host, type Place } from './lab.ts'
import { words } from './lab/process.ts'

/** A container's network with the host's tools: quicker than `docker exec`, but without the engine's names. */
export async function netOf(host: Host, container: string): Promise<Place> {
  const pid = await host.docker(['inspect', '-f', '{{.State.Pid}}', container])
  return { run: (command, options) => host.run(['nsenter', '-t', pid, '-n', '--', ...words(command)], options) }
}

export interface Target {
  readonly port?: number
  readonly protocol?: 'tcp' | 'udp'
}

/** The address of the client as the container saw it. Errors: no answer in 10 s. */
export async function seenBy(
  from: Place,
  address: string,
  { port = 80, protocol = 'tcp' }: Target = {},
): Promise<string> {
  const ask = protocol === 'tcp' ? http : udp
  const answers = async (): Promise<string> => {
    const answer = await ask(from, address, port)
    const seen = / client (\S+)/.exec(answer)?.[1]
    if (seen === undefined) throw new Error(answer)
    return seen
  }
  return eventually(`${protocol} ${address} port ${port} answers`, answers, { timeoutMs: 20_000 })
}

/** A row: it answers, and the container sees `client`. */
export function sees(from: Place, address: string, client: string, target?: Target): () => Promise<void> {
  return async () => {
    assert.is(await seenBy(from, address, target), client)
  }
}

/** Errors: it answers, or the question failed for another reason than the network's. */
export async function closed(
  from: Place,
  address: string,
  { port = 80, protocol = 'tcp' }: Target = {},
): Promise<void> {
  const what = `${protocol} ${address} port ${port}`
  const host = address.includes(':') ? `[${address}]` : address
  const ask =
    protocol === 'tcp'
      ? ['curl', '-sSg', '-m', '1', `http://${host}:${port}/`]
      : ['sh', '-c', `echo hello | socat -T 1 - UDP${address.includes(':') ? 6 : 4}:${host}:${port} 2>&1; exit 1`]
  const complaint = await from.run(ask, { fails: true }).catch((cause: unknown) => {
    throw new Error(`${what} was to be closed`, { cause })
  })
  const refusal = protocol === 'tcp' ? /^curl: \((7|28)\)/ : /^$|refused|unreachable|No route|not permitted/i
  if (!refusal.test(complaint)) throw new Error(`${what} was to be closed, but: ${complaint}`)
}

export async function pings(from: Place, address: string): Promise<void> {
  await eventually(`${address} answers pings`, () => from.run(['ping', '-c', '1', '-W', '1', address]), {
    timeoutMs: 20_000,
  })
}

export async function pingsNot(from: Place, address: string): Promise<void> {
  const complaint = await from.run(['ping', '-c', '1', '-W', '1', address], { fails: true })
  if (!/ 0 received|unreachable/i.test(complaint)) throw new Error(`ping ${address}: ${complaint}`)
}
