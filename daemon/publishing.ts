/** Which addresses of the host serve a published port, and how they lead to the container. */
import type { Endpoint, Publishing } from '../drivers/driver.ts'
import type { Protocol } from '../native/kernel/resource.ts'
import { familyOf, isUnspecified, parseIp, type Family, type Ip } from '../native/value/ip.ts'
import { UserError } from '../plugin-api/answer.ts'
import type { PortBinding } from '../plugin-api/options.ts'
import type { House } from './house.ts'

export function protocolOf({ Proto, Port }: Pick<PortBinding, 'Proto' | 'Port'>): Protocol {
  const name = ({ 6: 'tcp', 17: 'udp', 132: 'sctp' } as const)[Proto]
  if (name) return name
  throw new UserError(
    'PROTOCOL_UNSUPPORTED',
    `publishing port ${Port} of IP protocol ${Proto} is not supported: tcp, udp and sctp are`,
  )
}

export interface Place {
  readonly house: House
  readonly endpoint: Endpoint
  readonly served: Publishing
  /** Families in which another endpoint of the container publishes its ports. */
  readonly elsewhere: readonly Family[]
  /** Families in which another one is the container's gateway, if this endpoint has no address in them. */
  readonly unrelayed: readonly Family[]
}

/** Addresses of the host that shall lead to the container; none where it is reached by its own address only. */
export function hostAddresses(place: Place, binding: PortBinding, protocol: Protocol): readonly Ip[] {
  const { house, served } = place
  const named = namedAddress(served, binding)
  if (named === undefined) {
    return ([4, 6] as const)
      .filter(family => {
        const way = isElsewhere(place, family) ? undefined : wayTo(place, family, protocol)
        return way === 'rule' || (way === 'relay' && hasFamily(house, family))
      })
      .map(family => (family === 4 ? '0.0.0.0' : '::') as Ip)
  }
  const family = familyOf(named)
  if (isElsewhere(place, family)) return []
  const way = wayTo(place, family, protocol)
  if (way !== undefined) return [named]
  if (served.direct.includes(family)) return []
  throw new UserError(
    'FAMILY_UNSUPPORTED',
    `port ${binding.Port} of ${protocol} cannot be published on ${named}: the container has no IPv${family} address` +
      (protocol === 'sctp' ? ', and sctp is not relayed between the families' : ''),
  )
}

/** The host address that a binding names, or its network for those that name none. Undefined: every one. */
export function namedAddress({ address }: Publishing, { HostIP }: PortBinding): Ip | undefined {
  if (HostIP !== undefined) return addressIn(HostIP)
  return address === undefined || isUnspecified(address) ? undefined : address
}

function isElsewhere({ elsewhere, endpoint, unrelayed }: Place, family: Family): boolean {
  const isOwn = endpoint.addresses.some(address => familyOf(address) === family)
  return elsewhere.includes(family) || (unrelayed.includes(family) && !isOwn)
}

/** How the host's addresses of a family lead to the container: translated, or relayed to its address of the other one. */
function wayTo({ endpoint, served }: Place, family: Family, protocol: Protocol): 'rule' | 'relay' | undefined {
  const own = endpoint.addresses.map(familyOf)
  if (own.includes(family)) return served.host.includes(family) ? 'rule' : undefined
  const other = own.some(one => served.host.includes(one))
  return other && protocol !== 'sctp' ? 'relay' : undefined
}

/** Linux may run without IPv6; IPv4 it always has. */
function hasFamily({ facts }: House, family: Family): boolean {
  return family === 4 || facts.loopback6
}

function addressIn(text: string): Ip {
  const address = parseIp(text)
  if (!address) throw new UserError('BAD_REQUEST', `HostIP: ${text} is not an address`)
  return address
}
