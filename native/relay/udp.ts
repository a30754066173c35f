/**
 * Passes on datagrams: each client has a socket of its own towards the container, so that answers find their way. A
 * datagram that the kernel has no room for at the moment is lost, as on any other way.
 */
import type { Datagrams, Path } from '../ffi/datagram.ts'
import { errnoNumber, SystemError } from '../ffi/errno.ts'
import * as libc from '../ffi/libc.ts'
import { closeHeldPort } from '../ffi/ports.ts'
import type { Ip } from '../value/ip.ts'
import { addressInName } from './admission.ts'
import type { Poll } from './poll.ts'
import type { Relay } from './relay.ts'
import { Sessions } from './sessions.ts'

/** As the engine's proxy has it. */
const idleMs = 90_000
/** Of one port. A client is an address and a port, so one alone could make as many as it likes. */
const sessionLimit = 1000
/** Datagrams of one socket before another has its turn. */
const readsPerTurn = 32
/** An answer that the host does not let out, or has no way for: lost, and nothing else. */
const lostAnswer = [
  'EPERM',
  'EACCES',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
  'EINVAL',
  'EMSGSIZE',
].map(errnoNumber)

interface Session {
  readonly key: string
  readonly client: Path
  /** Connected to the container. */
  readonly fd: number
}

export interface UdpRelayOptions {
  readonly poll: Poll
  readonly datagrams: Datagrams
  readonly admits: (client: Ip) => boolean
}

export class UdpRelay implements Relay {
  readonly #fd: number
  readonly #to: Uint8Array
  readonly #poll: Poll
  readonly #datagrams: Datagrams
  readonly #admits: UdpRelayOptions['admits']
  readonly #sessions: Sessions<Session>
  #timer: NodeJS.Timeout | undefined

  /** `to`: struct sockaddr of the container. */
  constructor(fd: number, to: Uint8Array, { poll, datagrams, admits }: UdpRelayOptions) {
    this.#fd = fd
    this.#to = to
    this.#poll = poll
    this.#datagrams = datagrams
    this.#admits = admits
    this.#sessions = new Sessions({
      ...{ limit: sessionLimit, idleMs },
      end: session => {
        poll.remove(session.fd)
        libc.close(session.fd)
      },
    })
    poll.add(fd, () => {
      this.#readClients()
    })
  }

  get size(): number {
    return this.#sessions.size
  }

  close(): void {
    this.#poll.remove(this.#fd)
    closeHeldPort(this.#fd)
    clearTimeout(this.#timer)
    this.#sessions.endAll()
  }

  #readClients(): void {
    for (let reads = 0; reads < readsPerTurn; reads += 1) {
      const length = this.#datagrams.receive(this.#fd)
      if (length === undefined) return
      const key = this.#datagrams.key()
      this.#guarded(key, () => {
        const session = this.#sessions.use(key, performance.now()) ?? this.#begin(key)
        if (session) this.#datagrams.forward(session.fd, length)
      })
    }
  }

  #readContainer(session: Session): void {
    this.#guarded(session.key, () => {
      for (let reads = 0; reads < readsPerTurn; reads += 1) {
        const length = this.#datagrams.receive(session.fd)
        if (length === undefined) return
        this.#sessions.use(session.key, performance.now())
        this.#answer(session.client, length)
      }
    })
  }

  #answer(client: Path, length: number): void {
    try {
      this.#datagrams.reply(this.#fd, client, length)
    } catch (error) {
      if (!(error instanceof SystemError) || !lostAnswer.includes(error.errno)) throw error
    }
  }

  /** None for who may not use it. */
  #begin(key: string): Session | undefined {
    const client = this.#datagrams.path()
    if (!this.#admits(addressInName(client.peer))) return undefined
    const fd = libc.socket(this.#to.length === 28 ? libc.AF_INET6 : libc.AF_INET, libc.SOCK_DGRAM, 0)
    try {
      libc.connect(fd, this.#to)
      const session: Session = { key, client, fd }
      this.#poll.add(fd, () => {
        this.#readContainer(session)
      })
      this.#sessions.add(key, session, performance.now())
      this.#timer ??= this.#expireIn(idleMs)
      return session
    } catch (error) {
      libc.close(fd)
      throw error
    }
  }

  /** The container refuses, is gone, or there are no descriptors left: that ends this session, and no other. */
  #guarded(key: string, work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!(error instanceof SystemError)) throw error
      this.#sessions.end(key)
    }
  }

  #expireIn(delayMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      const nextMs = this.#sessions.expire(performance.now())
      this.#timer = nextMs === undefined ? undefined : this.#expireIn(nextMs)
    }, delayMs).unref()
  }
}
