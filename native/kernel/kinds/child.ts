/** Links on top of another one. Mark: the link's alias begins with `weft `. */
import type { LinkInfo, Stacked } from '../../rtnl/link.ts'
import type { Child, IfName, Observed } from '../resource.ts'
import type { Kind } from './kind.ts'
import { isMarked, removeLink, removeMarked } from './link.ts'

export const child: Kind<Child> = {
  async observe(_machine, wishes, links) {
    const wished = new Map(wishes.flatMap(wish => (wish.type === 'child' ? [[wish.name as string, wish]] : [])))
    const parentOf = parentFinder(links)
    return links.flatMap((info): readonly Observed[] => {
      if (!info.stacked) return []
      const { name, mac, mtu, alias = '', up, stacked } = info
      const wish = wished.get(name)
      const parent = parentOf(info, wish?.parent)
      if (!isMarked(info)) return wish && isSameVlan(wish, stacked, parent) ? [{ resource: wish, foreign: true }] : []
      const common = { type: 'child', name: name as IfName, parent, mac, mtu, alias, handed: false, down: !up } as const
      return [{ resource: { ...common, ...stacked }, foreign: false }]
    })
  },

  create: ({ rtnl }, want) => rtnl.createChild({ ...want, up: want.up ?? true }),

  async update({ rtnl }, { name, mtu, mac, alias, up = true }) {
    const given = { ...(mtu === undefined ? {} : { mtu }), ...(mac === undefined ? {} : { mac }) }
    await rtnl.change(name, { alias, ...given, ...(up ? { up } : {}) })
  },

  async remove(machine, have) {
    if (have.kind === 'vlan') await removeMarked(machine, have)
    else await removeLink(machine, have)
  },
}

/** The host made it before weft did, as after a boot: it serves, and stays as its maker has it. */
function isSameVlan(wish: Child, there: Stacked, parent: IfName): boolean {
  if (wish.kind !== 'vlan' || there.kind !== 'vlan') return false
  return wish.parent === parent && wish.id === there.id && there.protocol === '802.1Q'
}

/**
 * The name of the link below; empty when that is in another namespace or gone. A child of a macvlan or ipvlan link is made
 * by the kernel on what that one stands on: it counts as being on the one that was asked for.
 */
function parentFinder(links: readonly LinkInfo[]): (info: LinkInfo, wished: IfName | undefined) => IfName {
  const byIndex = new Map(links.map(link => [link.index, link]))
  const byName = new Map(links.map(link => [link.name, link]))
  return ({ peerIndex, peerNetnsId, kind }, wished) => {
    const asked = byName.get(wished ?? '')
    const beside = asked?.stacked?.kind === kind && kind !== 'vlan'
    if (wished !== undefined && beside && asked?.peerIndex === peerIndex && asked?.peerNetnsId === peerNetnsId) {
      return wished
    }
    const below = peerNetnsId === undefined ? byIndex.get(peerIndex ?? 0) : undefined
    return (below?.name ?? '') as IfName
  }
}
