/** What an endpoint on a parent needs, and what its container is told. */
import type { Child, IfName, Resource } from '../../native/kernel/resource.ts'
import { addressOf, contains, familyOf, hostCidr, type Cidr } from '../../native/value/ip.ts'
import { UserError } from '../../plugin-api/answer.ts'
import type { Endpoint, Facts, JoinAnswer, Others } from '../driver.ts'
import { ifName } from '../names.ts'
import { held, published } from '../published.ts'
import { hasHost, hostAddressFor, proxiesFor, routesTo } from './host.ts'
import { isApart, onParents, parentOf, refused } from './parent.ts'
import type { ChildNetwork } from './options.ts'

export function planEndpoint(network: ChildNetwork, endpoint: Endpoint, facts: Facts): readonly Resource[] {
  return [
    childOf(network, endpoint),
    ...routesTo(network, endpoint.addresses.map(addressOf)),
    ...proxiesFor(network, endpoint.addresses.map(addressOf)),
    // A port is held before it is served, so that it is never served for two.
    ...endpoint.ports.flatMap(port => held(port, endpoint, { facts })),
    ...endpoint.ports.flatMap(port => published(port, endpoint, { asked: false })),
  ]
}

/** The link that goes to the container. */
export function linkOf({ id }: Pick<Endpoint, 'id'>): IfName {
  return ifName('wc', id)
}

function childOf(network: ChildNetwork, endpoint: Endpoint): Child {
  const { manner, mtu, txQueueLength, promisc, allMulticast } = network.options
  const common = {
    type: 'child',
    name: linkOf(endpoint),
    parent: parentOf(network),
    alias: `weft endpoint ${endpoint.id}`,
    handed: endpoint.phase !== 'created',
    // Or the host itself would begin to speak by it before the container does.
    up: false,
    ...(mtu === undefined ? {} : { mtu }),
    ...(txQueueLength === undefined ? {} : { txQueueLength }),
    ...(promisc === undefined ? {} : { promisc }),
    ...(allMulticast === undefined ? {} : { allMulticast }),
  } as const
  if (manner.kind === 'ipvlan') return { ...common, ...manner }
  return manner.mode === 'passthru' ? { ...common, ...manner } : { ...common, ...manner, mac: endpoint.mac }
}

/** Errors: UserError for what is wrong beside the endpoints that there are. */
export function admitEndpoint(network: ChildNetwork, endpoint: Endpoint, others: Others, facts: Facts): void {
  const parent = parentOf(network)
  const link = facts.links.find(({ name }) => name === parent)
  const mine = endpoint.addresses.map(addressOf)
  for (const address of mine) {
    if (network.hostAddresses?.includes(address)) {
      throw taken(address, 'the host itself has it in this network (host_access)')
    }
    if (link?.addresses.includes(address)) throw taken(address, `the host itself has it on ${parent}`)
  }
  const isOwnMac = network.options.manner.kind === 'macvlan' && !isPassthru(network)
  if (isOwnMac && link?.mac === endpoint.mac) throw macTaken(endpoint, `${parent} itself has it`)
  for (const other of others.endpoints) {
    if (other.id === endpoint.id) continue
    const [theirs] = onParents([others.network(other.networkId)].filter(one => one !== undefined))
    if (!theirs || parentOf(theirs) !== parent) continue
    const where = `endpoint ${other.id.slice(0, 12)} of network ${theirs.id.slice(0, 12)} has it`
    const isSame = other.networkId === network.id && mine.some(address => holds(other, address))
    if (isPassthru(network) && other.phase !== 'left' && !isSame) {
      throw refused('PARENT_BUSY', network, `${where}, and passthru takes the whole link`, 'stop that container first')
    }
    if (isOwnMac && other.mac === endpoint.mac) throw macTaken(endpoint, where)
    // The same address in the same network is given again: the old holder is gone.
    const both = other.networkId === network.id ? undefined : mine.find(address => holds(other, address))
    if (both !== undefined) throw taken(both, where)
  }
}

function isPassthru({ options: { manner } }: ChildNetwork): boolean {
  return manner.kind === 'macvlan' && manner.mode === 'passthru'
}

function holds({ addresses }: Endpoint, address: string): boolean {
  return addresses.some(cidr => addressOf(cidr) === address)
}

function taken(address: string, who: string): UserError {
  return new UserError('ADDRESS_TAKEN', `address ${address} is in use in this segment: ${who}`, {
    hint: 'choose another address, or keep it out of the range with --aux-address',
  })
}

function macTaken({ mac }: Endpoint, who: string): UserError {
  return new UserError('MAC_TAKEN', `MAC address ${mac} is in use in this segment: ${who}`, {
    hint: 'choose another --mac-address, or leave it out',
  })
}

export function join(network: ChildNetwork, endpoint: Endpoint, facts: Facts): JoinAnswer {
  const { ifacePrefix = 'eth', manner } = network.options
  const addresses = endpoint.addresses.map(addressOf)
  const own = network.subnets.filter(({ pool }) => addresses.some(address => contains(pool, address)))
  const isRouted = manner.kind === 'ipvlan' && manner.mode !== 'l2'
  const gateways =
    isApart(network) || isRouted ? [] : own.flatMap(({ gateway }) => (gateway ? [addressOf(gateway)] : []))
  const served = gateways.map(familyOf)
  // Without a router the whole world is on the link.
  const everywhere = (isApart(network) ? [] : [...new Set(addresses.map(familyOf))])
    .filter(family => !served.includes(family))
    .map(family => ({ destination: (family === 4 ? '0.0.0.0/0' : '::/0') as Cidr }))
  return {
    srcName: linkOf(endpoint),
    dstPrefix: ifacePrefix,
    gateways,
    routes: [...everywhere, ...waysToHost(network, endpoint, facts)],
    // The engine would add a leg on docker_gwbridge where there is no gateway.
    disableGatewayService: true,
  }
}

/** The parent's own addresses are not to be reached over the parent, but by the host's place in the network. */
function waysToHost(network: ChildNetwork, { addresses }: Endpoint, facts: Facts): JoinAnswer['routes'] {
  if (!hasHost(network)) return []
  const link = facts.links.find(({ name }) => name === parentOf(network))
  return (link?.addresses ?? []).flatMap(address => {
    const family = familyOf(address)
    const mine = addresses.find(cidr => familyOf(cidr) === family)
    if (mine === undefined || /^fe[89ab]/.test(address)) return []
    const via = hostAddressFor(network, addressOf(mine))
    // A next hop that is not in the container's own subnet would not be taken.
    return via !== undefined && contains(mine, via) ? [{ destination: hostCidr(address), via }] : []
  })
}
