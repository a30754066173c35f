/** Which host ports an endpoint's bindings get: fixed, the first free of a range, or one that the host chooses. */
import type { Endpoint, Network, PublishedPort } from '../drivers/driver.ts'
import type { BoundSocket } from '../native/diag/sockets.ts'
import { keyOf, type Protocol } from '../native/kernel/resource.ts'
import { KernelError } from '../native/netlink/errors.ts'
import { familyOf, isUnspecified, type Ip } from '../native/value/ip.ts'
import type { PortBinding } from '../plugin-api/options.ts'
import { BoundPorts } from './bound.ts'
import { putEndpoint } from './edit.ts'
import type { House } from './house.ts'
import { exhausted, givenUp, isFixed } from './port-errors.ts'
import { hostAddresses, protocolOf, type Place } from './publishing.ts'
import { endpointKey } from './records.ts'
import { Claimed } from './reconcile.ts'

/** Ports for those who do not care which, in the order to try. */
export interface PortChoices {
  (): readonly number[]
  /** The last of them that was published, or asked for in vain. */
  readonly tried?: (port: number) => void
  /** What has ports of the host from one number to another; absent: that is only found by trying. */
  readonly bound?: (protocol: Protocol, from: number, to: number) => Promise<readonly BoundSocket[]>
}

/**
 * As the engine has it: who finds more ports in use than that fights with somebody, and each try costs a round. Ports that
 * a look at the host's sockets shows are not tried.
 */
const retriesPerBinding = 10

/** A binding with one host address per family. */
export interface Wanted {
  readonly binding: PortBinding
  readonly protocol: Protocol
  readonly addresses: readonly Ip[]
}

/** Publishes all bindings of the endpoint or none. */
export async function publish(
  place: Place,
  network: Network,
  bindings: readonly PortBinding[],
  range: PortChoices,
  signal?: AbortSignal,
): Promise<readonly PublishedPort[]> {
  const { house, endpoint } = place
  const wanted = bindings.map(binding => {
    const protocol = protocolOf(binding)
    return { binding, protocol, addresses: hostAddresses(place, binding, protocol) }
  })
  const picks = new Picks(house, endpoint, range)
  try {
    for (const one of wanted.filter(({ addresses }) => addresses.length > 0).sort(byFreedom)) picks.pick(one)
    for (;;) {
      const ports = wanted.flatMap(one => picks.of(one))
      try {
        await putEndpoint(house, network, { ...endpoint, ports }, signal)
        return ports
      } catch (cause) {
        await picks.another(cause)
      }
    }
  } finally {
    picks.end()
  }
}

/** The engine's order is random: who has less choice comes first, so that it does not decide who gets a port. */
function byFreedom({ binding: one }: Wanted, { binding: other }: Wanted): number {
  return freedom(one) - freedom(other) || one.HostPortEnd - other.HostPortEnd
}

function freedom({ HostPort, HostPortEnd }: PortBinding): number {
  if (HostPort === 0) return 2
  return HostPort === HostPortEnd ? 0 : 1
}

/** What the bindings of one endpoint get. Every step is a look-up: there may be ten thousand of them. */
class Picks {
  readonly #house: House
  readonly #own: string
  readonly #range: PortChoices
  readonly #bound: BoundPorts
  readonly #picked = new Map<Wanted, readonly PublishedPort[]>()
  /** By hold key: who took it, or found it in use. It only grows: nothing is tried twice. */
  readonly #takers = new Map<string, Wanted>()
  /** The same as spots. */
  readonly #spots = new Set<string>()
  readonly #retries = new Map<Wanted, number>()
  /** By protocol, addresses and sort of number: index of a number that is not free -> index to go on with. */
  readonly #passed = new Map<string, Map<number, number>>()
  /** What other endpoints publish, as spots. */
  readonly #rivals = new Map<Endpoint, ReadonlySet<string>>()
  #ephemeral: readonly number[] | undefined
  /** Index of the last ephemeral port that was picked. */
  #last = -1

  constructor(house: House, endpoint: Endpoint, range: PortChoices) {
    this.#house = house
    this.#own = endpointKey(endpoint.networkId, endpoint.id)
    this.#range = range
    this.#bound = new BoundPorts(endpoint, range.bound)
  }

  of(wanted: Wanted): readonly PublishedPort[] {
    return this.#picked.get(wanted) ?? []
  }

  /** Takes the first choice that neither another endpoint nor another binding of this one has. */
  pick(wanted: Wanted, cause?: unknown): void {
    const { HostPort, HostPortEnd } = wanted.binding
    // Named numbers are their own index; ephemeral ones are counted from 0, which is their HostPort.
    const numbers = HostPort === 0 ? this.#ephemerals() : undefined
    const end = numbers ? numbers.length - 1 : HostPortEnd
    const passed = this.#passedOf(wanted)
    let holder = cause instanceof Claimed ? cause.holder : undefined
    for (let at = firstLeft(passed, HostPort); at <= end; at = firstLeft(passed, at)) {
      const ports = portsOf(wanted, numbers?.[at] ?? at)
      holder = ports.map(port => this.#holderOf(port)).find(found => found !== undefined)
      // Not free, or not free from now on.
      passed.set(at, at + 1)
      if (holder !== undefined || this.#isBound(wanted, ports)) continue
      for (const port of ports) {
        this.#takers.set(holdKey(port), wanted)
        this.#spots.add(spotOf(port, isUnspecified(port.hostAddress)))
      }
      this.#picked.set(wanted, ports)
      if (numbers) this.#last = Math.max(this.#last, at)
      return
    }
    throw exhausted(wanted, { cause, holder: holder === this.#own ? undefined : holder })
  }

  /** Somebody was faster: the next choice of that binding, if there is one. */
  async another(cause: unknown): Promise<void> {
    const key = refusedKey(cause)
    const taker = key === undefined ? undefined : this.#takers.get(key)
    if (!taker) throw cause
    const others = cause instanceof KernelError && !isFixed(taker.binding) ? await this.#lookBeside(taker) : []
    // Ports of weft's own are known beforehand and cost nothing; those of other programs are looked up or found by trying.
    if (cause instanceof KernelError && !this.#isBound(taker, this.of(taker))) {
      const retries = this.#retries.get(taker) ?? 0
      if (retries === retriesPerBinding && !isFixed(taker.binding)) throw givenUp(taker, retries + 1, cause)
      this.#retries.set(taker, retries + 1)
    }
    for (const one of [taker, ...others].sort(byFreedom)) this.pick(one, cause)
  }

  end(): void {
    const port = this.#ephemeral?.[this.#last]
    if (port !== undefined) this.#range.tried?.(port)
  }

  #ephemerals(): readonly number[] {
    return (this.#ephemeral ??= this.#range())
  }

  /** Looks at the sockets of the host, once for each protocol: other bindings whose choices are in use as well. */
  async #lookBeside(taker: Wanted): Promise<readonly Wanted[]> {
    const { protocol } = taker
    const free = [...this.#picked.keys()].filter(one => one.protocol === protocol && !isFixed(one.binding))
    const ranges = free.flatMap(({ binding: { HostPort, HostPortEnd } }) => [HostPort, HostPortEnd])
    const [all, ephemeral] = [ranges.filter(port => port !== 0), ranges.includes(0) ? this.#ephemerals() : []]
    const [from, to] = [...all, ...ephemeral].reduce(
      ([least, most], port) => [Math.min(least, port), Math.max(most, port)],
      [65_535, 0],
    )
    if (!(await this.#bound.look(protocol, from, to))) return []
    return free.filter(one => one !== taker && this.#isBound(one, this.of(one)))
  }

  /** Connections that linger are in the way only sometimes: of ephemeral ports there are others, of a range maybe not. */
  #isBound({ binding }: Wanted, ports: readonly PublishedPort[]): boolean {
    if (isFixed(binding)) return false
    return ports.some(port => this.#bound.has(port, { lingering: binding.HostPort === 0 }))
  }

  /** The owner that has a port, or one that excludes it, in weft; undefined: none. */
  #holderOf(port: PublishedPort): string | undefined {
    const key = holdKey(port)
    const rival = spotOf(port, !isUnspecified(port.hostAddress))
    if (this.#takers.has(key) || this.#spots.has(rival)) return this.#own
    const holder = this.#house.reconciler.ownerOf(key)
    if (holder !== undefined && holder !== this.#own) return holder
    const other = this.#house.records.publishersOf(port).find(each => this.#spotsOf(each).has(rival))
    return other && endpointKey(other.networkId, other.id)
  }

  #spotsOf(other: Endpoint): ReadonlySet<string> {
    const known = this.#rivals.get(other)
    if (known) return known
    const own = endpointKey(other.networkId, other.id) === this.#own
    const spots = new Set(own ? [] : other.ports.map(port => spotOf(port, isUnspecified(port.hostAddress))))
    this.#rivals.set(other, spots)
    return spots
  }

  #passedOf({ binding, protocol, addresses }: Wanted): Map<number, number> {
    const key = `${protocol} ${addresses.join(' ')} ${binding.HostPort === 0 ? 'ephemeral' : 'named'}`
    const passed = this.#passed.get(key) ?? new Map<number, number>()
    this.#passed.set(key, passed)
    return passed
  }
}

/** The first index from `from` on that was not passed. The way there is made short for the next who asks. */
function firstLeft(passed: Map<number, number>, from: number): number {
  let left = from
  for (let next = passed.get(left); next !== undefined; next = passed.get(left)) left = next
  for (let at = from; at < left;) {
    const next = passed.get(at) ?? left
    passed.set(at, left)
    at = next
  }
  return left
}

/** A port on every address and the same on one of them exclude each other, as they do for bind(2). */
function spotOf({ protocol, hostPort, hostAddress }: PublishedPort, everywhere: boolean): string {
  return `${everywhere ? 'every' : 'one'} IPv${familyOf(hostAddress)} ${protocol} ${hostPort}`
}

/** The held port that somebody else has. */
function refusedKey(cause: unknown): string | undefined {
  if (cause instanceof Claimed) return cause.key
  return cause instanceof KernelError && cause.errno === 'EADDRINUSE' ? cause.object : undefined
}

function portsOf({ binding, protocol, addresses }: Wanted, hostPort: number): readonly PublishedPort[] {
  return addresses.map(hostAddress => ({ protocol, hostAddress, hostPort, containerPort: binding.Port }))
}

function holdKey(port: PublishedPort): string {
  return keyOf({ type: 'port', protocol: port.protocol, address: port.hostAddress, port: port.hostPort })
}
