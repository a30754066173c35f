/**
 * One netlink descriptor: requests out, answers in, matched by sequence number. The kernel works inside the sending
 * call; when it returns, all answers wait to be read, so reading never waits. Only one reader at a time may be in the
 * thread pool, and no other beside it: a second one could take its answers.
 */
import * as libc from '../ffi/libc.ts'
import { asKernelError, kernelError, type KernelError } from './errors.ts'
import { flags, walk, type Frame } from './message.ts'
import { parseOutcome, type Outcome } from './outcome.ts'

export const protocols = { route: 0, sockDiag: 4, netfilter: 12, generic: 16 } as const
export type NetlinkProtocol = (typeof protocols)[keyof typeof protocols]

/** One message on its way, and how to speak about it. */
export interface Request {
  readonly bytes: Uint8Array
  /** `create` */
  readonly op: string
  /** `veth wv123` */
  readonly object: string
  /** Name of the attribute at an offset of `bytes`. */
  readonly attributeAt: (offset: number) => string | undefined
  /** For traces. */
  readonly print?: () => string
}

/** What came back for one request. No outcome: the kernel said nothing. */
export interface Exchange {
  readonly frames: Frame[]
  outcome?: Outcome
  /** NLM_F_DUMP_INTR: the set changed while it was read. */
  interrupted: boolean
}

const SOL_SOCKET = 1
const SO_SNDBUF = 7
const SO_RCVBUF = 8
const SO_SNDBUFFORCE = 32
const SO_RCVBUFFORCE = 33
const SOL_NETLINK = 270
const NETLINK_CAP_ACK = 10
const NETLINK_EXT_ACK = 11
const NETLINK_GET_STRICT_CHK = 12
const socketBufferBytes = 8 << 20
/** A chunk of a dump has 32 KB at most; other answers are small. */
const receiveBytes = 128 << 10

/** Opens a socket in the namespace of the calling thread. */
export function openNetlink(protocol: NetlinkProtocol, options: { readonly groups?: number } = {}): number {
  const fd = libc.socket(libc.AF_NETLINK, libc.SOCK_RAW, protocol)
  try {
    enlarge(fd, SO_SNDBUFFORCE, SO_SNDBUF)
    enlarge(fd, SO_RCVBUFFORCE, SO_RCVBUF)
    libc.setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1)
    libc.setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1)
    if (protocol === protocols.route) libc.setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
    const address = Buffer.alloc(12) // struct sockaddr_nl; port id 0: the kernel chooses
    address.writeUInt16LE(libc.AF_NETLINK, 0)
    address.writeUInt32LE(options.groups ?? 0, 8)
    libc.bind(fd, address)
    return fd
  } catch (error) {
    libc.close(fd)
    throw error
  }
}

/** The forced options need CAP_NET_ADMIN of the first user namespace; without it the host's limit must do. */
function enlarge(fd: number, forced: number, plain: number): void {
  try {
    libc.setsockopt(fd, SOL_SOCKET, forced, socketBufferBytes)
  } catch {
    libc.setsockopt(fd, SOL_SOCKET, plain, socketBufferBytes)
  }
}

export class Channel {
  readonly fd: number
  readonly #exchanges = new Map<number, Exchange>()
  readonly #buffer = new Uint8Array(receiveBytes)
  #nextSequence = 1

  constructor(fd: number) {
    this.fd = fd
  }

  /** One sending call on this thread. `more` flags are added to every message. Throws KernelError when it fails. */
  exchangeSync(requests: readonly Request[], more: number): readonly Exchange[] {
    const batch = this.#assemble(requests, more)
    try {
      libc.send(this.fd, batch.bytes)
      this.#drain()
    } catch (error) {
      throw sendFailure(error, requests)
    } finally {
      this.#forget(batch)
    }
    return batch.exchanges
  }

  /** One sending call in the thread pool. */
  async exchange(requests: readonly Request[], more: number): Promise<readonly Exchange[]> {
    const batch = this.#assemble(requests, more)
    try {
      await libc.sendAsync(this.fd, batch.bytes)
      this.#drain()
    } catch (error) {
      throw sendFailure(error, requests)
    } finally {
      this.#forget(batch)
    }
    return batch.exchanges
  }

  /**
   * A dump is made while it is read: in the thread pool, or `inOneGo` without a pause on this thread. Frames are given
   * to `onFrame` as they come, so that reading a long one is not followed by long work.
   */
  async dump(
    request: Request,
    onFrame: (frame: Frame) => void,
    options: { readonly inOneGo: boolean },
  ): Promise<Exchange> {
    const batch = this.#assemble([request], flags.dump)
    const exchange = batch.exchanges[0] as Exchange
    try {
      await libc.sendAsync(this.fd, batch.bytes)
      if (options.inOneGo) this.#drain()
      for (;;) {
        exchange.frames.splice(0).forEach(onFrame)
        if (exchange.outcome) break
        const length = await libc.receiveAsync(this.fd, this.#buffer)
        if (length === undefined) break
        this.#accept(length)
      }
    } catch (error) {
      throw sendFailure(error, [request])
    } finally {
      this.#forget(batch)
    }
    return exchange
  }

  get portId(): number {
    return Buffer.from(libc.getsockname(this.fd)).readUInt32LE(4)
  }

  close(): void {
    libc.close(this.fd)
  }

  #assemble(requests: readonly Request[], more: number): Batch {
    const bytes = Buffer.concat(requests.map(request => request.bytes))
    const sequences: number[] = []
    const exchanges: Exchange[] = []
    let at = 0
    for (const request of requests) {
      const sequence = this.#nextSequence
      this.#nextSequence = (sequence % 0xffffffff) + 1
      bytes.writeUInt16LE(bytes.readUInt16LE(at + 6) | more, at + 6)
      bytes.writeUInt32LE(sequence, at + 8)
      const exchange: Exchange = { frames: [], interrupted: false }
      this.#exchanges.set(sequence, exchange)
      sequences.push(sequence)
      exchanges.push(exchange)
      at += request.bytes.length
    }
    return { bytes, sequences, exchanges }
  }

  #forget(batch: Batch): void {
    for (const sequence of batch.sequences) this.#exchanges.delete(sequence)
  }

  /** Reads all that waits. Answers that were lost for want of room are missed by whoever needs them. */
  #drain(): void {
    for (;;) {
      try {
        const length = libc.receive(this.fd, this.#buffer)
        if (length === undefined) return
        this.#accept(length)
      } catch (error) {
        if (!libc.isOverrun(error)) throw error
      }
    }
  }

  #accept(length: number): void {
    if (length > this.#buffer.length) throw new RangeError(`an answer of ${length} bytes`)
    // A copy: fields of type `bytes` are views, and the buffer is used again.
    for (const answer of walk(this.#buffer.slice(0, length))) {
      const exchange = this.#exchanges.get(answer.seq)
      if (!exchange) continue
      if (answer.flags & flags.dumpInterrupted) exchange.interrupted = true
      const outcome = parseOutcome(answer)
      if (outcome) exchange.outcome = outcome
      else exchange.frames.push(answer)
    }
  }
}

interface Batch {
  readonly bytes: Buffer
  readonly sequences: readonly number[]
  readonly exchanges: readonly Exchange[]
}

/** The failure of one request of a batch. `optional`: no answer means success. */
export function failureOf(
  request: Request,
  exchange: Exchange | undefined,
  answer: 'required' | 'optional',
): KernelError | undefined {
  const { op, object } = request
  if (!exchange?.outcome) {
    if (answer === 'optional') return undefined
    return kernelError('ENOBUFS', { op, object, kernelText: 'the answer was lost' })
  }
  const { errno, text, offset } = exchange.outcome
  if (errno === 0) return undefined
  const attribute = offset === undefined ? undefined : request.attributeAt(offset)
  return kernelError(errno, { op, object, kernelText: text, attribute })
}

function sendFailure(error: unknown, requests: readonly Request[]): unknown {
  const [first] = requests
  const others = requests.length > 1 ? ` and ${requests.length - 1} more` : ''
  return asKernelError(error, first?.op ?? 'send', `${first?.object ?? 'nothing'}${others}`)
}
