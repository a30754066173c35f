/** Bridges and veth pairs. Mark: the link's alias begins with `weft `. */
import type { LinkInfo } from '../../rtnl/link.ts'
import type { Bridge, IfName, Observed, Veth } from '../resource.ts'
import type { Kind, Machine } from './kind.ts'

const mark = 'weft '

export function isMarked({ alias }: LinkInfo): boolean {
  return alias?.startsWith(mark) ?? false
}

/** Only queued: the kernel takes 16-46 ms for a link alone, and little more for many. */
export async function removeLink({ rtnl, onLost }: Machine, { name }: { readonly name: IfName }): Promise<void> {
  rtnl.remove(name).catch((cause: unknown) => {
    onLost(name, cause)
  })
}

/** Of a name that anybody could have chosen: one that others made by now is theirs. */
export async function removeMarked(machine: Machine, have: { readonly name: IfName }): Promise<void> {
  const [there] = await machine.rtnl.findLinks(have.name)
  if (there && isMarked(there)) await removeLink(machine, have)
}

export const link: Kind<Bridge | Veth> = {
  async observe(_machine, wishes, links) {
    const adopted = new Set(wishes.flatMap(wish => (wish.type === 'bridge' && wish.adopted ? [wish.name] : [])))
    const names = new Map(links.map(({ index, name }) => [index, name]))
    return links.flatMap((info): readonly Observed[] => {
      const foreign = !isMarked(info)
      if (foreign && !adopted.has(info.name as IfName)) return []
      if (info.kind === 'bridge') return [{ resource: bridgeOf(info, adopted), foreign }]
      if (info.kind === 'veth') return [{ resource: vethOf(info, names), foreign }]
      return []
    })
  },

  async create(machine, want) {
    if (want.type === 'bridge') await machine.rtnl.createBridge(want)
    else await machine.rtnl.createVeth({ ...want, hairpin: true, peer: { ...want.peer, mtu: want.mtu } })
  },

  async update(machine, want) {
    const { name, mtu, mac, alias } = want
    const common = { up: true, alias, ...(mtu === undefined ? {} : { mtu }), ...(mac === undefined ? {} : { mac }) }
    if (want.type === 'bridge') await machine.rtnl.change(name, common)
    else await machine.rtnl.change(name, { ...common, master: want.master, isolated: want.isolated, hairpin: true })
  },

  async remove(machine, have) {
    if (have.type === 'veth') await removeLink(machine, have)
    else if (!have.adopted) await removeMarked(machine, have)
  },
}

function bridgeOf(info: LinkInfo, adopted: ReadonlySet<IfName>): Bridge {
  const name = info.name as IfName
  const { mtu, mac, alias = '', up } = info
  return { type: 'bridge', name, adopted: adopted.has(name), mtu, mac, alias, down: !up }
}

function vethOf(info: LinkInfo, names: ReadonlyMap<number, string>): Veth {
  const elsewhere = info.peerNetnsId !== undefined
  return {
    type: 'veth',
    name: info.name as IfName,
    mac: info.mac,
    mtu: info.mtu,
    master: (names.get(info.master ?? 0) ?? '') as IfName,
    isolated: info.slave?.isolated ?? false,
    peer: { name: (elsewhere ? '' : (names.get(info.peerIndex ?? 0) ?? '')) as IfName, mac: info.mac },
    handed: elsewhere,
    alias: info.alias ?? '',
    down: !info.up,
  }
}
