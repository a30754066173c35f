/** Which host ports an endpoint's bindings get: fixed, the first free of a range, or one that the host chooses. */
import type { Endpoint, Network, PublishedPort } from '../drivers/driver.ts'
import { keyOf } from '../native/kernel/resource.ts'
import { KernelError } from '../native/netlink/errors.ts'
import { addressOf, familyOf, isUnspecified, parseIp, type Ip } from '../native/value/ip.ts'
import { UserError } from '../plugin-api/answer.ts'
import type { PortBinding } from '../plugin-api/options.ts'
import { putEndpoint } from './edit.ts'
import type { House } from './house.ts'
import { Claimed } from './reconcile.ts'

/** Ports for those who do not care which, in the order to try. */
export type PortChoices = () => readonly number[]

/** A binding with one host address per family, and the ports that may serve it, in the order to try. */
interface Candidate {
  readonly binding: PortBinding
  readonly addresses: readonly Ip[]
  readonly choices: readonly number[]
  /** Index of the choice that is tried. */
  readonly at: number
}

/** Publishes all bindings of the endpoint or none. */
export async function publish(
  house: House,
  network: Network,
  endpoint: Endpoint,
  bindings: readonly PortBinding[],
  range: PortChoices,
): Promise<readonly PublishedPort[]> {
  let candidates: readonly Candidate[] = []
  for (const binding of bindings) {
    const fresh = { binding, addresses: hostAddresses(endpoint, binding), choices: choicesOf(binding, range), at: 0 }
    candidates = [...candidates, firstFree(house, endpoint, fresh, candidates)]
  }
  for (;;) {
    const ports = candidates.flatMap(portsOf)
    try {
      await putEndpoint(house, network, { ...endpoint, ports })
      return ports
    } catch (cause) {
      // A process outside weft has it: the next choice of that binding, if there is one.
      const taken = candidates.find(candidate => portsOf(candidate).some(port => isTaken(cause, port)))
      if (!taken) throw cause
      const others = candidates.filter(candidate => candidate !== taken)
      const next = firstFree(house, endpoint, { ...taken, at: taken.at + 1 }, others)
      candidates = candidates.map(candidate => (candidate === taken ? next : candidate))
    }
  }
}

/** The first choice that neither another endpoint nor another binding of this one has. */
function firstFree(house: House, endpoint: Endpoint, candidate: Candidate, others: readonly Candidate[]): Candidate {
  const mine = new Set(others.flatMap(portsOf).map(holdKey))
  const own = `endpoint/${endpoint.networkId}/${endpoint.id}`
  for (let at = candidate.at; at < candidate.choices.length; at += 1) {
    const tried = { ...candidate, at }
    const free = portsOf(tried).every(port => {
      const holder = house.reconciler.ownerOf(holdKey(port))
      return !mine.has(holdKey(port)) && (holder === undefined || holder === own) && !overlapped(house, own, port)
    })
    if (free) return tried
  }
  throw taken(candidate)
}

/** A port on every address and the same on one of them exclude each other, as they do for bind(2). */
function overlapped(house: House, own: string, port: PublishedPort): boolean {
  const rivals = house.records.publishersOf(port).filter(other => `endpoint/${other.networkId}/${other.id}` !== own)
  return rivals.some(({ ports }) =>
    ports.some(
      other =>
        other.hostPort === port.hostPort &&
        other.protocol === port.protocol &&
        familyOf(other.hostAddress) === familyOf(port.hostAddress) &&
        (isUnspecified(other.hostAddress) || isUnspecified(port.hostAddress)),
    ),
  )
}

function taken({ binding, addresses, choices }: Candidate): UserError {
  const address = addresses.map(ip => (familyOf(ip) === 6 ? `[${ip}]` : ip))[0] ?? ''
  if (binding.HostPort !== 0 && choices.length === 1) {
    return new UserError('PORT_TAKEN', `Bind for ${address}:${binding.HostPort} failed: port is already allocated`)
  }
  const what = binding.HostPort === 0 ? 'the ephemeral range' : `${binding.HostPort}-${binding.HostPortEnd}`
  return new UserError('PORTS_EXHAUSTED', `all ports are allocated: none of ${what} is free on ${address}`)
}

function isTaken(cause: unknown, port: PublishedPort): boolean {
  if (cause instanceof Claimed) return cause.key === holdKey(port)
  return cause instanceof KernelError && cause.errno === 'EADDRINUSE' && cause.object === holdKey(port)
}

function portsOf({ binding, addresses, choices, at }: Candidate): readonly PublishedPort[] {
  return addresses.map(hostAddress => ({
    protocol: protocolOf(binding),
    hostAddress,
    hostPort: choices[at] ?? 0,
    containerPort: binding.Port,
  }))
}

function protocolOf({ Proto, Port }: PortBinding): 'tcp' | 'udp' {
  if (Proto === 6) return 'tcp'
  if (Proto === 17) return 'udp'
  const name = Proto === 132 ? 'sctp' : `IP protocol ${Proto}`
  throw new UserError(
    'PROTOCOL_UNSUPPORTED',
    `publishing port ${Port} of ${name} is not supported yet: only tcp and udp are`,
  )
}

/** No address given: every address, in each family that the container has. */
function hostAddresses(endpoint: Endpoint, binding: PortBinding): readonly Ip[] {
  const families = endpoint.addresses.map(cidr => familyOf(addressOf(cidr)))
  if (binding.HostIP === undefined) return families.map(family => (family === 4 ? '0.0.0.0' : '::') as Ip)
  const address = parseIp(binding.HostIP)
  if (!address) throw new UserError('BAD_REQUEST', `HostIP: ${binding.HostIP} is not an address`)
  if (families.includes(familyOf(address))) return [address]
  throw new UserError(
    'FAMILY_UNSUPPORTED',
    `port ${binding.Port} cannot be published on ${address}: the container has no IPv${familyOf(address)} address, ` +
      'and translation between the families is not supported yet',
  )
}

function choicesOf({ HostPort, HostPortEnd }: PortBinding, range: PortChoices): readonly number[] {
  if (HostPort !== 0) return Array.from({ length: HostPortEnd - HostPort + 1 }, (_, i) => HostPort + i)
  return range()
}

function holdKey(port: PublishedPort): string {
  return keyOf({ type: 'port', protocol: port.protocol, address: port.hostAddress, port: port.hostPort })
}
