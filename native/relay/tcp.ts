/**
 * Passes on TCP connections, each direction on its own: the end of one does not end the other. There is no time-out: a
 * connection lasts as long as its two ends want.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { errnoNumber } from '../ffi/errno.ts'
import { closeHeldPort, letConnectionsLinger } from '../ffi/ports.ts'
import type { Ip } from '../value/ip.ts'
import { addressOfPeer } from './admission.ts'
import type { Flow } from './flow.ts'
import type { Relay, Target } from './relay.ts'
import type { Turns } from './turns.ts'

/** Connections that wait to be accepted, as Node and the engine's proxy have it. */
const backlog = 511
/** A connection could not be accepted: it is lost, and the next one may go well. */
const acceptLosses = ['ECONNABORTED', 'EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EPERM', 'EPROTO'].map(errnoNumber)

export interface TcpRelayOptions {
  readonly turns: Turns
  readonly flow: Flow
  readonly admits: (client: Ip | undefined) => boolean
  /** Connections at once: those beyond are closed. Each takes two descriptors and 7 KB of a process that all share. */
  readonly most: number
  /** It cannot be listened on. The port is free then. */
  readonly onLost: (cause: unknown) => void
}

export class TcpRelay implements Relay {
  readonly #fd: number
  readonly #to: Target
  readonly #options: TcpRelayOptions
  readonly #connections = new Map<Socket, Socket>()
  readonly #listen = (): void => {
    this.#server = this.#serve()
  }
  #server: Server | undefined

  constructor(fd: number, to: Target, options: TcpRelayOptions) {
    this.#fd = fd
    this.#to = to
    this.#options = options
    // A listening socket costs ten times as much as a bound one; until it listens, clients are refused.
    options.turns.add(this.#listen)
  }

  get size(): number {
    return this.#connections.size
  }

  close(): void {
    if (this.#server) this.#server.close()
    else closeHeldPort(this.#fd)
    this.#options.turns.remove(this.#listen)
    for (const pair of this.#connections) pair.forEach(cut)
  }

  #serve(): Server {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, client => {
      if (this.#options.admits(addressOfPeer(client.remoteAddress))) this.#join(client)
      else client.resetAndDestroy()
    })
    server.maxConnections = this.#options.most
    let listening = false
    server.on('error', cause => {
      if (!listening) {
        this.close()
        this.#options.onLost(cause)
      } else if (!('errno' in cause) || !acceptLosses.includes(Math.abs(Number(cause.errno)))) throw cause
    })
    letConnectionsLinger(this.#fd)
    server.listen({ fd: this.#fd, backlog })
    listening = server.listening
    return server
  }

  #join(client: Socket): void {
    const { address: host, port } = this.#to
    const server = connect({ host, port, allowHalfOpen: true, noDelay: true })
    this.#connections.set(client, server)
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#options.flow.pass(one, other)
      one.on('error', () => {
        cut(other)
      })
      one.on('close', () => {
        if (other.closed || other.destroyed) this.#connections.delete(client)
      })
    }
  }
}

/** With a reset, so that the peer does not take it for the end of the data. */
function cut(socket: Socket): void {
  // Too late for a reset when the end was sent, too early when the connection does not stand yet.
  if (socket.connecting || socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
