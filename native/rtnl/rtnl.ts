/** Links, addresses, routes and neighbours of one namespace. */
import { kernelError, KernelError } from '../netlink/errors.ts'
import { DeleteLane, type LaneOptions } from '../netlink/lane.ts'
import { NetlinkSocket, protocols, type Request, type SocketOptions } from '../netlink/socket.ts'
import type { Cidr } from '../value/ip.ts'
import { addressInfoOf, getAddress, type AddressInfo } from './addr.ts'
import { aboutChild, createChild, inWords, refusalOf, type ChildSpec } from './child.ts'
import { getLink, linkInfoOf, SKIP_STATS, type LinkInfo } from './link.ts'
import { getNeighbour, neighbourRequest, proxiesOf, proxyInfoOf, type NeighbourOp, type ProxyInfo } from './neigh.ts'
import * as requests from './requests.ts'
import type { BridgeSpec, Creation, DummySpec, LinkChange, VethSpec } from './requests.ts'
import {
  aboutRoute,
  getRoute,
  removeRoute,
  ROUTE_PROTOCOL,
  routeInfoOf,
  setRoute,
  type RouteInfo,
  type RouteSpec,
} from './route.ts'

export { ADDRESS_PROTOCOL } from './requests.ts'

/** A kernel that runs without IPv6 answers a question about it with everything it has: answers are looked at again. */
const families = [2, 10]

/**
 * The kernel's lock has a queue, in which others stand as well: while an engine starts many containers it is long. Who
 * creates links one after the other would stand in it anew for each.
 */
const makers = 8

export class Rtnl implements AsyncDisposable {
  readonly #socket: NetlinkSocket
  /** Creations take turns with them. */
  readonly #makers: readonly NetlinkSocket[]
  #turn = 0
  /** Removals wait long: creations shall not queue behind them. */
  readonly #slow: NetlinkSocket
  readonly #lane: DeleteLane

  /** In the namespace of the calling thread: call it inside `inNetns` for another one. */
  constructor(options: LaneOptions & SocketOptions = {}) {
    this.#socket = new NetlinkSocket(protocols.route, options)
    this.#makers = Array.from({ length: makers }, () => new NetlinkSocket(protocols.route, options))
    this.#slow = new NetlinkSocket(protocols.route, options)
    this.#lane = new DeleteLane(this.#slow, requests.removal, options)
  }

  /** All links; those whose removal is under way are still among them, see `removing`. */
  async links(): Promise<readonly LinkInfo[]> {
    const entries = await this.#socket.dump(getLink, {}, { extMask: SKIP_STATS }, { op: 'list', object: 'links' })
    return entries.map(({ header, attrs }) => linkInfoOf(header, attrs))
  }

  /** In the thread pool: somebody else may hold the kernel's lock for long. One place per name. */
  async findLinks(...names: readonly string[]): Promise<readonly (LinkInfo | undefined)[]> {
    const entries = await this.#socket.find(getLink, names.map(requests.readLink), ['ENODEV'])
    return entries.map(entry => entry && linkInfoOf(entry.header, entry.attrs))
  }

  /** Undefined: no such link. Never waits. */
  indexOf(name: string): number | undefined {
    return this.#socket.linkIndex(name)
  }

  /**
   * Up. Rejects with EEXIST when the name is taken, whoever has it. A failure leaves nothing behind.
   * A removal of the same name that is under way is waited for.
   */
  async createBridge(spec: BridgeSpec): Promise<void> {
    await this.#lane.finished(spec.name)
    if (this.indexOf(spec.name) !== undefined)
      throw kernelError('EEXIST', { op: 'create', object: `bridge ${spec.name}` })
    await this.#create(spec.name, requests.createBridge(spec))
  }

  /** Both ends in this namespace, ours up and a port of the bridge. Otherwise like createBridge. */
  async createVeth(spec: VethSpec): Promise<void> {
    const about = { op: 'create', object: `veth ${spec.name}` }
    await this.#lane.finished(spec.name)
    await this.#lane.finished(spec.peer.name)
    if (this.indexOf(spec.name) !== undefined) throw kernelError('EEXIST', about)
    if (this.indexOf(spec.peer.name) !== undefined)
      throw kernelError('EEXIST', { ...about, object: `${about.object} with peer ${spec.peer.name}` })
    const master = this.indexOf(spec.master)
    if (master === undefined) throw kernelError('ENODEV', { ...about, object: `${about.object} on ${spec.master}` })
    await this.#create(spec.name, requests.createVeth(spec, master))
  }

  /**
   * On its parent. Rejects with ENODEV when there is none, with EBUSY or EINVAL where the parent's other links do not
   * allow it; those whose removal is under way are waited for. Otherwise like createBridge.
   */
  async createChild(spec: ChildSpec): Promise<void> {
    const about = aboutChild(spec)
    await this.#lane.finished(spec.name)
    if (this.indexOf(spec.name) !== undefined) throw kernelError('EEXIST', about)
    const [parent] = await this.findLinks(spec.parent)
    if (!parent) throw kernelError('ENODEV', about)
    const refusal = refusalOf(spec, parent)
    if (refusal) throw refusal
    for (let leaving = this.removing; ; leaving = new Set()) {
      try {
        await this.#create(spec.name, createChild(spec, parent.index))
        return
      } catch (cause) {
        if (!(cause instanceof KernelError)) throw cause
        if (leaving.size === 0 || !['EINVAL', 'EBUSY'].includes(cause.errno)) throw inWords(cause, spec, parent)
        // What stood in the way may be one of those that were on their way out.
        await Promise.all([...leaving].map(name => this.#lane.finished(name)))
      }
    }
  }

  /** Up, of the first kind that this kernel has. Otherwise like createBridge. */
  async createDummy(spec: DummySpec): Promise<void> {
    await this.#lane.finished(spec.name)
    if (this.indexOf(spec.name) !== undefined)
      throw kernelError('EEXIST', { op: 'create', object: `dummy ${spec.name}` })
    let missing: unknown
    for (const kind of requests.dummyKinds) {
      try {
        await this.#create(spec.name, requests.createDummy(spec, kind))
        return
      } catch (cause) {
        if (!(cause instanceof KernelError) || cause.errno !== 'EOPNOTSUPP') throw cause
        missing ??= cause
      }
    }
    throw missing
  }

  /** What is left out stays as it is. */
  async change(name: string, change: LinkChange): Promise<void> {
    const master = change.master === undefined ? undefined : this.indexOf(change.master)
    if (change.master !== undefined && master === undefined) {
      throw kernelError('ENODEV', { op: 'change', object: `link ${name} to be on ${change.master}` })
    }
    await this.#all(requests.changeLink(name, change, master))
  }

  /** Queued, and removed with others. Resolves when the link is gone, or was not there. */
  remove(name: string): Promise<void> {
    return this.#lane.remove(name)
  }

  /** Names of links whose removal is queued or under way. */
  get removing(): ReadonlySet<string> {
    return this.#lane.removing
  }

  /** Resolves when no removal is queued or under way. */
  idle(): Promise<void> {
    return this.#lane.idle()
  }

  /** Usable at once. An address that is there already is left as it is. */
  async addAddress(link: string, cidr: Cidr): Promise<void> {
    const index = this.indexOf(link)
    if (index === undefined) throw kernelError('ENODEV', { op: 'add', object: `address ${cidr} on ${link}` })
    await this.#all([requests.addAddress(link, index, cidr)], ['EEXIST'])
  }

  /** Neither the address nor the link need be there. */
  async removeAddress(link: string, cidr: Cidr): Promise<void> {
    const index = this.indexOf(link)
    if (index === undefined) return
    await this.#all([requests.removeAddress(link, index, cidr)], ['EADDRNOTAVAIL', 'ENODEV'])
  }

  async addresses(): Promise<readonly AddressInfo[]> {
    const about = { op: 'list', object: 'addresses' }
    const found: AddressInfo[] = []
    for (const family of families) {
      for (const { header, attrs } of await this.#socket.dump(getAddress, { family }, {}, about)) {
        const address = addressInfoOf(header, attrs)
        if (address && header.family === family) found.push(address)
      }
    }
    return found
  }

  /** Unicast routes of all tables. */
  routes(): Promise<readonly RouteInfo[]> {
    return this.#routes(0)
  }

  /** Those that weft made. */
  async ownRoutes(): Promise<readonly RouteInfo[]> {
    // Kernels before 4.20 answer with all of them.
    return (await this.#routes(ROUTE_PROTOCOL)).filter(({ protocol }) => protocol === ROUTE_PROTOCOL)
  }

  async #routes(protocol: number): Promise<readonly RouteInfo[]> {
    const about = { op: 'list', object: 'routes' }
    const found: RouteInfo[] = []
    for (const family of families) {
      for (const { header, attrs } of await this.#socket.dump(getRoute, { family, protocol }, {}, about)) {
        const route = routeInfoOf(header, attrs)
        if (route && header.family === family) found.push(route)
      }
    }
    return found
  }

  /** `add` rejects with EEXIST when another one leads there. */
  async setRoute(op: 'add' | 'replace', route: RouteSpec): Promise<void> {
    const index = this.indexOf(route.link)
    if (index === undefined) throw kernelError('ENODEV', aboutRoute(op, route))
    await this.#all([setRoute(op, route, index)])
  }

  /** Neither the route nor its link need be there. Only what weft made is removed. */
  async removeRoute(route: RouteSpec): Promise<void> {
    const index = this.indexOf(route.link)
    if (index !== undefined) await this.#all([removeRoute(route, index)], ['ESRCH', 'ENODEV'])
  }

  /** Addresses that this host answers for. */
  async proxies(): Promise<readonly ProxyInfo[]> {
    const about = { op: 'list', object: 'proxied neighbours' }
    const found: ProxyInfo[] = []
    for (const family of families) {
      for (const { header, attrs } of await this.#socket.dump(getNeighbour, proxiesOf(family), {}, about)) {
        const proxy = proxyInfoOf(header, attrs)
        if (proxy && header.family === family) found.push(proxy)
      }
    }
    return found
  }

  /** One place per entry, undefined where it succeeded. Removing what is not there succeeds. */
  async neighbours(entries: readonly NeighbourOp[]): Promise<readonly (KernelError | undefined)[]> {
    const errors = await this.#socket.batch(entries.map(neighbourRequest))
    return errors.map((error, i) => (entries[i]?.op === 'remove' && error?.errno === 'ENOENT' ? undefined : error))
  }

  /** Waits for what is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lane.idle()
    await Promise.all([this.#slow, ...this.#makers].map(socket => socket[Symbol.asyncDispose]()))
    await this.#socket[Symbol.asyncDispose]()
  }

  /** In one send: a crash of ours cannot come between the link's birth and its mark. */
  async #create(name: string, creation: Creation): Promise<void> {
    this.#turn = (this.#turn + 1) % makers
    const maker = this.#makers[this.#turn] ?? this.#socket
    const [birth, rest] = await maker.batch(creation)
    if (birth) throw birth
    if (!rest) return
    await this.#lane.remove(name)
    throw rest
  }

  async #all(wanted: readonly Request[], tolerate: readonly string[] = []): Promise<void> {
    for (const error of await this.#socket.batch(wanted)) {
      if (error && !tolerate.includes(error.errno)) throw error
    }
  }
}
