/** The parent of a network: a link of the host, a VLAN on one, which weft makes and shares, or one that leads nowhere. */
import type { IfName } from '../../native/kernel/resource.ts'
import { UserError } from '../../plugin-api/answer.ts'
import type { Facts, LinkFact, Network } from '../driver.ts'
import { ifName } from '../names.ts'
import type { ChildNetwork, VlanLink } from './options.ts'

const drivers = ['macvlan', 'ipvlan']

/** Networks of both drivers: they share parents, and the kernel has rules about that. */
export function onParents(networks: readonly Network[]): readonly ChildNetwork[] {
  return (networks as readonly ChildNetwork[]).filter(({ driver }) => drivers.includes(driver))
}

/** What the network's children stand on. */
export function parentOf({ id, options }: ChildNetwork): IfName {
  return options.parent ?? ifName('wd', id)
}

/** A network without a way out: internal, or on a link that leads nowhere. */
export function isApart({ internal, options }: ChildNetwork): boolean {
  return internal || options.parent === undefined
}

/** Throws UserError. The VLAN links that weft must make for the parent to be there; none where others made it. */
export function vlansFor(network: ChildNetwork, others: readonly ChildNetwork[], facts: Facts): readonly VlanLink[] {
  const { parent } = network.options
  if (parent === undefined) return []
  const link = facts.links.find(({ name }) => name === parent)
  const made = others.flatMap(({ options }) => options.vlans ?? []).find(({ name }) => name === parent)
  if (!made && link && !link.own) {
    checkLink(network, link)
    return []
  }
  if (link?.own && !made && link.kind !== 'vlan') {
    throw refused('PARENT_UNFIT', network, `${parent} is a link that weft made for another purpose`)
  }
  const vlan = made ?? readVlan(network, parent)
  const below = vlansFor({ ...network, options: { ...network.options, parent: vlan.parent } }, others, facts)
  return [...below, vlan]
}

function checkLink(network: ChildNetwork, { name, bridge }: LinkFact): void {
  if (name === 'lo') {
    const text = `loopback interface is not a valid ${network.driver} parent link`
    throw new UserError('PARENT_UNFIT', text, { hint: 'choose a link that leads to a network, or leave parent out' })
  }
  if (bridge !== undefined) {
    throw refused('PARENT_UNFIT', network, `${name} is a port of bridge ${bridge}`, `use -o parent=${bridge}`)
  }
}

/** `eth0.50`: the last dot, for names of links may have dots as well. */
function readVlan(network: ChildNetwork, name: IfName): VlanLink {
  const dot = name.lastIndexOf('.')
  if (dot < 0) {
    const hint = 'bring it up first: ip link; or name a VLAN to be made as LINK.NUMBER'
    throw new UserError('PARENT_MISSING', `-o parent interface was not found on the host: ${name}`, { hint })
  }
  const [parent, text] = [name.slice(0, dot) as IfName, name.slice(dot + 1)]
  if (!/^\d{1,9}$/.test(text)) {
    throw refused(
      'PARENT_UNFIT',
      network,
      `there is no link ${name}, and required interface name format is: name.vlan_id`,
    )
  }
  const id = Number(text)
  if (id < 1 || id > 4094) {
    throw refused('PARENT_UNFIT', network, `vlan id must be between 1-4094, received: ${id}`)
  }
  return { name, parent, id }
}

export function refused(
  code: 'PARENT_UNFIT' | 'PARENT_BUSY',
  network: ChildNetwork,
  what: string,
  hint?: string,
): UserError {
  const text = `weft-${network.driver} cannot use parent ${network.options.parent ?? ''}: ${what}`
  return new UserError(code, text, hint === undefined ? {} : { hint })
}
