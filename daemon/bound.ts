/** Ports that sockets of the host have: those need not be tried. */
import type { Endpoint, PublishedPort } from '../drivers/driver.ts'
import { excludes, type BoundSocket } from '../native/diag/sockets.ts'
import type { Protocol } from '../native/kernel/resource.ts'
import { KernelError } from '../native/netlink/errors.ts'
import type { PortChoices } from './ports.ts'

export class BoundPorts {
  readonly #read: PortChoices['bound']
  /** What the endpoint has already: its sockets are seen as well, and are in nobody's way. */
  readonly #own: ReadonlySet<string>
  readonly #looked = new Set<Protocol>()
  readonly #sockets = new Map<string, BoundSocket[]>()

  constructor({ ports }: Endpoint, read: PortChoices['bound']) {
    this.#read = read
    this.#own = new Set(ports.map(({ protocol, hostPort }) => spotOf(protocol, hostPort)))
  }

  /** Reads what has a number from `from` to `to`. False: that was done before. */
  async look(protocol: Protocol, from: number, to: number): Promise<boolean> {
    if (this.#looked.has(protocol)) return false
    this.#looked.add(protocol)
    for (const socket of (await this.#list(protocol, from, to)) ?? []) {
      const spot = spotOf(protocol, socket.port)
      if (this.#own.has(spot)) continue
      const there = this.#sockets.get(spot)
      if (there) there.push(socket)
      else this.#sockets.set(spot, [socket])
    }
    return true
  }

  /** As far as it was looked at. `lingering`: also by what is left of connections. */
  has(
    { protocol, hostAddress: address, hostPort: port }: PublishedPort,
    options: { readonly lingering: boolean },
  ): boolean {
    const there = this.#sockets.get(spotOf(protocol, port)) ?? []
    return there.some(socket => (options.lingering || socket.owned) && excludes(socket, { address, port }))
  }

  /** A kernel that does not tell leaves them to be tried. */
  async #list(protocol: Protocol, from: number, to: number): Promise<readonly BoundSocket[] | undefined> {
    try {
      return await this.#read?.(protocol, from, to)
    } catch (error) {
      if (error instanceof KernelError) return undefined
      throw error
    }
  }
}

function spotOf(protocol: Protocol, port: number): string {
  return `${protocol} ${port}`
}
