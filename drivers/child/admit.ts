/** What a network on a parent must be like, by itself and beside the others on that parent. */
import type { Ipvlan } from '../../native/kernel/resource.ts'
import { addressOf, contains, familyOf, overlaps } from '../../native/value/ip.ts'
import { UserError } from '../../plugin-api/answer.ts'
import type { Facts, Network } from '../driver.ts'
import { checkMtu6, matchFamilies } from '../network-labels.ts'
import { hostWishes, poolsOf, proxySwitch } from './host.ts'
import type { ChildNetwork } from './options.ts'
import { onParents, parentOf, refused, vlansFor } from './parent.ts'

export function admit(network: ChildNetwork, others: readonly Network[], facts: Facts): ChildNetwork {
  const { manner, parent } = network.options
  if (!facts.childKinds.includes(manner.kind)) {
    throw new UserError('KERNEL_LACKS', `this kernel has no ${manner.kind}`, {
      hint: `load the module (modprobe ${manner.kind}), or use another driver`,
    })
  }
  checkSubnets(network)
  hostWishes(network)
  const neighbours = onParents(others)
  const vlans = vlansFor(network, neighbours, facts)
  if (vlans.length > 0 && !facts.childKinds.includes('vlan')) {
    throw new UserError('KERNEL_LACKS', `this kernel has no VLAN links, and there is no link ${parent ?? ''}`, {
      hint: 'load the module (modprobe 8021q), or make the link yourself',
    })
  }
  for (const other of neighbours) if (parentOf(other) === parentOf(network)) checkBeside(network, other)
  checkForeign(network, facts)
  checkMtu(network, facts)
  const proxyKept = isProxyOn(network, neighbours, facts)
  const more = { ...(vlans.length > 0 && { vlans }), ...(proxyKept && { proxyKept }) }
  return { ...network, options: { ...network.options, ...more } }
}

function checkSubnets(network: ChildNetwork): void {
  const families = poolsOf(network).map(({ pool }) => familyOf(pool))
  matchFamilies(network.options, families)
  for (const [index, { pool, gateway }] of network.subnets.entries()) {
    if (gateway && !contains(pool, addressOf(gateway))) {
      throw new UserError('GATEWAY_OUTSIDE', `gateway ${gateway} is outside its subnet ${pool}`)
    }
    const clash = network.subnets.slice(index + 1).find(other => overlaps(pool, other.pool))
    if (clash) throw new UserError('SUBNET_OVERLAP', `subnets ${pool} and ${clash.pool} of the network overlap`)
  }
}

/** What the kernel would refuse when a container starts, or worse, would do to the containers of the other network. */
function checkBeside(network: ChildNetwork, other: ChildNetwork): void {
  const { manner } = network.options
  const theirs = other.options.manner
  const parent = parentOf(network)
  if (manner.kind !== theirs.kind) {
    const text = `${theirs.kind} network ${other.id} is using it, and one link cannot carry both kinds`
    throw refused('PARENT_BUSY', network, text, 'use another link or a VLAN of it')
  }
  if (manner.kind === 'macvlan') {
    if (manner.mode === 'passthru') {
      const text = `cannot use mode passthru, macvlan network ${other.id} is already using parent interface ${parent}`
      throw new UserError('PARENT_BUSY', text, { hint: 'passthru takes the whole link' })
    }
    if (theirs.kind === 'macvlan' && theirs.mode === 'passthru') {
      const text = `macvlan network ${other.id} is already using parent interface ${parent} in mode passthru`
      throw new UserError('PARENT_BUSY', text, { hint: 'passthru takes the whole link' })
    }
    return
  }
  if (theirs.kind === 'ipvlan') checkModes(network, manner, theirs, `network ${other.id}`)
}

/** The same of links that others made, as far as they are in this namespace. */
function checkForeign(network: ChildNetwork, { links }: Facts): void {
  const { manner } = network.options
  if (manner.kind !== 'ipvlan') return
  const parent = parentOf(network)
  for (const { name, own, ipvlan } of links) {
    if (own || !ipvlan || ![name, ipvlan.parent].includes(parent)) continue
    checkModes(network, manner, ipvlan, `link ${name} of the host`)
  }
}

type Manner = Pick<Ipvlan, 'mode' | 'flag'>

function checkModes(network: ChildNetwork, mine: Manner, theirs: Manner, who: string): void {
  const [one, two] = [mine, theirs].map(({ mode, flag = 'bridge' }) => `${mode}, ${flag}`)
  if (one === two) return
  const text = `${who} is already using parent interface ${parentOf(network)} in another mode (${two ?? ''})`
  throw new UserError('PARENT_BUSY', text, {
    hint: `all ipvlan links of a parent have one mode, and this network (${one ?? ''}) would change those of the other`,
  })
}

/** Was the switch on before weft came? Its own networks that wish it set it back. */
function isProxyOn(network: ChildNetwork, neighbours: readonly ChildNetwork[], { foreignSwitches }: Facts): boolean {
  const parent = parentOf(network)
  if (!network.options.proxy || !foreignSwitches.includes(proxySwitch(parent))) return false
  return !neighbours.some(
    other => parentOf(other) === parent && other.options.proxy && other.options.proxyKept === undefined,
  )
}

function checkMtu(network: ChildNetwork, { links }: Facts): void {
  const { mtu, parent, vlans: [lowest] = [] } = network.options
  const link = links.find(({ name }) => name === (lowest?.parent ?? parent))
  const families = poolsOf(network).map(({ pool }) => familyOf(pool))
  checkMtu6(mtu ?? link?.mtu, families)
  if (mtu === undefined || !link || mtu <= link.mtu) return
  throw new UserError('MTU_TOO_LARGE', `MTU ${mtu} is larger than that of the parent ${link.name}: ${link.mtu}`, {
    hint: 'a smaller one, or a larger one for the parent',
  })
}
