/** Ports of the host that this program serves itself, because no rule can: it passes on what arrives. */
import { socketAddress } from '../ffi/ports.ts'
import { Datagrams } from '../ffi/datagram.ts'
import type { Cidr, Ip } from '../value/ip.ts'
import { Admission } from './admission.ts'
import { Flow } from './flow.ts'
import { Poll } from './poll.ts'
import { TcpRelay } from './tcp.ts'
import { Turns } from './turns.ts'
import { UdpRelay } from './udp.ts'

export interface Relay {
  /** Connections and sessions served at the moment. */
  readonly size: number
  /** Frees the port, and ends what is being served, at once. */
  close(): void
}

export interface Target {
  readonly address: Ip
  readonly port: number
  /** Who may use it, beside this host; absent: everybody. */
  readonly from?: readonly Cidr[]
}

/** Of one port. */
const connectionLimit = 4096

/** What all relays share. Once all are closed, nothing of it keeps the program from ending. */
export class Relays {
  readonly #poll = new Poll()
  readonly #turns = new Turns()
  readonly #flow = new Flow()
  readonly #datagrams = new Datagrams()
  readonly #admission = new Admission()

  /**
   * From `openServedPort`; the relay owns it from now on, and serves it soon. `onLost`: it never will; the port is free.
   */
  start(fd: number, protocol: 'tcp' | 'udp', to: Target, onLost: (cause: unknown) => void): Relay {
    const admits = (client: Ip | undefined): boolean => this.#admission.admits(to.from, client)
    if (protocol === 'tcp') {
      const shared = { turns: this.#turns, flow: this.#flow, most: connectionLimit }
      return new TcpRelay(fd, to, { ...shared, admits, onLost })
    }
    const target = socketAddress(to.address, to.port)
    return new UdpRelay(fd, target, { poll: this.#poll, datagrams: this.#datagrams, admits })
  }
}
