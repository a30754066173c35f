/**
 * Places that ask and answer: the lab's hosts and containers, each answering on `open` (which tests publish) and on
 * `shut` (which they do not), tcp and udp, both families. What is expected is written as a table:
 *
 *   await ground.holds('nat', `
 *     lan   192.0.2.11    8080       192.0.2.12    from where, whom, port, and the client that the server saw
 *     lan   10.30.0.9     5001/udp   -             no answer
 *     lan   10.30.0.9     ping       yes`)
 */
import * as assert from 'uvu/assert'
import type { Host, Place } from './lab.ts'
import { askUntil, netnsOf, tellClients, type Protocol } from './matrix-probe.ts'
import { words } from './lab/process.ts'
import { netOf } from './reach.ts'
import type { Scene } from './scene.ts'

export const open = 5000
export const shut = 5001
/** Questions under way: silence must not be want of time. */
const beside = 250

export interface Spot extends Place {
  readonly netns: string
}

export interface Cell {
  readonly from: string
  readonly address: string
  /** `ping` asks whether it answers: `yes`. */
  readonly port: number | 'ping'
  readonly protocol?: Protocol
  /** The address that the server sees; `-` for silence. */
  readonly seen: string
}

export class Ground implements AsyncDisposable {
  readonly server: Host
  readonly #spots = new Map<string, Spot>()
  readonly #servers: AsyncDisposable[] = []

  /** `host` with engine and weftd, `lan` the second one, and `far`, a third that has 192.0.2.1 and fd00:2::1. */
  constructor({ server, client, net }: Scene) {
    this.server = server
    for (const [name, host] of Object.entries({ host: server, lan: client, far: net.underlay.outside })) {
      this.#spots.set(name, { netns: host.netns, run: (command, options) => host.run(command, options) })
    }
    for (const name of ['lan', 'far']) this.#serve(name)
  }

  spot(name: string): Spot {
    const spot = this.#spots.get(name)
    if (!spot) throw new Error(`there is no place ${name}`)
    return spot
  }

  /** Runs a container; `flags` as of `docker run`. It is called by its name from now on. */
  async container(name: string, flags: string): Promise<Spot> {
    await this.server.docker(`run -d --name ${name} ${flags} probe sleep 86400`)
    return this.#arrived(name)
  }

  /** The same in one network, with options of the endpoint as every engine takes them. */
  async endpoint(name: string, network: string, options: readonly string[], flags = ''): Promise<Spot> {
    const { server } = this
    const chosen = options.flatMap(option => ['--driver-opt', option])
    const [own, others] = addressesAside(flags)
    await server.docker(`create --name ${name} ${others.join(' ')} probe sleep 86400`)
    await server.docker(['network', 'connect', ...chosen, ...own, network, name])
    await server.docker(`network disconnect bridge ${name}`)
    await server.docker(`start ${name}`)
    return this.#arrived(name)
  }

  /** A namespace of the server that nobody but the test uses, as a place. */
  async strange(name: string): Promise<Spot> {
    const { server } = this
    await server.sh(`ip netns add ${name}; ip -n ${name} link set lo up`)
    const run: Place['run'] = (command, options) =>
      server.run(['ip', 'netns', 'exec', name, ...words(command)], options)
    const spot = { netns: server.path(`/run/netns/${name}`), run }
    this.#spots.set(name, spot)
    this.#serve(name)
    return spot
  }

  async containers(flagsOf: Readonly<Record<string, string>>): Promise<void> {
    await Promise.all(Object.entries(flagsOf).map(([name, flags]) => this.container(name, flags)))
  }

  /** Errors: the table as it is, where it differs from the expected one. */
  async holds(circumstances: string, table: string): Promise<void> {
    const cells = table.split('\n').flatMap(line => (line.trim() === '' ? [] : [cellOf(line)]))
    const seen = await this.answers(cells)
    assert.equal(
      cells.map((cell, index) => print({ ...cell, seen: seen[index] ?? '' })).join('\n'),
      cells.map(print).join('\n'),
      circumstances,
    )
  }

  /** What was seen, cell by cell. */
  async answers(cells: readonly Cell[]): Promise<readonly string[]> {
    const seen: string[] = []
    const rest = cells.entries()
    const worker = async (): Promise<void> => {
      for (const [index, cell] of rest) seen[index] = await this.#answer(cell)
    }
    await Promise.all(Array.from({ length: beside }, worker))
    return seen
  }

  async #arrived(name: string): Promise<Spot> {
    const [netns, place] = await Promise.all([netnsOf(this.server, name), netOf(this.server, name)])
    const spot = { ...place, netns }
    this.#spots.set(name, spot)
    this.#serve(name)
    return spot
  }

  #serve(name: string): void {
    this.#servers.push(tellClients(this.spot(name).netns, [open, shut]))
  }

  async #answer({ from, address, port, protocol, seen }: Cell): Promise<string> {
    const spot = this.spot(from)
    if (port !== 'ping') {
      const question = { from: spot.netns, address, port, ...(protocol && { protocol }) }
      return (await askUntil(question, seen !== '-')) ?? '-'
    }
    for (const wait of seen === '-' ? ['1'] : ['1', '3', '10']) {
      const ping = spot.run(['ping', '-c', '1', '-W', wait, address])
      const answered = await ping.then(
        () => true,
        () => false,
      )
      if (answered) return 'yes'
    }
    return '-'
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map(server => server[Symbol.asyncDispose]()))
  }
}

/** Flags of `docker network connect`, and those of `docker create`. */
function addressesAside(flags: string): readonly [readonly string[], readonly string[]] {
  const own = flags.match(/--ip6? \S+/g) ?? []
  return [own.flatMap(flag => flag.split(' ')), words(flags.replace(/--ip6? \S+/g, ''))]
}

function cellOf(line: string): Cell {
  const [from, address, target = '', seen, ...more] = line.trim().split(/\s+/)
  const [port = '', protocol] = target.split('/')
  if (from === undefined || address === undefined || seen === undefined || more.length > 0) {
    throw new Error(`not a row: ${line}`)
  }
  const cell = { from, address, port: port === 'ping' ? port : Number(port), seen } as const
  return protocol === 'udp' ? { ...cell, protocol } : cell
}

function print({ from, address, port, protocol = 'tcp', seen }: Cell): string {
  return `${from} ${address} ${port === 'ping' ? port : `${port}/${protocol}`} ${seen}`
}
