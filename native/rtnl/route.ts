/** Routes. Source: include/uapi/linux/rtnetlink.h, struct rtmsg and RTA_*. */
import { attrs, ip, message, struct, u32, u8, type Field, type Infer } from '../netlink/codec.ts'
import { flags } from '../netlink/message.ts'
import { request, type Request } from '../netlink/socket.ts'
import { addressOf, cidrOf, familyOf, ipFromBigint, lengthOf, type Cidr, type Ip } from '../value/ip.ts'

export const rtmsg = struct(12, {
  family: [0, u8],
  destinationLength: [1, u8],
  sourceLength: [2, u8],
  tos: [3, u8],
  /** The low byte; the attribute has all of it. */
  table: [4, u8],
  protocol: [5, u8],
  scope: [6, u8],
  type: [7, u8],
  flags: [8, u32],
})
const RTN_UNICAST = 1
const RT_SCOPE_LINK = 253
const AF_INET6 = 10
const families = { 4: 2, 6: AF_INET6 } as const
export const RT_TABLE_MAIN = 254
/** rtm_protocol of routes that weft adds; nobody in iproute2's list has it. */
export const ROUTE_PROTOCOL = 0x57

/** RTA_MULTIPATH, read only: the out-interfaces. Each struct rtnexthop begins with its length, attributes included. */
const nextHops: Field<readonly number[]> = {
  write() {
    throw new TypeError('multipath routes are only read')
  },
  read(view, at, length) {
    const headerSize = 8
    const indexes: number[] = []
    for (let next = at; next + headerSize <= at + length;) {
      const size = view.getUint16(next, true)
      if (size < headerSize) throw new RangeError('a next hop without end')
      indexes.push(view.getInt32(next + 4, true))
      next += (size + 3) & ~3
    }
    return indexes
  },
}

export const routeAttributes = attrs({
  destination: [1, ip],
  outInterface: [4, u32],
  gateway: [5, ip],
  priority: [6, u32],
  preferredSource: [7, ip],
  nextHops: [9, nextHops],
  table: [15, u32],
})
export type RouteAttributes = Infer<typeof routeAttributes>

export const newRoute = message({ name: 'newroute', type: 24, header: rtmsg, attrs: routeAttributes })
export const delRoute = message({ name: 'delroute', type: 25, header: rtmsg, attrs: routeAttributes })
export const getRoute = message({ name: 'getroute', type: 26, reply: 24, header: rtmsg, attrs: routeAttributes })

/** A unicast route of any table. */
export interface RouteInfo {
  /** `0.0.0.0/0` and `::/0` are default routes. */
  readonly destination: Cidr
  readonly table: number
  /** None for routes without a device. */
  readonly outInterfaces: readonly number[]
  readonly gateway: Ip | undefined
  /** Who made it: 2 the kernel, 3 boot, 4 static, ... */
  readonly protocol: number
  /** Only where the route says it. */
  readonly source?: Ip
}

/** undefined: not a unicast route. */
export function routeInfoOf(header: Infer<typeof rtmsg>, attributes: RouteAttributes): RouteInfo | undefined {
  if (header.type !== RTN_UNICAST) return undefined
  const destination = attributes.destination ?? ipFromBigint(0n, header.family === AF_INET6 ? 6 : 4)
  const { outInterface, preferredSource: source } = attributes
  return {
    destination: cidrOf(destination, header.destinationLength),
    table: attributes.table ?? header.table,
    outInterfaces: outInterface === undefined ? (attributes.nextHops ?? []) : [outInterface],
    gateway: attributes.gateway,
    protocol: header.protocol,
    ...(source === undefined ? {} : { source }),
  }
}

/** By a link and without gateway, in the main table. */
export interface RouteSpec {
  /** Host bits cleared. */
  readonly destination: Cidr
  /** Name of the link, for errors. */
  readonly link: string
  readonly source?: Ip | undefined
}

/** `replace`: whatever leads there now. */
export function setRoute(op: 'add' | 'replace', spec: RouteSpec, linkIndex: number): Request {
  const about = { ...aboutRoute(op, spec), flags: flags.create | (op === 'add' ? flags.excl : flags.replace) }
  return request(newRoute, routeHeader(spec), routeTo(spec, linkIndex), about)
}

/** Only the one that weft made. */
export function removeRoute(spec: RouteSpec, linkIndex: number): Request {
  return request(
    delRoute,
    routeHeader(spec),
    routeTo({ ...spec, source: undefined }, linkIndex),
    aboutRoute('remove', spec),
  )
}

export function aboutRoute(
  op: string,
  { destination, link }: RouteSpec,
): { readonly op: string; readonly object: string } {
  return { op, object: `route to ${destination} on ${link}` }
}

function routeHeader({ destination }: RouteSpec): Readonly<Record<string, number>> {
  const family = familyOf(destination)
  return {
    family: families[family],
    destinationLength: lengthOf(destination),
    table: RT_TABLE_MAIN,
    protocol: ROUTE_PROTOCOL,
    // IPv6 knows no scopes of routes.
    scope: family === 4 ? RT_SCOPE_LINK : 0,
    type: RTN_UNICAST,
  }
}

function routeTo({ destination, source }: RouteSpec, linkIndex: number): RouteAttributes {
  return { destination: addressOf(destination), preferredSource: source, outInterface: linkIndex }
}
