/** Bridges and veth pairs. Mark: the link's alias begins with `weft `. */
import { BRIDGED_GROUP } from '../../rtnl/bridge.ts'
import type { LinkInfo } from '../../rtnl/link.ts'
import { KernelError } from '../../netlink/errors.ts'
import type { Bridge, IfName, Observed, Veth } from '../resource.ts'
import type { Kind, Machine } from './kind.ts'
import { writeSysctl } from './sysctl.ts'

const mark = 'weft '
/** Of pairs, made from an id; any other was chosen by a user. */
const madeName = /^wv[a-z2-7]{11}$/

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
    else {
      await machine.rtnl.createVeth({ ...want, hairpin: true, peer: { ...want.peer, mtu: want.mtu } })
      await ignoreRouters(want.name)
    }
  },

  async update(machine, want) {
    const { name, mtu, mac, alias } = want
    const common = { up: true, alias, ...(mtu === undefined ? {} : { mtu }), ...(mac === undefined ? {} : { mac }) }
    if (want.type === 'bridge') await machine.rtnl.change(name, { ...common, mcastSnooping: false })
    else {
      const port = { master: want.master, isolated: want.isolated, hairpin: true, groupForwardMask: BRIDGED_GROUP }
      await machine.rtnl.change(name, { ...common, ...port })
    }
  },

  async remove(machine, have) {
    if (have.type === 'veth' && madeName.test(have.name)) await removeLink(machine, have)
    else if (have.type === 'veth' || !have.adopted) await removeMarked(machine, have)
  },
}

function bridgeOf(info: LinkInfo, adopted: ReadonlySet<IfName>): Bridge {
  const name = info.name as IfName
  const { mtu, mac, alias = '', up, mcastSnooping: snooping = false } = info
  return { type: 'bridge', name, adopted: adopted.has(name), mtu, mac, alias, down: !up, snooping }
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
    bypass: info.slave?.groupForwardMask !== BRIDGED_GROUP,
  }
}

/**
 * A second belt, beside the port's mask: the host's own place at the port never gets a frame, and heeds none. Not a
 * resource, for it would have to be read for every container each time, and the switch of a link that went would fail.
 */
async function ignoreRouters(name: IfName): Promise<void> {
  try {
    await writeSysctl({ key: `net/ipv6/conf/${name}/accept_ra`, value: '0' })
  } catch (cause) {
    // With an MTU too small for IPv6 there is none. The link itself may be gone already, too.
    if (!(cause instanceof KernelError) || cause.errno !== 'ENOENT') throw cause
  }
}
