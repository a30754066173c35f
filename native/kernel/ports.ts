import { isDeepStrictEqual } from 'node:util'
import { setImmediate as turn } from 'node:timers/promises'
import { boundSockets, excludes, isLingering } from '../diag/sockets.ts'
import { SystemError } from '../ffi/errno.ts'
import { closeHeldPort, holdPort, isInUse, openServedPort, shareHeldPort, type Beside } from '../ffi/ports.ts'
import { asKernelError, KernelError, kernelError } from '../netlink/errors.ts'
import { Relays, type Relay, type Target } from '../relay/relay.ts'
import { familyOf, isUnspecified } from '../value/ip.ts'
import { keyOf, type HeldPort } from './resource.ts'

/** A kernel without SCTP lets nobody have such a port: there is nothing to hold, and rules serve it all the same. */
const noSctp = ['EPROTONOSUPPORT', 'ESOCKTNOSUPPORT', 'EAFNOSUPPORT']

/** Thousands of ports are held or released in a row: after so many other work of the program gets its turn. */
const changesPerTurn = 200

interface Held {
  readonly port: HeldPort
  /** Lets another socket of this process in. */
  share(): void
  release(): void
  readonly relay?: Relay
}

/**
 * Sockets that reserve published ports, and relays that serve some of them. They are this process's own, and end with
 * it, and so do the connections that a relay passes on.
 */
export class HeldPorts {
  readonly #held = new Map<string, Held>()
  /** By protocol, family and number: the kernel lets sockets of one program share a port, and these must not. */
  readonly #neighbours = new Map<string, Map<string, HeldPort>>()
  readonly #relays = new Relays()
  #changes = 0

  list(): readonly HeldPort[] {
    return [...this.#held.values()].map(({ port }) => port)
  }

  /** Connections and sessions that relays are serving. */
  get connections(): number {
    return [...this.#held.values()].reduce((sum, { relay }) => sum + (relay?.size ?? 0), 0)
  }

  /**
   * As `hold`, but a port is free too when all that is left on it are connections that no program has any more, which an
   * ordinary server could listen beside as well. Whether that is so the kernel tells only here and there: see diag/.
   */
  async take(port: HeldPort): Promise<void> {
    try {
      this.hold(port)
    } catch (error) {
      if (port.protocol !== 'tcp' || !(error instanceof KernelError && isInUse(error.cause))) throw error
      if (!(await this.#isLeft(port))) throw error
      this.hold(port, { lingering: true })
    }
  }

  /**
   * One that is held with another relay changes without being free in between. Throws KernelError: EADDRINUSE when
   * another port here or any other process has it, EADDRNOTAVAIL when the host has no such address.
   */
  hold(port: HeldPort, { lingering = false }: Pick<Beside, 'lingering'> = {}): void {
    const key = keyOf(port)
    const before = this.#held.get(key)
    if (before && sameRelay(before.port, port)) return
    const spot = spotOf(port)
    const neighbours = this.#neighbours.get(spot) ?? new Map<string, HeldPort>()
    const own = [...neighbours].filter(([, neighbour]) => overlap(port, neighbour))
    for (const [other, neighbour] of own) {
      if (other !== key && exclude(port, neighbour)) {
        throw kernelError('EADDRINUSE', { op: 'hold', object: key, cause: new Error(`weft has ${other}`) })
      }
    }
    for (const [other] of own) this.#held.get(other)?.share()
    const held = this.#open(port, { own: own.length > 0, lingering })
    before?.release()
    this.#held.set(key, held)
    this.#neighbours.set(spot, neighbours.set(key, port))
  }

  release(port: HeldPort): void {
    const held = this.#held.get(keyOf(port))
    if (!held) return
    this.#forget(held.port)
    held.release()
  }

  releaseAll(): void {
    for (const port of this.list()) this.release(port)
  }

  /** To be awaited after a change: mostly there is nothing to wait for. */
  async pause(): Promise<void> {
    this.#changes += 1
    if (this.#changes % changesPerTurn === 0) await turn()
  }

  /** Only what lingers, beside sockets held here? False also where the kernel does not tell: then it counts as taken. */
  async #isLeft(port: HeldPort): Promise<boolean> {
    try {
      const sockets = (await boundSockets(port.protocol, port.port)).filter(socket => excludes(socket, port))
      const held = [...(this.#neighbours.get(spotOf(port))?.values() ?? [])].map(({ address }) => address)
      const others = sockets.filter(socket => isLingering(socket) || !held.includes(socket.address))
      return others.length > 0 && others.every(isLingering)
    } catch (error) {
      if (error instanceof KernelError) return false
      throw error
    }
  }

  #open(port: HeldPort, beside: Beside): Held {
    const { protocol, relay: to } = port
    try {
      if (to && protocol !== 'sctp') return { port, ...this.#serve(port, protocol, to, beside) }
      const fd = holdPort(port, beside)
      return {
        port,
        share() {
          shareHeldPort(fd)
        },
        release() {
          closeHeldPort(fd)
        },
      }
    } catch (cause) {
      if (protocol === 'sctp' && isNoSctp(cause)) return { port, share: () => undefined, release: () => undefined }
      throw asKernelError(cause, 'hold', keyOf(port))
    }
  }

  #serve(port: HeldPort, protocol: 'tcp' | 'udp', to: Target, beside: Beside): Omit<Held, 'port'> {
    const fd = openServedPort(port, beside)
    try {
      const relay = this.#relays.start(fd, protocol, to, () => {
        // Not there any more: whoever compares finds that out, tries again, and tells why it fails.
        if (this.#held.get(keyOf(port))?.relay === relay) this.#forget(port)
      })
      return {
        relay,
        // As it is from the start.
        share: () => undefined,
        release() {
          relay.close()
        },
      }
    } catch (error) {
      closeHeldPort(fd)
      throw error
    }
  }

  #forget(port: HeldPort): void {
    const key = keyOf(port)
    this.#held.delete(key)
    const neighbours = this.#neighbours.get(spotOf(port))
    neighbours?.delete(key)
    if (neighbours?.size === 0) this.#neighbours.delete(spotOf(port))
  }
}

function sameRelay({ relay: one }: HeldPort, { relay: other }: HeldPort): boolean {
  return isDeepStrictEqual(one, other)
}

function spotOf({ protocol, address, port }: HeldPort): string {
  return `${protocol} IPv${familyOf(address)} ${port}`
}

/** As bind(2) has it, but for the relay that serves `::1` beside the rules that serve every other address. */
function exclude(one: HeldPort, other: HeldPort): boolean {
  if (isLoopbackRelay(one) && !other.relay && isUnspecified(other.address)) return false
  if (isLoopbackRelay(other) && !one.relay && isUnspecified(one.address)) return false
  return overlap(one, other)
}

function overlap({ address: one }: HeldPort, { address: other }: HeldPort): boolean {
  return one === other || isUnspecified(one) || isUnspecified(other)
}

function isLoopbackRelay({ address, relay }: HeldPort): boolean {
  return address === '::1' && relay !== undefined
}

function isNoSctp(cause: unknown): boolean {
  return cause instanceof SystemError && cause.syscall === 'socket' && noSctp.includes(cause.code)
}
