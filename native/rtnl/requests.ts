/** Wishes about links and addresses as messages. */
import { flags } from '../netlink/message.ts'
import { request, type Request } from '../netlink/socket.ts'
import { addressOf, familyOf, lengthOf, type Cidr } from '../value/ip.ts'
import type { Mac } from '../value/mac.ts'
import { delAddress, IFA_F_NODAD, newAddress } from './addr.ts'
import { BRIDGED_GROUP } from './bridge.ts'
import { IFF_UP } from './ifinfomsg.ts'
import { delLink, getLink, newLink, setLink, SKIP_STATS, type LinkAttributes } from './link.ts'

/** IFA_PROTO of addresses that weft adds. */
export const ADDRESS_PROTOCOL = 0x57
const families = { 4: 2, 6: 10 } as const
const createOnly = flags.create | flags.excl
const up = { flags: IFF_UP, change: IFF_UP }

/** Without multicast snooping, see docs/kernel.md. */
export interface BridgeSpec {
  readonly name: string
  readonly mac?: Mac | undefined
  /** Without it the bridge follows its ports. */
  readonly mtu?: number | undefined
  readonly alias: string
}

/** A link that leads nowhere. */
export interface DummySpec {
  readonly name: string
  readonly mac?: Mac | undefined
  readonly mtu?: number | undefined
  readonly alias: string
}

/**
 * Kinds that drop what they are given, and have a carrier without anybody at the other end. ifb is meant for something
 * else, but does just that with frames that nobody redirected to it.
 */
export const dummyKinds = ['dummy', 'ifb'] as const
export type DummyKind = (typeof dummyKinds)[number]

/** What comes for the link-local group is bridged: `BRIDGED_GROUP`. */
export interface VethSpec {
  readonly name: string
  readonly mac: Mac
  readonly mtu?: number | undefined
  /** Name of the bridge. */
  readonly master: string
  readonly isolated: boolean
  readonly hairpin: boolean
  readonly alias: string
  readonly peer: { readonly name: string; readonly mac: Mac; readonly mtu?: number | undefined }
}

export interface LinkChange {
  readonly mtu?: number | undefined
  readonly mac?: Mac | undefined
  readonly alias?: string | undefined
  readonly up?: boolean | undefined
  /** Name of the bridge. */
  readonly master?: string | undefined
  readonly isolated?: boolean | undefined
  readonly hairpin?: boolean | undefined
  readonly groupForwardMask?: number | undefined
  /** Of a bridge; the three before it are of a port. */
  readonly mcastSnooping?: boolean | undefined
}

/** Birth, and what cannot be given at birth. */
export type Creation = readonly [birth: Request, rest: Request]

/** What a bridge is born with. */
const defaultMtu = 1500

export function createBridge({ name, mac, mtu, alias }: BridgeSpec): Creation {
  const about = { op: 'create', object: `bridge ${name}` }
  // Only a *changed* MTU stays when a port with a smaller one joins.
  const other = mtu === defaultMtu ? defaultMtu + 1 : undefined
  const birth = { ifname: name, address: mac, mtu: other, linkinfo: manners(false) }
  return [
    request(newLink, up, birth, { ...about, flags: createOnly }),
    request(setLink, {}, { ifname: name, mtu, alias }, about),
  ]
}

export function createDummy({ name: ifname, mac: address, mtu, alias }: DummySpec, kind: DummyKind): Creation {
  const about = { op: 'create', object: `${kind} ${ifname}` }
  return [
    request(newLink, up, { ifname, address, mtu, linkinfo: { kind } }, { ...about, flags: createOnly }),
    request(setLink, {}, { ifname, alias }, about),
  ]
}

/** Of a kind and nothing else: to learn whether the kernel has the kind. */
export function birthOf(kind: string, name: string): Request {
  const about = { op: 'create', object: `${kind} ${name}`, flags: createOnly }
  return request(newLink, {}, { ifname: name, linkinfo: { kind } }, about)
}

export function createVeth(spec: VethSpec, masterIndex: number): Creation {
  const about = { op: 'create', object: `veth ${spec.name}` }
  const { name: ifname, mac: address, mtu, alias } = spec
  const peer = { header: {}, attrs: { ifname: spec.peer.name, address: spec.peer.mac, mtu: spec.peer.mtu } }
  const birth = { ifname, address, mtu, master: masterIndex, linkinfo: { kind: 'veth', data: { peer } } }
  return [
    request(newLink, up, birth, { ...about, flags: createOnly }),
    request(newLink, {}, { ifname, alias, linkinfo: port({ ...spec, groupForwardMask: BRIDGED_GROUP }) }, about),
  ]
}

export function changeLink(name: string, change: LinkChange, masterIndex: number | undefined): readonly Request[] {
  const about = { op: 'change', object: `link ${name}` }
  const { mtu, mac: address, alias, mcastSnooping } = change
  const header = change.up === undefined ? {} : { flags: change.up ? IFF_UP : 0, change: IFF_UP }
  const first = request(setLink, header, { ifname: name, mtu, address, alias, master: masterIndex }, about)
  const asPort = port(change)
  const linkinfo = mcastSnooping === undefined ? asPort : manners(mcastSnooping)
  return linkinfo ? [first, request(newLink, {}, { ifname: name, linkinfo }, about)] : [first]
}

type PortChange = Pick<LinkChange, 'isolated' | 'hairpin' | 'groupForwardMask'>

/** undefined: nothing of it is to be changed. */
function port({ isolated, hairpin, groupForwardMask }: PortChange): LinkAttributes['linkinfo'] {
  const slaveData = { hairpin, groupForwardMask, isolated }
  return Object.values(slaveData).some(value => value !== undefined) ? { slaveKind: 'bridge', slaveData } : undefined
}

function manners(mcastSnooping: boolean): LinkAttributes['linkinfo'] {
  return { kind: 'bridge', data: { mcastSnooping } }
}

export function readLink(name: string): Request {
  return request(getLink, {}, { ifname: name, extMask: SKIP_STATS }, { op: 'read', object: `link ${name}` })
}

/** For the lane of removals. */
export const removal = {
  setGroup: (name: string, group: number): Request =>
    request(setLink, {}, { ifname: name, group }, { op: 'remove', object: `link ${name}` }),
  removeGroup: (group: number): Request =>
    request(delLink, {}, { group }, { op: 'remove', object: `links of group ${group}` }),
  remove: (name: string): Request => request(delLink, {}, { ifname: name }, { op: 'remove', object: `link ${name}` }),
}

/** Usable at once, without the search for a duplicate. */
export function addAddress(link: string, index: number, cidr: Cidr): Request {
  const about = { op: 'add', object: `address ${cidr} on ${link}`, flags: createOnly }
  const local = addressOf(cidr)
  const noSearch = familyOf(cidr) === 6 ? IFA_F_NODAD : undefined
  const attributes = { local, address: local, flags: noSearch, protocol: ADDRESS_PROTOCOL }
  return request(newAddress, addressHeader(cidr, index), attributes, about)
}

export function removeAddress(link: string, index: number, cidr: Cidr): Request {
  const about = { op: 'remove', object: `address ${cidr} on ${link}` }
  const local = addressOf(cidr)
  return request(delAddress, addressHeader(cidr, index), { local, address: local }, about)
}

function addressHeader(cidr: Cidr, index: number): Readonly<Record<'family' | 'prefixLength' | 'index', number>> {
  return { family: families[familyOf(cidr)], prefixLength: lengthOf(cidr), index }
}
