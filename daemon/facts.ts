/** What is true of this machine, read from the kernel. Nothing here changes anything. */
import { readFileSync, statfsSync } from 'node:fs'
import { ownSwitches } from '../drivers/bridge/index.ts'
import { proxySwitch } from '../drivers/child/host.ts'
import type { Facts, LinkFact } from '../drivers/driver.ts'
import { leadsEverywhere } from '../ipam/defaults.ts'
import { KernelError } from '../native/netlink/errors.ts'
import type { LinkKinds } from '../native/kernel/features.ts'
import type { IfName, Sysctl } from '../native/kernel/resource.ts'
import type { Nft } from '../native/nft/batch.ts'
import type { ForeignFilter } from '../native/nft/read.ts'
import type { AddressInfo } from '../native/rtnl/addr.ts'
import { ownBridges, zoneLinks } from '../native/nft/firewalld.ts'
import { legacyFilters } from '../native/nft/legacy.ts'
import type { LinkInfo } from '../native/rtnl/link.ts'
import { RT_TABLE_MAIN, type RouteInfo } from '../native/rtnl/route.ts'
import { ADDRESS_PROTOCOL, type Rtnl } from '../native/rtnl/rtnl.ts'
import { addressOf, familyOf, lengthOf, type Cidr, type Family } from '../native/value/ip.ts'
import type { Config } from './config.ts'

/** Source: include/uapi/linux/magic.h */
const NSFS_MAGIC = 0x6e736673

export interface Sources {
  readonly rtnl: Rtnl
  readonly nft: Nft
  readonly given: GivenFacts
  readonly linkKinds: LinkKinds
  /** As they were known before, for what cannot be read now. */
  readonly before: Pick<Facts, 'acceptHooks'> | undefined
  /** Part of the facts cannot be known. */
  readonly onDoubt: (cause: KernelError) => void
}

/** What the configuration says. */
export type GivenFacts = Pick<Facts, 'marks' | 'directRouting' | 'publishAddress'>

export function givenFacts(config: Config): GivenFacts {
  const { markAllowed: allowed, markHairpin: hairpin, acceptFwmark, allowDirectRouting, publishAddress } = config
  return {
    marks: { allowed, hairpin, acceptValue: acceptFwmark.value, acceptMask: acceptFwmark.mask },
    directRouting: allowDirectRouting,
    ...(publishAddress === undefined ? {} : { publishAddress }),
  }
}

export async function gatherFacts(sources: Sources): Promise<Omit<Facts, 'forwarded'>> {
  const { rtnl, nft, given, linkKinds } = sources
  const [links, routes, addresses, filters, oldHooks, kinds] = await Promise.all([
    rtnl.links(),
    rtnl.routes(),
    rtnl.addresses(),
    nft.foreignFilters(),
    legacyHooks(sources),
    linkKinds.read(),
  ])
  const foreign = links.filter(({ kind, alias }) => kind === 'bridge' && !alias?.startsWith('weft '))
  return {
    ...given,
    links: linkFacts(links, addresses),
    childKinds: (['macvlan', 'ipvlan', 'vlan'] as const).filter(kind => kinds.has(kind)),
    loopback6: addresses.some(({ cidr }) => cidr === '::1/128'),
    foreignBridges: foreign.map(({ name }) => name as IfName),
    foreignSwitches: [
      ...foreign.flatMap(({ name }) => ownSwitches(name as IfName)),
      ...links.filter(mayBeParent).map(({ name }) => ({ key: proxySwitch(name as IfName), value: '1' })),
    ]
      .filter(isSet)
      .map(({ key }) => key),
    uplinks: uplinksOf(foreign, links, routes),
    foreignFamilies: [...new Set(addresses.filter(isRouted(foreign)).map(({ cidr }) => familyOf(cidr)))],
    acceptHooks: [...hooksOf(filters, 'nft'), ...oldHooks, ...(await zoneHooks(links))],
  }
}

function linkFacts(links: readonly LinkInfo[], addresses: readonly AddressInfo[]): readonly LinkFact[] {
  const bridges = new Map(links.flatMap(({ index, kind, name }) => (kind === 'bridge' ? [[index, name]] : [])))
  const byLink = Map.groupBy(addresses, ({ linkIndex }) => linkIndex)
  const names = new Map(links.map(({ index, name }) => [index, name as IfName]))
  return links.map(({ index, name, kind, mac, mtu, up, alias, master, stacked, peerIndex, peerNetnsId }): LinkFact => {
    const bridge = bridges.get(master ?? 0)
    const parent = peerNetnsId === undefined ? names.get(peerIndex ?? 0) : undefined
    return {
      name: name as IfName,
      ...(kind === undefined ? {} : { kind }),
      mac,
      mtu,
      up,
      own: alias?.startsWith('weft ') ?? false,
      ...(bridge === undefined ? {} : { bridge: bridge as IfName }),
      ...(stacked?.kind === 'ipvlan' && parent && { ipvlan: { mode: stacked.mode, flag: stacked.flag, parent } }),
      addresses: (byLink.get(index) ?? []).map(({ cidr }) => addressOf(cidr)),
    }
  })
}

/** A bridge of somebody else's with an address that is neither link-local nor weft's: this host routes its network. */
function isRouted(bridges: readonly LinkInfo[]): (address: AddressInfo) => boolean {
  const indexes = new Set(bridges.map(({ index }) => index))
  return ({ linkIndex, cidr, protocol }) =>
    indexes.has(linkIndex) && !/^fe[89ab]/.test(cidr) && protocol !== ADDRESS_PROTOCOL
}

type Hooks = Facts['acceptHooks']

function hooksOf(filters: readonly ForeignFilter[], backend: 'nft' | 'legacy'): Hooks {
  return filters.flatMap(({ family, drops, dockerUser }) =>
    // Both: engine 20.10 takes the jump to DOCKER-USER out and puts it in again with every network that it makes, and a
    // rule of somebody may leave DOCKER-USER before its end.
    [dockerUser && 'DOCKER-USER', drops && 'FORWARD'].flatMap(chain => (chain ? [{ family, backend, chain }] : [])),
  )
}

/** All bridges that weft named, and those that a user did: adopted ones are in the zone that their owner chose. */
async function zoneHooks(links: readonly LinkInfo[]): Promise<Hooks> {
  if (!(await zoneLinks())) return []
  const own = links.filter(({ kind, alias }) => kind === 'bridge' && alias?.startsWith('weft network '))
  const named = own.map(({ name }) => name).filter(name => !name.startsWith(ownBridges.slice(0, -1)))
  return [ownBridges, ...named].map(chain => ({ family: 'inet', backend: 'firewalld', chain }))
}

async function legacyHooks({ before, onDoubt }: Sources): Promise<Hooks> {
  try {
    return hooksOf(await legacyFilters(), 'legacy')
  } catch (cause) {
    if (!(cause instanceof KernelError)) throw cause
    onDoubt(cause)
    // No program here can read the old tables: made by a container, perhaps. Any other failure passes.
    return cause.errno === 'ENOENT' ? [] : (before?.acceptHooks ?? []).filter(({ backend }) => backend === 'legacy')
  }
}

/** Ports of bridges cannot, and they are many. */
function mayBeParent({ master, alias }: LinkInfo): boolean {
  return master === undefined && !alias?.startsWith('weft ')
}

function isSet({ key, value }: Pick<Sysctl, 'key' | 'value'>): boolean {
  try {
    return readFileSync(`/proc/sys/${key}`, 'utf8').trim() === value
  } catch (cause) {
    // The bridge has gone since it was listed.
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
    return false
  }
}

/** Subnets that routes of this host lead to: automatic pools keep clear of them. */
export function routedSubnets(routes: readonly RouteInfo[]): readonly Cidr[] {
  return routes.map(({ destination }) => destination).filter(destination => !leadsEverywhere(destination))
}

/**
 * Bridges that lead out: by the host's own default route, or because a real link is their port. The rest are networks of
 * others, also those through which another table leads what its rules choose: a container that is a VPN's end, say.
 */
export function uplinksOf(
  bridges: readonly Pick<LinkInfo, 'index' | 'name'>[],
  links: readonly Pick<LinkInfo, 'kind' | 'master'>[],
  routes: readonly Pick<RouteInfo, 'destination' | 'table' | 'outInterfaces'>[],
): readonly IfName[] {
  const ways = new Set(
    routes
      .filter(({ destination, table }) => table === RT_TABLE_MAIN && lengthOf(destination) === 0)
      .flatMap(({ outInterfaces }) => outInterfaces),
  )
  const wired = new Set(links.filter(({ kind }) => isReal(kind)).map(({ master }) => master))
  return bridges.filter(({ index }) => ways.has(index) || wired.has(index)).map(({ name }) => name as IfName)
}

/** Hardware has no kind, but for the ports of a switch; the others are made of it. */
function isReal(kind: string | undefined): boolean {
  return kind === undefined || ['dsa', 'bond', 'team', 'vlan'].includes(kind)
}

/** Does a namespace stand at the path? An engine leaves an empty file there for a moment, before and after. */
export function hasNamespace(path: string): boolean {
  try {
    return statfsSync(path).type === NSFS_MAGIC
  } catch (cause) {
    if (!['ENOENT', 'ENOTDIR', 'EACCES'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause
    return false
  }
}

/** Of this boot; endpoints of another one have no links any more. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}

export function forwards(family: Family): boolean {
  const key = family === 4 ? 'net/ipv4/ip_forward' : 'net/ipv6/conf/all/forwarding'
  return readFileSync(`/proc/sys/${key}`, 'utf8').trim() !== '0'
}
