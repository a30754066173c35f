/** Lists in the values of options: sources of published ports, and routes. */
import {
  contains,
  familyOf,
  hostCidr,
  lengthOf,
  networkOf,
  parseCidr,
  parseIp,
  type Cidr,
  type Ip,
} from '../../native/value/ip.ts'

/** A route of every container of the network. Without `via`: a blackhole. */
export interface Route {
  readonly destination: Cidr
  readonly via?: Ip
}

/** `192.0.2.0/24,2001:db8::7`: host bits cleared, and nothing that another one contains: a set of the kernel refuses it. */
export function parseSources(text: string): readonly Cidr[] | undefined {
  const parsed = text.split(',').map(item => prefixOf(item.trim()))
  const prefixes = parsed.filter(prefix => prefix !== undefined)
  return prefixes.length === parsed.length ? outermost(prefixes) : undefined
}

/** `10.9.0.0/16 via 10.7.0.9,blackhole 10.0.0.0/8` */
export function parseRoutes(text: string): readonly Route[] | undefined {
  const parsed = text.split(',').map(item => routeOf(item.trim().split(/\s+/)))
  const routes = parsed.filter(route => route !== undefined)
  if (routes.length !== parsed.length) return undefined
  const destinations = new Set(routes.map(({ destination }) => destination))
  if (destinations.size !== routes.length) return undefined
  const holes = outermost(routes.filter(({ via }) => via === undefined).map(({ destination }) => destination))
  return routes.filter(({ destination, via }) => via !== undefined || holes.includes(destination))
}

function routeOf(words: readonly string[]): Route | undefined {
  const [first = '', second = '', third = '', ...more] = words
  if (more.length > 0) return undefined
  if (first === 'blackhole' && third === '') {
    const destination = prefixOf(second)
    return destination && { destination }
  }
  const destination = prefixOf(first)
  const via = parseIp(third)
  if (second !== 'via' || !destination || !via || familyOf(via) !== familyOf(destination)) return undefined
  // A default route is what gateways are for.
  return lengthOf(destination) === 0 ? undefined : { destination, via }
}

function prefixOf(text: string): Cidr | undefined {
  const address = parseIp(text)
  if (address !== undefined) return hostCidr(address)
  const cidr = parseCidr(text)
  return cidr && networkOf(cidr)
}

function outermost(prefixes: readonly Cidr[]): readonly Cidr[] {
  const different = [...new Set(prefixes)]
  return different.filter(one => !different.some(other => other !== one && contains(other, one)))
}
