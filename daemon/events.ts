/** Which of the kernel's events are news: somebody else changed what is wished, or a fact. */
import { Monitor } from '../native/netlink/monitor.ts'
import { watchKernel, type KernelEvent } from '../native/diag/events.ts'
import { lengthOf } from '../native/value/ip.ts'
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
  const present = new Set<string>()
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

/** `present`: bridges of somebody else's that are known to be there; kept up to date. */
export function newsOf(sources: Omit<Sources, 'settler'>, event: KernelEvent, present: Set<string>): News | undefined {
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
    case 'route':
      return lengthOf(event.destination) === 0 ? { why: 'a default route changed', now: false } : undefined
  }
}

/**
 * Changes of links are mostly weft's and the engine's own, and a full comparison for each of them would be most of what
 * weft does. What matters is that one is gone, or that a bridge of somebody else's, which weft cannot make, is back.
 */
function linkNews(
  { house, removing }: Omit<Sources, 'settler'>,
  event: KernelEvent & { readonly type: 'link' },
  present: Set<string>,
): News | undefined {
  const owner = house.reconciler.ownerOf(`link ${event.name}`)
  if (owner === undefined) return undefined
  if (event.op === 'del') {
    present.delete(event.name)
    return removing().has(event.name) ? undefined : { why: `link ${event.name} is gone`, now: false }
  }
  if (present.has(event.name) || !isAdopted(house, owner, event.name)) return undefined
  present.add(event.name)
  return { why: `link ${event.name} appeared`, now: false }
}

function isAdopted(house: House, owner: string, name: string): boolean {
  return house.reconciler.wishOf(owner).some(wish => wish.type === 'bridge' && wish.adopted && wish.name === name)
}
