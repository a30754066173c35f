/** What changes in a namespace, whoever changes it: links, addresses, routes, nftables. */
import { openNetlink, protocols } from '../netlink/channel.ts'
import { attrs, be32, parse, str, type Frame } from '../netlink/codec.ts'
import { message } from '../netlink/message.ts'
import type { Monitor } from '../netlink/monitor.ts'
import { nfgenmsg } from '../netlink/nfnetlink.ts'
import { addressInfoOf, delAddress, newAddress, type AddressInfo } from '../rtnl/addr.ts'
import { IFF_UP } from '../rtnl/ifinfomsg.ts'
import { delLink, newLink } from '../rtnl/link.ts'
import { delRoute, newRoute, routeInfoOf, type RouteInfo } from '../rtnl/route.ts'

export type KernelEvent =
  | {
      readonly type: 'link'
      /** `new` also means changed. */
      readonly op: 'new' | 'del'
      readonly index: number
      readonly name: string
      readonly alias: string | undefined
      /** Switched on; it may have no carrier. */
      readonly up: boolean
      /** With `del`: the link was not deleted but moved to another namespace. */
      readonly newNetnsId: number | undefined
    }
  | ({ readonly type: 'address'; readonly op: 'new' | 'del' } & AddressInfo)
  | ({ readonly type: 'route'; readonly op: 'new' | 'del' } & RouteInfo)
  | {
      /** One transaction. */
      readonly type: 'nftables'
      /** What was touched: `inet weft`. Empty when only the number of the generation is known. */
      readonly tables: readonly string[]
      readonly generation: number
      /** Of the socket that sent it: compare with `portId` of ours. */
      readonly portId: number
      /** Name of the program. */
      readonly program: string
    }
  /** Events were lost: everything has to be looked at again. */
  | { readonly type: 'overrun' }

const AF_BRIDGE = 7
/** One bit per RTNLGRP_*: LINK 1, IPV4_IFADDR 5, IPV4_ROUTE 7, IPV6_IFADDR 9, IPV6_ROUTE 11. */
const routeGroups = (1 << 0) | (1 << 4) | (1 << 6) | (1 << 8) | (1 << 10)
/** NFNLGRP_NFTABLES, 7. */
const nftablesGroups = 1 << 6

/** Source: include/uapi/linux/netfilter/nf_tables.h. The table is attribute 1 of every object's messages. */
const nftObject = message({ name: 'nft', type: 0, header: nfgenmsg, attrs: attrs({ table: [1, str] }) })
const nftGeneration = message({
  name: 'newgen',
  type: (10 << 8) | 15,
  header: nfgenmsg,
  attrs: attrs({ id: [1, be32], program: [3, str] }),
})
const familyNames: Readonly<Record<number, string>> = {
  1: 'inet',
  2: 'ip',
  3: 'arp',
  5: 'netdev',
  7: 'bridge',
  10: 'ip6',
}

/** Listens in the namespace of the calling thread until the monitor ends. */
export function watchKernel(monitor: Monitor, onEvents: (events: readonly KernelEvent[]) => void): void {
  const onOverrun = (): void => {
    onEvents([{ type: 'overrun' }])
  }
  const listen = (read: (frames: readonly Frame[]) => readonly KernelEvent[]): Parameters<Monitor['add']>[1] => ({
    onOverrun,
    onFrames(frames) {
      const events = read(frames)
      if (events.length > 0) onEvents(events)
    },
  })
  monitor.add(openNetlink(protocols.route, { groups: routeGroups }), listen(routeEvents))
  monitor.add(openNetlink(protocols.netfilter, { groups: nftablesGroups }), listen(nftablesReader()))
}

export function routeEvents(frames: readonly Frame[]): readonly KernelEvent[] {
  return frames.flatMap((frame): readonly KernelEvent[] => {
    switch (frame.type) {
      case newLink.type:
      case delLink.type: {
        const { header, attrs: link } = parse(newLink, frame.payload)
        const op = frame.type === newLink.type ? 'new' : 'del'
        // A bridge says with these two that it lost a port.
        if (op === 'del' && header.family === AF_BRIDGE) return []
        const { ifname: name = '', alias, newNetnsId } = link
        const up = (header.flags & IFF_UP) !== 0
        return [{ type: 'link', op, index: header.index, name, alias, up, newNetnsId }]
      }
      case newAddress.type:
      case delAddress.type: {
        const { header, attrs: address } = parse(newAddress, frame.payload)
        const info = addressInfoOf(header, address)
        return info ? [{ type: 'address', op: frame.type === newAddress.type ? 'new' : 'del', ...info }] : []
      }
      case newRoute.type:
      case delRoute.type: {
        const { header, attrs: route } = parse(newRoute, frame.payload)
        const info = routeInfoOf(header, route)
        return info ? [{ type: 'route', op: frame.type === newRoute.type ? 'new' : 'del', ...info }] : []
      }
      default:
        return []
    }
  })
}

/** The messages of a transaction come before its generation, perhaps in several looks. */
export function nftablesReader(): (frames: readonly Frame[]) => readonly KernelEvent[] {
  const touched = new Set<string>()
  return frames =>
    frames.flatMap((frame): readonly KernelEvent[] => {
      if (frame.type !== nftGeneration.type) {
        const { header, attrs: object } = parse(nftObject, frame.payload)
        if (object.table !== undefined) touched.add(`${familyNames[header.family] ?? header.family} ${object.table}`)
        return []
      }
      const { id: generation = 0, program = '' } = parse(nftGeneration, frame.payload).attrs
      const tables = [...touched]
      touched.clear()
      return [{ type: 'nftables', tables, generation, portId: frame.pid, program }]
    })
}
