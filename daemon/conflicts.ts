/**
 * Routes of the host that lead where a network is: mostly those of a VPN that came later. Weft chooses neither of the two,
 * so it tells.
 */
import type { KernelEvent } from '../native/diag/events.ts'
import type { LinkInfo } from '../native/rtnl/link.ts'
import { ROUTE_PROTOCOL, type RouteInfo } from '../native/rtnl/route.ts'
import { leadsEverywhere } from '../ipam/defaults.ts'
import { familyOf, overlaps, rangeOf, type Cidr } from '../native/value/ip.ts'
import type { Log } from './log.ts'

/** A subnet that is in use. */
export interface Claim {
  readonly subnet: Cidr
  /** For people: `network web`. */
  readonly owner: string
  /** Links that are not weft's, and by which the host's routes may lead into it: a parent, an adopted bridge. */
  readonly links: readonly string[]
}

export interface Conflict {
  readonly subnet: Cidr
  readonly owner: string
  readonly route: Cidr
  /** Names of the links by which it leads. */
  readonly links: readonly string[]
  readonly table: number
}

export interface ConflictSources {
  readonly claims: () => readonly Claim[]
  readonly routes: () => Promise<readonly RouteInfo[]>
  readonly links: () => Promise<readonly LinkInfo[]>
  readonly log: Log
}

/** A burst of routes is one look, and a host with very many of them spends a tenth of its time on it at most. */
const pauseMs = 500
const rest = 10
const tableNames: Readonly<Record<number, string>> = { 253: 'default', 254: 'main' }

export class RouteConflicts {
  readonly #sources: ConflictSources
  #found: readonly Conflict[] = []
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #notBefore = 0
  #stopped = false

  constructor(sources: ConflictSources) {
    this.#sources = sources
  }

  get found(): readonly Conflict[] {
    return this.#found
  }

  /** Somebody changed a route, or events were lost. */
  onEvent(event: KernelEvent): void {
    // Every link that comes or goes changes routes to link-local addresses.
    if (event.type === 'overrun' || (event.type === 'route' && !event.destination.startsWith('fe80:'))) this.#soon()
  }

  /** Rejects with KernelError when the kernel cannot be asked. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  #soon(): void {
    if (this.#timer || this.#stopped) return
    const waitMs = Math.max(pauseMs, this.#notBefore - performance.now())
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#lookAfresh().catch((cause: unknown) => {
        this.#sources.log.warn({ err: cause }, 'the routes of the host could not be read')
      })
    }, waitMs)
  }

  /** One that is under way may have read the routes before the change. */
  async #lookAfresh(): Promise<void> {
    await this.#looking?.catch(() => undefined)
    if (!this.#stopped) await this.look()
  }

  async #look(): Promise<void> {
    const { routes, links, log } = this.#sources
    const started = performance.now()
    const claims = this.#sources.claims()
    const near = claims.length === 0 ? [] : routesInto(claims, await routes())
    const found = near.length === 0 ? [] : conflictsOf(claims, near, await links())
    const [before, after] = [new Set(this.#found.map(textOf)), new Set(found.map(textOf))]
    for (const one of found) {
      if (!before.has(textOf(one))) log.warn(one, 'a route of the host leads where a network is')
    }
    for (const one of this.#found) if (!after.has(textOf(one))) log.info(one, 'the conflict with a route has ended')
    this.#found = found
    this.#notBefore = performance.now() + rest * (performance.now() - started)
  }
}

/** What an operator reads. */
export function textOf({ subnet, owner, route, links, table }: Conflict): string {
  const by = links.length === 0 ? '' : ` by ${links.join(', ')}`
  const where = `${route}${by}, table ${tableNames[table] ?? table}`
  return `${owner}: its subnet ${subnet} meets the route ${where}: one of the two is not reached; remove the route, or make the network again with another --subnet`
}

/** Routes by weft's own links, and by those of the network itself, are no conflict. */
export function conflictsOf(
  claims: readonly Claim[],
  routes: readonly RouteInfo[],
  links: readonly LinkInfo[],
): readonly Conflict[] {
  const byIndex = new Map(links.map(link => [link.index, link]))
  return claims.flatMap(({ subnet, owner, links: own }) =>
    routes
      .filter(({ destination, protocol }) => protocol !== ROUTE_PROTOCOL && meets(subnet, destination))
      .flatMap(({ destination, table, outInterfaces }) => {
        const ways = outInterfaces.map(index => byIndex.get(index))
        const isOwn = (link: LinkInfo | undefined): boolean =>
          link !== undefined && (own.includes(link.name) || (link.alias?.startsWith('weft ') ?? false))
        if (ways.length > 0 && ways.every(isOwn)) return []
        return [{ subnet, owner, route: destination, links: ways.flatMap(link => link?.name ?? []), table }]
      }),
  )
}

/** Those that lead where any of the claims is. */
function routesInto(claims: readonly Claim[], routes: readonly RouteInfo[]): readonly RouteInfo[] {
  const bounds = claims.map(({ subnet }) => ({ family: familyOf(subnet), ...rangeOf(subnet) }))
  return routes.filter(({ destination }) => {
    const [family, { first, last }] = [familyOf(destination), rangeOf(destination)]
    return bounds.some(claim => claim.family === family && claim.first <= last && first <= claim.last)
  })
}

function meets(subnet: Cidr, destination: Cidr): boolean {
  return !leadsEverywhere(subnet) && !leadsEverywhere(destination) && overlaps(subnet, destination)
}
