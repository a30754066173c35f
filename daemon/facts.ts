/** What is true of this machine, read from the kernel. Nothing here changes anything. */
import { readFileSync } from 'node:fs'
import { ownSwitches } from '../drivers/bridge/index.ts'
import type { Facts, Marks } from '../drivers/driver.ts'
import { KernelError } from '../native/netlink/errors.ts'
import type { IfName, Sysctl } from '../native/kernel/resource.ts'
import type { Nft } from '../native/nft/batch.ts'
import { legacyFilters } from '../native/nft/legacy.ts'
import type { LinkInfo } from '../native/rtnl/link.ts'
import type { RouteInfo } from '../native/rtnl/route.ts'
import type { Rtnl } from '../native/rtnl/rtnl.ts'
import { lengthOf, type Cidr, type Family } from '../native/value/ip.ts'

export interface Sources {
  readonly rtnl: Rtnl
  readonly nft: Nft
  readonly marks: Marks
  /** Part of the facts cannot be known. */
  readonly onDoubt: (cause: KernelError) => void
}

export async function gatherFacts({ rtnl, nft, marks, onDoubt }: Sources): Promise<Omit<Facts, 'forwarded'>> {
  const [links, routes, filters, legacy] = await Promise.all([
    rtnl.links(),
    rtnl.routes(),
    nft.foreignFilters(),
    legacyFilters().catch((cause: unknown) => {
      // The old tables are in use, but nothing on this host can read them: made by a container, perhaps.
      if (!(cause instanceof KernelError)) throw cause
      onDoubt(cause)
      return []
    }),
  ])
  const foreign = links.filter(({ kind, alias }) => kind === 'bridge' && !alias?.startsWith('weft '))
  return {
    marks,
    foreignBridges: foreign.map(({ name }) => name as IfName),
    foreignSwitches: foreign.flatMap(({ name }) =>
      ownSwitches(name as IfName)
        .filter(isSet)
        .map(({ key }) => key),
    ),
    uplinks: uplinksOf(foreign, routes),
    acceptHooks: [
      ...filters.map(filter => ({ ...filter, backend: 'nft' as const })),
      ...legacy.map(filter => ({ ...filter, backend: 'legacy' as const })),
    ].flatMap(({ family, backend, drops, dockerUser }) =>
      // Both: engine 20.10 takes the jump to DOCKER-USER out and puts it in again with every network that it makes.
      [dockerUser && 'DOCKER-USER', drops && 'FORWARD'].flatMap(chain => (chain ? [{ family, backend, chain }] : [])),
    ),
  }
}

function isSet({ key, value }: Sysctl): boolean {
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
  return routes.map(({ destination }) => destination).filter(destination => lengthOf(destination) > 0)
}

function uplinksOf(bridges: readonly LinkInfo[], routes: readonly RouteInfo[]): readonly IfName[] {
  const ways = new Set(
    routes.filter(({ destination }) => lengthOf(destination) === 0).flatMap(({ outInterfaces }) => outInterfaces),
  )
  return bridges.filter(({ index }) => ways.has(index)).map(({ name }) => name as IfName)
}

/** Of this boot; endpoints of another one have no links any more. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}

export function forwards(family: Family): boolean {
  const key = family === 4 ? 'net/ipv4/ip_forward' : 'net/ipv6/conf/all/forwarding'
  return readFileSync(`/proc/sys/${key}`, 'utf8').trim() !== '0'
}
