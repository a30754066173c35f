/** What a network must be like, by itself and beside the others. */
import { addressOf, contains, familyOf, overlaps } from '../../native/value/ip.ts'
import { UserError } from '../../plugin-api/answer.ts'
import type { Facts, Network, Subnet } from '../driver.ts'
import { checkMtu6, matchFamilies } from '../network-labels.ts'
import { bridgeOf, familiesOf, modeOf, ownSwitches, type BridgeNetwork } from './network.ts'

export function admit(network: BridgeNetwork, others: readonly Network[], facts: Facts): BridgeNetwork {
  checkFamilies(network)
  for (const subnet of network.subnets) checkSubnet(network, subnet)
  checkOneAnother(network)
  checkRoutes(network)
  const bridge = bridgeOf(network)
  for (const other of others.filter(({ driver }) => driver === network.driver) as readonly BridgeNetwork[]) {
    if (bridgeOf(other) === bridge) {
      throw new UserError(
        'BRIDGE_NAME_TAKEN',
        `networks have same bridge name: ${bridge} belongs to network ${other.id}`,
      )
    }
    checkOverlap(network, other)
  }
  const adopted = facts.foreignBridges.includes(bridge)
  const kept = ownSwitches(bridge).flatMap(({ key }) => (facts.foreignSwitches.includes(key) ? [key] : []))
  return adopted ? { ...network, options: { ...network.options, adopted, kept } } : network
}

function checkFamilies(network: BridgeNetwork): void {
  const families = familiesOf(network)
  if (families.length === 0) {
    throw new UserError('NO_SUBNET', 'weft-bridge needs a subnet of IPv4 or IPv6', {
      hint: 'add --subnet, or leave IPv4 on',
    })
  }
  matchFamilies(network.options, families)
  checkMtu6(network.options.mtu, families)
  for (const family of families) {
    if (modeOf(network.options, family) === 'isolated' && !network.internal) {
      throw new UserError(
        'MODE_ISOLATED',
        `gateway mode 'isolated' can only be used for an internal network (IPv${family})`,
        { hint: 'add --internal' },
      )
    }
  }
}

function checkSubnet({ options }: BridgeNetwork, { pool, gateway, aux }: Subnet): void {
  const family = familyOf(pool)
  if (pool.endsWith('/0')) {
    throw new UserError('POOL_EMPTY', `ipv${family} pool is empty`, {
      hint: 'weft-bridge needs an IPAM driver that gives subnets',
    })
  }
  if (!gateway && modeOf(options, family) !== 'isolated') {
    throw new UserError('GATEWAY_MISSING', `subnet ${pool} came without a gateway address`)
  }
  if (gateway && !contains(pool, addressOf(gateway))) {
    throw new UserError('GATEWAY_OUTSIDE', `gateway ${gateway} is outside its subnet ${pool}`)
  }
  for (const [name, address] of Object.entries(aux)) {
    if (!/^DefaultGatewayIPv[46]$/.test(name)) continue
    if (name.endsWith(String(family)) && contains(pool, address)) continue
    throw new UserError('GATEWAY_OUTSIDE', `default gateway ip must be part of the network: ${name} is ${address}`, {
      hint: `choose one of ${pool}`,
    })
  }
}

/** The network's own subnets. */
function checkOneAnother({ subnets }: BridgeNetwork): void {
  for (const [index, { pool }] of subnets.entries()) {
    const clash = subnets.slice(index + 1).find(other => overlaps(pool, other.pool))
    if (clash) throw new UserError('SUBNET_OVERLAP', `subnets ${pool} and ${clash.pool} of the network overlap`)
  }
}

function checkRoutes({ subnets, options: { routes = [] } }: BridgeNetwork): void {
  for (const { destination, via } of routes) {
    if (via === undefined || subnets.some(({ pool }) => contains(pool, via))) continue
    throw new UserError('ROUTE_OUTSIDE', `route ${destination} leads by ${via}, which no subnet of the network has`)
  }
}

function checkOverlap(network: BridgeNetwork, other: BridgeNetwork): void {
  const clash = network.subnets.flatMap(({ pool }) => other.subnets.filter(theirs => overlaps(pool, theirs.pool)))[0]
  if (!clash) return
  throw new UserError(
    'SUBNET_OVERLAP',
    `cannot create network ${network.id} (${bridgeOf(network)}): conflicts with network ${other.id} (${bridgeOf(other)}): ` +
      `networks have overlapping IPv${familyOf(clash.pool)}`,
    { hint: `${clash.pool} is taken: choose another --subnet` },
  )
}
