/** What networks on parents need of the host: shared VLAN links, and a place for the host itself in each of them. */
import type { Child, IfName, Resource, Sysctl } from '../../native/kernel/resource.ts'
import { contains, familyOf, hostCidr, type Cidr, type Family, type Ip } from '../../native/value/ip.ts'
import { UserError } from '../../plugin-api/answer.ts'
import type { Facts, HostWish, NetworkUse, Subnet } from '../driver.ts'
import { element, planFirewall } from '../firewall.ts'
import { ifName, macOf } from '../names.ts'
import type { ChildNetwork, ChildOptions, VlanLink } from './options.ts'
import { parentOf } from './parent.ts'

export function planHost(facts: Facts, uses: readonly NetworkUse<ChildOptions>[]): readonly Resource[] {
  const reached = uses.filter(({ network }) => hasHost(network))
  return [
    ...uses.flatMap(({ network }) => network.options.vlans ?? []).map(vlanLink),
    ...(reached.length > 0 ? planFirewall(facts) : []),
    ...proxySwitches(facts, reached),
    ...reached.filter(({ used }) => used).flatMap(({ network }) => planShim(network)),
  ]
}

export function hasHost({ hostAddresses = [] }: ChildNetwork): boolean {
  return hostAddresses.length > 0
}

/** The link by which the host is in the network. */
export function shimOf({ id }: ChildNetwork): IfName {
  return ifName('ws', id)
}

/** With which address the host speaks to a container: that of the same subnet, or any of the family. */
export function hostAddressFor({ subnets, hostAddresses = [] }: ChildNetwork, address: Ip): Ip | undefined {
  const pool = subnets.map(subnet => subnet.pool).find(one => contains(one, address))
  const same = hostAddresses.filter(own => familyOf(own) === familyOf(address))
  return same.find(own => pool !== undefined && contains(pool, own)) ?? same[0]
}

/** Throws UserError. */
export function hostWishes(network: ChildNetwork): readonly HostWish[] {
  const { hostAccess } = network.options
  if (hostAccess === undefined) return []
  const subnets = poolsOf(network)
  if (subnets.length === 0) {
    throw hostAccessRefused(network, 'it has no subnet', 'add --subnet, or leave host_access out')
  }
  if (hostAccess === true) {
    return subnets.map(({ pool, aux }) => ({ pool, ...(aux['host'] === undefined ? {} : { address: aux['host'] }) }))
  }
  return hostAccess.map(address => {
    const subnet = subnets.find(({ pool }) => contains(pool, address))
    if (!subnet) {
      const pools = subnets.map(({ pool }) => pool).join(', ')
      throw hostAccessRefused(network, `${address} is in none of its subnets`, `choose one of ${pools}`)
    }
    if (subnet.gateway?.startsWith(`${address}/`)) {
      throw hostAccessRefused(network, `${address} is the gateway`, 'choose another address')
    }
    return { pool: subnet.pool, address }
  })
}

/** Subnets that are some: the engine's null IPAM gives the whole address space. */
export function poolsOf({ subnets }: ChildNetwork): readonly Subnet[] {
  return subnets.filter(({ pool }) => !pool.endsWith('/0'))
}

function hostAccessRefused({ driver }: ChildNetwork, what: string, hint: string): UserError {
  return new UserError('HOST_ACCESS', `weft-${driver} cannot give the host a place in this network: ${what}`, { hint })
}

function vlanLink({ name, parent, id }: VlanLink): Child {
  const alias = `weft vlan ${id} of ${parent}`
  return { type: 'child', kind: 'vlan', name, parent, id, alias, handed: false }
}

function planShim(network: ChildNetwork): readonly Resource[] {
  const { hostAddresses = [], id, options } = network
  const { manner, mtu } = options
  const name = shimOf(network)
  const common = { type: 'child', name, parent: parentOf(network), alias: `weft host ${id}`, handed: false } as const
  const size = mtu === undefined ? {} : { mtu }
  const has6 = hostAddresses.some(address => familyOf(address) === 6)
  return [
    // The rules know the link before it exists.
    element('shims', name),
    manner.kind === 'macvlan'
      ? { ...common, ...manner, ...size, mac: macOf(`host in ${id}`) }
      : { ...common, ...manner, ...size },
    ...switches(name, { has6 }),
    ...hostAddresses.map((address): Resource => ({ type: 'address', link: name, cidr: hostCidr(address) })),
  ]
}

/**
 * The link is in the LAN a second time beside the parent, so it must not speak for the parent's addresses, nor learn
 * addresses and routes there.
 */
function switches(name: IfName, { has6 }: { readonly has6: boolean }): readonly Sysctl[] {
  const set = (family: 'ipv4' | 'ipv6', key: string, value: string): Sysctl => {
    return { type: 'sysctl', key: `net/${family}/conf/${name}/${key}`, value }
  }
  return [
    set('ipv4', 'arp_ignore', '1'),
    set('ipv4', 'arp_announce', '2'),
    // 127.0.0.1 of the host reaches published ports by it; the rule set drops such addresses from the wire.
    set('ipv4', 'route_localnet', '1'),
    set('ipv6', 'accept_ra', '0'),
    set('ipv6', 'disable_ipv6', has6 ? '0' : '1'),
  ]
}

/** The host answers for addresses of IPv4 as soon as it forwards; for IPv6 the link has a switch of its own. */
export function proxySwitch(parent: IfName): string {
  return `net/ipv6/conf/${parent}/proxy_ndp`
}

/**
 * On while a network of the parent is used. Off is wished as well, as long as there is such a network: a crash may have
 * left it on.
 */
function proxySwitches({ links }: Facts, reached: readonly NetworkUse<ChildOptions>[]): readonly Sysctl[] {
  const proxying = reached.filter(({ network }) => network.options.proxy && familiesOfHost(network).includes(6))
  return [...Map.groupBy(proxying, ({ network }) => parentOf(network))].flatMap(([parent, uses]): readonly Sysctl[] => {
    const own = { type: 'sysctl', key: proxySwitch(parent) } as const
    const isKept = uses.some(({ network }) => network.options.proxyKept)
    if (uses.some(({ used }) => used)) return [{ ...own, value: '1', ...(isKept ? {} : { setBack: '0' }) }]
    return isKept || !links.some(({ name }) => name === parent) ? [] : [{ ...own, value: '0' }]
  })
}

/** Families in which the host has a place in the network. */
export function familiesOfHost({ hostAddresses = [] }: ChildNetwork): readonly Family[] {
  return [...new Set(hostAddresses.map(familyOf))]
}

/** What the host answers for in the LAN of the parent: the kernel does so for what it has another way to. */
export function proxiesFor(network: ChildNetwork, addresses: readonly Ip[]): readonly Resource[] {
  if (!network.options.proxy) return []
  const families = familiesOfHost(network)
  return addresses
    .filter(address => families.includes(familyOf(address)))
    .map(address => ({ type: 'proxy', link: parentOf(network), address }))
}

/** A route that leads to one container. */
export function routesTo(network: ChildNetwork, addresses: readonly Ip[]): readonly Resource[] {
  if (!hasHost(network)) return []
  const link = shimOf(network)
  return addresses.flatMap((address): readonly Resource[] => {
    const source = hostAddressFor(network, address)
    const destination: Cidr = hostCidr(address)
    return source === undefined ? [] : [{ type: 'route', destination, link, source }]
  })
}
