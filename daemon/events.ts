/** Which of the kernel's events are news: somebody else changed what is wished, or a fact. */
import { Monitor } from '../native/netlink/monitor.ts'
import { watchKernel, type KernelEvent } from '../native/diag/events.ts'
import { lengthOf } from '../native/value/ip.ts'
import type { House } from './house.ts'
import type { Settler } from './settle.ts'

export interface Sources {
  readonly house: House
  readonly settler: Settler
  /** Weft's own table, `inet weft`, and tables whose rules are facts: an accept rule of weft may stand in them. */
  readonly tables: { readonly own: string; readonly others: readonly string[] }
  /** Port id of the socket that makes weft's own changes of nftables. */
  readonly portId: number
  /** Links that are being removed by weft itself. */
  readonly removing: () => ReadonlySet<string>
}

/** Listens until it is disposed. */
export function listen(sources: Sources): AsyncDisposable {
  const monitor = new Monitor()
  watchKernel(monitor, events => {
    for (const event of events) {
      const news = newsOf(sources, event)
      if (news) sources.settler.soon(news.why, { now: news.now })
    }
  })
  return monitor
}

function newsOf(sources: Sources, event: KernelEvent): { readonly why: string; readonly now: boolean } | undefined {
  const { house, tables, portId } = sources
  switch (event.type) {
    case 'overrun':
      return { why: 'events were lost', now: false }
    case 'nftables':
      if (event.portId === portId) return undefined
      // The rules of weft protect; they are looked at without waiting for what else happens.
      if (event.tables.includes(tables.own)) return { why: `${event.program} changed weft's rules`, now: true }
      return event.tables.some(table => tables.others.includes(table))
        ? { why: `${event.program} changed ${event.tables.join(', ')}`, now: false }
        : undefined
    case 'link':
      return linkNews(sources, event)
    case 'address': {
      const wished =
        event.op === 'del' && house.reconciler.some(wish => wish.type === 'address' && wish.cidr === event.cidr)
      return wished ? { why: `address ${event.cidr} was removed`, now: false } : undefined
    }
    case 'route':
      return lengthOf(event.destination) === 0 ? { why: 'a default route changed', now: false } : undefined
  }
}

/** Changes of links are mostly weft's and the engine's own; what matters is that one is gone, or is back. */
function linkNews(
  { house, removing }: Sources,
  event: KernelEvent & { readonly type: 'link' },
): { readonly why: string; readonly now: boolean } | undefined {
  const owner = house.reconciler.ownerOf(`link ${event.name}`)
  if (owner === undefined) return undefined
  if (event.op === 'del')
    return removing().has(event.name) ? undefined : { why: `link ${event.name} is gone`, now: false }
  return event.alias === undefined ? { why: `link ${event.name} appeared`, now: false } : undefined
}
