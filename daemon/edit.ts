/**
 * The one way to change a record. Growing: the kernel first, then the promise. Vanishing: the promise first, then the
 * kernel. So the kernel may hold more than was promised, never less, and a crash at any point leaves only surplus.
 */
import { isDeepStrictEqual } from 'node:util'
import { forwardingSwitch, type Endpoint, type Network } from '../drivers/driver.ts'
import { addressOf, type Family } from '../native/value/ip.ts'
import { keyOf, type Resource } from '../native/kernel/resource.ts'
import { withoutHost } from './hosting.ts'
import { admissionLane, hostLane, hostOwner, planEndpoint, planHost, planNetwork, type House } from './house.ts'
import { Claimed } from './reconcile.ts'
import { endpointKey, networkKey } from './records.ts'

/** Here and below: once `signal` is aborted nothing is promised any more, and the kernel is as before. */
export async function putNetwork(house: House, network: Network, signal?: AbortSignal): Promise<void> {
  house.arriving.set(network.id, network)
  try {
    await followHost(house)
    const promise = (): Promise<void> => house.records.putNetwork(network)
    await grow(house, networkKey(network.id), planNetwork(house, network), promise, signal)
  } finally {
    house.arriving.delete(network.id)
    // A network that could not be made takes the host plan back with it.
    if (!house.records.network(network.id)) await followHost(house)
  }
}

export async function removeNetwork(house: House, network: Network): Promise<void> {
  for (const endpoint of house.records.endpointsOf(network.id)) await removeEndpoint(house, endpoint)
  // The engine releases them before: unless that call was lost, they ended already.
  for (const grant of network.pools ?? []) await house.pools.endGrant(grant)
  if (network.hostAddresses) await withoutHost(house, network)
  // Another network may have the same bridge: what it is to find there and get back must not be looked at meanwhile.
  await house.lanes.within(admissionLane, async () => {
    await house.records.removeNetwork(network.id)
    await vanish(house, networkKey(network.id))
    await followHost(house)
  })
}

export async function putEndpoint(
  house: House,
  network: Network,
  endpoint: Endpoint,
  signal?: AbortSignal,
): Promise<void> {
  // The engine also programs and revokes ports where there are none.
  if (isDeepStrictEqual(endpoint, house.records.endpoint(network.id, endpoint.id))) return
  const owner = endpointKey(network.id, endpoint.id)
  const promise = (): Promise<void> => house.records.putEndpoint(endpoint)
  const isFirst = house.records.endpointsOf(network.id).length === 0
  try {
    if (isFirst) {
      house.entering.add(network.id)
      await followHost(house)
    }
    await grow(house, owner, planEndpoint(house, network, endpoint), promise, signal)
  } finally {
    house.entering.delete(network.id)
    // One that could not be made takes the host plan back with it.
    if (isFirst && house.records.endpointsOf(network.id).length === 0) await shrinkHost(house)
  }
}

/** Throws Claimed where it cannot be made, although `old` give way to it: before they do. */
export function refuseClaimed(house: House, network: Network, endpoint: Endpoint, old: readonly Endpoint[]): void {
  const giveWay = new Set([endpoint, ...old].map(({ networkId, id }) => endpointKey(networkId, id)))
  for (const key of planEndpoint(house, network, endpoint).map(keyOf)) {
    const holder = house.reconciler.ownerOf(key)
    if (holder !== undefined && !giveWay.has(holder)) throw new Claimed(key, holder)
  }
}

export async function removeEndpoint(house: House, endpoint: Endpoint): Promise<void> {
  await house.records.removeEndpoint(endpoint)
  await vanish(house, endpointKey(endpoint.networkId, endpoint.id))
  if (house.records.endpointsOf(endpoint.networkId).length === 0) await shrinkHost(house)
  await house.pools.endReleased(endpoint.addresses.map(addressOf))
}

/**
 * Lets the host forward these families. Here the promise comes first: forwarding that is on without a record of who
 * switched it on would stand open after a crash.
 */
export async function forward(house: House, families: readonly Family[]): Promise<void> {
  await house.lanes.within(hostLane, async () => {
    const more = families.filter(family => !house.records.forwarded.includes(family))
    if (more.length === 0) return
    await house.records.noteForwarding([...house.records.forwarded, ...more])
    house.facts = { ...house.facts, forwarded: house.records.forwarded }
    await house.reconciler.set(hostOwner, planHost(house))
  })
}

/** The host plan follows the networks and facts; its own lane, because every network shares it. */
export async function followHost(house: House): Promise<void> {
  await house.lanes.within(hostLane, async () => {
    const plan = planHost(house)
    if (!plan.some(({ type }) => type === 'ruleset')) await stopForwarding(house, plan)
    if (plan.length > 0) return house.reconciler.set(hostOwner, plan)
    return vanish(house, hostOwner)
  })
}

/**
 * The guard goes with the last network that has rules, so what it guarded goes before. Nobody but bridges of others can have come to
 * rely on the forwarding that weft switched on: between other links it was dropped.
 */
async function stopForwarding(house: House, plan: readonly Resource[]): Promise<void> {
  const { forwarded } = house.records
  if (forwarded.length === 0) return
  await house.refresh()
  const needed = forwarded.filter(family => house.facts.foreignFamilies.includes(family))
  const off = forwarded.filter(family => !needed.includes(family))
  await house.reconciler.set(hostOwner, [...plan, ...off.map(family => forwardingSwitch(family, '0'))])
  await house.records.noteForwarding([])
  house.facts = { ...house.facts, forwarded: [] }
  if (needed.length > 0) house.log.warn({ families: needed }, 'forwarding stays on: bridges of others need it')
}

/** After something that needed the host has gone: what the kernel refuses now is settle's to do. */
async function shrinkHost(house: House): Promise<void> {
  try {
    await followHost(house)
  } catch (cause) {
    house.log.warn({ owner: hostOwner, err: cause }, 'removal left something behind')
    house.settleSoon('a removal failed')
  }
}

async function grow(
  house: House,
  owner: string,
  plan: readonly Resource[],
  promise: () => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const before = house.reconciler.wishOf(owner)
  await house.reconciler.set(owner, plan)
  try {
    signal?.throwIfAborted()
    await promise()
  } catch (cause) {
    await house.reconciler.set(owner, before)
    throw cause
  }
}

/** The promise is gone already: what the kernel refuses to give up now is surplus, and settle's to remove. */
async function vanish(house: House, owner: string): Promise<void> {
  try {
    await house.reconciler.drop(owner)
  } catch (cause) {
    house.log.warn({ owner, err: cause }, 'removal left something behind')
    house.settleSoon('a removal failed')
  }
}
