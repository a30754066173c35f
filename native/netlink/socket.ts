/**
 * Requests to the kernel. What changes something goes through the thread pool: rtnetlink's lock is shared by all
 * namespaces of the machine, and waiting for it must not hold up the program.
 */
import { errnoName } from '../ffi/errno.ts'
import { interfaceIndex } from '../ffi/libc.ts'
import { Channel, failureOf, openNetlink, type Exchange, type NetlinkProtocol, type Request } from './channel.ts'
import { kernelError, type KernelError } from './errors.ts'
import { attributeAt, flags, frame, parse, type Frame, type Message } from './message.ts'
import { printMessage } from './trace.ts'

export { protocols, type NetlinkProtocol, type Request } from './channel.ts'

export interface About {
  /** For errors: `create`. */
  readonly op: string
  /** For errors: `veth wv123`. */
  readonly object: string
  /** Beside NLM_F_REQUEST. */
  readonly flags?: number
}
export interface Entry<H, A> {
  readonly header: H
  readonly attrs: A
}

export interface SocketOptions {
  /** Told of every request that changes something, before it is sent; `print` has its words. */
  readonly onRequest?: ((request: Request) => void) | undefined
}

/** An ack takes about 1 KB of the receive buffer. */
const batchLimit = 1000
/** The last one reads without letting anything else of this program run. */
const dumpAttempts = 5

export function request<H, A>(of: Message<H, A>, header: Partial<H>, attrs: A, about: About): Request {
  const bytes = frame(of, header, attrs, { flags: about.flags ?? 0 })
  return {
    bytes,
    op: about.op,
    object: about.object,
    attributeAt: offset => attributeAt(of, bytes, offset),
    print: () => printMessage(of, bytes),
  }
}

export class NetlinkSocket implements AsyncDisposable {
  readonly #commands: Channel
  /** A dump is read in the thread pool: its descriptor has no other reader. */
  readonly #dumps: Channel
  readonly #onRequest: SocketOptions['onRequest']
  #tail: Promise<unknown> = Promise.resolve()
  #closed = false

  /** In the namespace of the calling thread: call it inside `inNetns` for another one. */
  constructor(protocol: NetlinkProtocol, options: SocketOptions = {}) {
    this.#onRequest = options.onRequest
    this.#commands = new Channel(openNetlink(protocol))
    try {
      this.#dumps = new Channel(openNetlink(protocol))
    } catch (error) {
      this.#commands.close()
      throw error
    }
  }

  /** Names this socket in the kernel: the owner of an nftables table, the `pid` of events. Dumps have another one. */
  get portId(): number {
    return this.#commands.portId
  }

  /** Rejects with KernelError. */
  async request<H, A>(of: Message<H, A>, header: Partial<H>, attrs: A, about: About): Promise<void> {
    const [error] = await this.batch([request(of, header, attrs, about)])
    if (error) throw error
  }

  /**
   * All messages in one sending call (more than 1,000: several). Not atomic under rtnetlink: the answer has one place
   * per request, undefined where it succeeded. Rejects with KernelError when sending itself failed.
   */
  async batch(requests: readonly Request[]): Promise<readonly (KernelError | undefined)[]> {
    requests.forEach(item => this.#onRequest?.(item))
    const results: (KernelError | undefined)[] = []
    for (let from = 0; from < requests.length; from += batchLimit) {
      const part = requests.slice(from, from + batchLimit)
      const exchanges = await this.#queue(() => this.#commands.exchange(part, flags.ack))
      results.push(...part.map((item, index) => failureOf(item, exchanges[index], 'required')))
    }
    return results
  }

  /**
   * The same on the calling thread, for nfnetlink, whose batches are atomic and quick. Flags are left as they are: a
   * message without NLM_F_ACK is answered only when it failed. May be called while other requests are under way.
   */
  batchSync(requests: readonly Request[]): readonly (KernelError | undefined)[] {
    this.#checkOpen()
    requests.forEach(item => this.#onRequest?.(item))
    const exchanges = this.#commands.exchangeSync(requests, 0)
    return requests.map((item, index) => failureOf(item, exchanges[index], 'optional'))
  }

  /** The one object that a GET asks for; undefined when the kernel answers one of `absent`. Throws KernelError. */
  requestSync<H, A>(
    of: Message<H, A>,
    header: Partial<H>,
    attrs: A,
    about: About & { readonly absent?: readonly string[] },
  ): Entry<H, A> | undefined {
    this.#checkOpen()
    const item = request(of, header, attrs, about)
    const [exchange] = this.#commands.exchangeSync([item], flags.ack)
    return answerOf(of, item, exchange, about.absent ?? [])
  }

  /** The same for several objects, in the thread pool; one place per request. */
  async find<H, A>(
    of: Message<H, A>,
    requests: readonly Request[],
    absent: readonly string[],
  ): Promise<readonly (Entry<H, A> | undefined)[]> {
    const exchanges = await this.#queue(() => this.#commands.exchange(requests, flags.ack))
    return requests.map((item, index) => answerOf(of, item, exchanges[index], absent))
  }

  /** Index of a link in this socket's namespace; undefined: no such link. Unlike RTM_GETLINK it waits for no lock. */
  linkIndex(name: string): number | undefined {
    this.#checkOpen()
    return interfaceIndex(this.#commands.fd, name)
  }

  /**
   * All objects. A dump during which the set changed is repeated; when it never stands still, rejects with EINTR.
   * Rejects with KernelError also when the errno comes with the end (an unsupported filter).
   */
  dump<H, A, ReplyH = H, ReplyA = A>(
    of: Message<H, A>,
    header: Partial<H>,
    attrs: A,
    about: About & {
      /** Where answers have another form than questions. */
      readonly reply?: Message<ReplyH, ReplyA>
    },
  ): Promise<readonly Entry<ReplyH, ReplyA>[]> {
    const reply = (about.reply ?? of) as Message<ReplyH, ReplyA>
    return this.#queue(async () => {
      const item = request(of, header, attrs, about)
      for (let attempt = 1; attempt <= dumpAttempts; attempt += 1) {
        const entries: Entry<ReplyH, ReplyA>[] = []
        const onFrame = (answer: Frame): void => {
          entries.push(parse(reply, answer.payload))
        }
        const exchange = await this.#dumps.dump(item, onFrame, { inOneGo: attempt === dumpAttempts })
        const failure = failureOf(item, exchange, 'required')
        if (failure) throw failure
        if (!exchange.interrupted) return entries
      }
      throw kernelError('EINTR', { op: item.op, object: item.object, kernelText: 'it kept changing while it was read' })
    })
  }

  /** Waits for what is under way, then closes. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#tail
    this.#commands.close()
    this.#dumps.close()
  }

  /** One job at a time, in order; a failed one does not hold up the next. */
  async #queue<T>(job: () => Promise<T>): Promise<T> {
    this.#checkOpen()
    const result = this.#tail.then(job)
    this.#tail = result.catch(() => undefined)
    return result
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error('this netlink socket is closed')
  }
}

function answerOf<H, A>(
  of: Message<H, A>,
  item: Request,
  exchange: Exchange | undefined,
  absent: readonly string[],
): Entry<H, A> | undefined {
  if (exchange?.outcome && absent.includes(errnoName(exchange.outcome.errno))) return undefined
  const failure = failureOf(item, exchange, 'required')
  if (failure) throw failure
  const answer = exchange?.frames[0]
  return answer && parse(of, answer.payload)
}
