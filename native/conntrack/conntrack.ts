/**
 * Forgets flows whose translation is out of date. The kernel translates the first packet of a flow and the rest alike, so
 * a sender that never pauses would go on sending to a container that is gone, or past one that has come.
 */
import type { Change } from '../kernel/kernel.ts'
import { KernelError } from '../netlink/errors.ts'
import { request, type NetlinkSocket, type Request } from '../netlink/socket.ts'
import { families } from '../nft/messages.ts'
import type { AddressInfo } from '../rtnl/addr.ts'
import { addressOf, familyOf, ipToBytes, type Family } from '../value/ip.ts'
import { directAmong, type ContainerSubnet } from './direct.ts'
import { delFlow, filterFlags, getFlow, type Flow } from './messages.ts'
import { rawOf, staleAmong, translating, translationsOf, type Translation } from './translation.ts'

export interface ConntrackOptions {
  /** Of this host. */
  readonly addresses: () => Promise<readonly Pick<AddressInfo, 'cidr'>[]>
  /** Flows may be left that go where a port has led to before, or where none may. */
  readonly onStale: (cause: unknown) => void
}

type ConntrackSocket = Pick<NetlinkSocket, 'dump' | 'batch'> & AsyncDisposable

export interface FlowQuestion {
  readonly family: Family
  /** IP protocol number. */
  readonly protocol: number
  /** Destination of the flow's first packet, as it came. */
  readonly port?: number
}

/** Messages are made on this thread: about 10 ms at a time. */
const flowsPerBatch = 500
const familyNumbers = { 4: families.ip, 6: families.ip6 } as const

export class Conntrack implements AsyncDisposable {
  readonly #socket: ConntrackSocket
  readonly #options: ConntrackOptions
  #waiting: Change[] = []
  #next: Promise<void> | undefined
  #last: Promise<void> = Promise.resolve()

  /** Takes over the socket (of protocol netfilter). */
  constructor(socket: ConntrackSocket, options: ConntrackOptions) {
    this.#socket = socket
    this.#options = options
  }

  /**
   * To be called when the changes are made: deletes the flows that came to a published port of udp or sctp among them
   * and go to where it does not lead. Resolves when they are gone; never rejects, see `onStale`.
   */
  async forget(changes: readonly Change[]): Promise<void> {
    const some = translating(changes)
    if (some.length === 0) return
    this.#waiting.push(...some)
    // A look takes as long for one port as for thousands: who comes during one shares the next.
    this.#next ??= this.#last = this.#look(this.#last)
    await this.#next
  }

  /**
   * After the rules were gone: deletes the flows between containers and others that began meanwhile, see `directAmong`.
   * Never rejects, see `onStale`.
   */
  async forgetDirect(segments: readonly ContainerSubnet[]): Promise<void> {
    for (const [family, some] of Map.groupBy(segments, ({ pool }) => familyOf(pool))) {
      try {
        await this.remove(family, directAmong(await this.#dump(family, {}), some))
      } catch (cause) {
        this.#options.onStale(cause)
      }
    }
  }

  /**
   * Flows of one family and protocol, and perhaps more: kernels before 5.8 do not choose. Rejects with KernelError:
   * EINVAL when the kernel does not show its flows.
   */
  async flows({ family, protocol, port }: FlowQuestion): Promise<readonly Flow[]> {
    const original = filterFlags.protocol | (port === undefined ? 0 : filterFlags.destinationPort)
    const choice = { original: { proto: { protocol, destination: port } }, filter: { original } }
    try {
      return await this.#dump(family, choice)
    } catch (cause) {
      if (!(cause instanceof KernelError) || !['EINVAL', 'EOPNOTSUPP'].includes(cause.errno)) throw cause
      return this.#dump(family, {})
    }
  }

  /** Those that are gone already are no error. Rejects with KernelError, in the end, when one could not be deleted. */
  async remove(family: Family, flows: readonly Flow[]): Promise<void> {
    let failure: KernelError | undefined
    for (let from = 0; from < flows.length; from += flowsPerBatch) {
      const part = flows.slice(from, from + flowsPerBatch)
      const errors = await this.#socket.batch(part.map(flow => removal(family, flow)))
      failure ??= errors.find(error => error && error.errno !== 'ENOENT')
    }
    if (failure) throw failure
  }

  /** Waits for what is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last
    await this.#socket[Symbol.asyncDispose]()
  }

  async #look(before: Promise<void>): Promise<void> {
    await before
    const translations = translationsOf(this.#waiting.splice(0))
    this.#next = undefined
    for (const some of Map.groupBy(translations, ({ family, protocol }) => `${family} ${protocol}`).values()) {
      try {
        await this.#forgetAll(some)
      } catch (cause) {
        this.#options.onStale(cause)
      }
    }
  }

  /** All of one family and protocol. */
  async #forgetAll(translations: readonly Translation[]): Promise<void> {
    const [first] = translations
    if (!first) return
    const { family, protocol, port } = first
    const only = translations.every(other => other.port === port)
    const flows = await this.flows({ family, protocol, ...(only && { port }) })
    const addresses = flows.length === 0 ? [] : await this.#options.addresses()
    const local = new Set(addresses.map(({ cidr }) => rawOf(ipToBytes(addressOf(cidr)))))
    await this.remove(family, staleAmong(flows, translations, local))
  }

  async #dump(family: Family, choice: Flow): Promise<readonly Flow[]> {
    const about = { op: 'list', object: `IPv${family} flows` }
    const entries = await this.#socket.dump(getFlow, { family: familyNumbers[family] }, choice, about)
    return entries.map(({ attrs }) => attrs)
  }
}

function removal(family: Family, { original, id, zone }: Flow): Request {
  const { protocol = 0, destination = 0 } = original?.proto ?? {}
  const about = { op: 'delete', object: `flow of IP protocol ${protocol} to port ${destination}` }
  return request(delFlow, { family: familyNumbers[family] }, { original, id, zone }, about)
}
