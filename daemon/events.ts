/** Which of the kernel's events are news: somebody else changed what is wished, or a fact. */
import { Monitor } from '../native/netlink/monitor.ts'
import { watchKernel, type KernelEvent } from '../native/diag/events.ts'
import { lengthOf } from '../native/value/ip.ts'
import type { LinkResource } from '../native/kernel/resource.ts'
import type { House } from './house.ts'
import type { Settler } from './settle.ts'

export interface Sources {
  readonly house: House
  readonly settler: Settler
  /** Weft's own tables, `inet weft`, and those whose rules are facts: an accept rule of weft may stand in them. */
  readonly tables: { readonly own: readonly string[]; readonly others: readonly string[] }
  /** Port id of the socket that makes weft's own changes of nftables. */
  readonly portId: number
  /** Also told what is no news. */
  readonly onEvent?: (event: KernelEvent) => void
  /** Links that are being removed by weft itself. */
  readonly removing: () => ReadonlySet<string>
}

/** Listens until it is disposed. */
export function listen(sources: Sources): AsyncDisposable {
  const monitor = new Monitor()
  const present: Present = new Map()
  watchKernel(monitor, events => {
    for (const event of events) {
      sources.onEvent?.(event)
      const news = newsOf(sources, event, present)
      if (news) sources.settler.soon(news.why, { now: news.now })
    }
  })
  return monitor
}

export interface News {
  readonly why: string
  readonly now: boolean
}

/** Links of somebody else's that something wished stands on, as they were seen last. By name. */
export type Present = Map<string, { readonly index: number; readonly up: boolean }>

/** `present` is kept up to date. */
export function newsOf(sources: Omit<Sources, 'settler'>, event: KernelEvent, present: Present): News | undefined {
  const { house, tables, portId } = sources
  switch (event.type) {
    case 'overrun':
      return { why: 'events were lost', now: false }
    case 'nftables':
      if (event.portId === portId) return undefined
      // The rules of weft protect; they are looked at without waiting for what else happens.
      if (event.tables.some(table => tables.own.includes(table)))
        return { why: `${event.program} changed weft's rules`, now: true }
      return event.tables.some(table => tables.others.includes(table))
        ? { why: `${event.program} changed ${event.tables.join(', ')}`, now: false }
        : undefined
    case 'link':
      return linkNews(sources, event, present)
    case 'address': {
      const wished =
        event.op === 'del' && house.reconciler.some(wish => wish.type === 'address' && wish.cidr === event.cidr)
      return wished ? { why: `address ${event.cidr} was removed`, now: false } : undefined
    }
    case 'route': {
      if (lengthOf(event.destination) === 0) return { why: 'a default route changed', now: false }
      const wished = event.op === 'del' && house.reconciler.ownerOf(`route ${event.destination}`) !== undefined
      return wished ? { why: `the route to ${event.destination} was removed`, now: false } : undefined
    }
  }
}

type LinkEvent = KernelEvent & { readonly type: 'link' }

/**
 * Changes of links are mostly weft's and the engine's own, and a full comparison for each of them would be most of what
 * weft does. What matters is that one is gone, or that one of somebody else's, which weft cannot make, is back.
 */
function linkNews(sources: Omit<Sources, 'settler'>, event: LinkEvent, present: Present): News | undefined {
  const { house, removing } = sources
  const { name } = event
  // One that was renamed is not there under its old name.
  for (const [old, { index }] of present) if (index === event.index && old !== name) present.delete(old)
  const owner = house.reconciler.ownerOf(`link ${name}`)
  const wish = owner === undefined ? undefined : linkOf(house, owner, name)
  if (wish ? wish.type === 'bridge' && wish.adopted : isStoodOn(house, name)) {
    const why = track(event, present)
    // What stood on it went with it, and says so itself; an adopted bridge is a wish of its own.
    if (why !== undefined && (event.op === 'new' || wish)) return { why: `link ${name} ${why}`, now: false }
    return undefined
  }
  if (!wish || removing().has(name)) return undefined
  const isHere = wish.type !== 'child' || !wish.handed
  if (event.op === 'del') {
    const taken = !isHere && event.newNetnsId !== undefined
    return taken ? undefined : { why: `link ${name} is gone`, now: false }
  }
  const wentDown = wish.type === 'child' && isHere && wish.up !== false && !event.up
  return wentDown ? { why: `link ${name} is down`, now: false } : undefined
}

/** What is new about a link of somebody else's. */
function track({ op, name, index, up }: LinkEvent, present: Present): string | undefined {
  const before = present.get(name)
  if (op === 'del') {
    present.delete(name)
    return 'is gone'
  }
  present.set(name, { index, up })
  if (before?.index !== index) return 'appeared'
  return up && !before.up ? 'is up' : undefined
}

function linkOf(house: House, owner: string, name: string): LinkResource | undefined {
  return house.reconciler.wishOf(owner).find((wish): wish is LinkResource => 'alias' in wish && wish.name === name)
}

/** Is it the parent of a link that is wished here, or does the host answer on it for others? */
function isStoodOn(house: House, name: string): boolean {
  return house.reconciler.some(
    wish =>
      (wish.type === 'child' && !wish.handed && wish.parent === name) || (wish.type === 'proxy' && wish.link === name),
  )
}
