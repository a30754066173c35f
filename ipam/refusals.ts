/** Refusals in the engine's own words, which people and scripts know, followed by what to do. */
import type { Book } from './book.ts'
import { leadsEverywhere, type DefaultPool } from './defaults.ts'
import type { Hold } from './desk.ts'
import type { Obstacle, Pool } from './pool.ts'
import type { Lease, PoolEntry } from './records.ts'
import type { Cidr, Family, Ip } from '../native/value/ip.ts'
import type { Mac } from '../native/value/mac.ts'
import type { PoolId } from '../plugin-api/ids.ts'
import { lengthOf, overlaps, parseCidr } from '../native/value/ip.ts'
import { UserError } from '../plugin-api/answer.ts'

/** So many holders are named when something is used up. */
const named = 3

export function badPool(what: string, hint?: string): UserError {
  return new UserError('BAD_POOL', what, hint === undefined ? {} : { hint })
}

export function badSubPool(hint: string): UserError {
  return new UserError('BAD_SUBPOOL', 'invalid address subpool', { hint })
}

export function poolOverlap(book: Book, subnet: Cidr, holder: Pool): UserError {
  const name = book.nameOf(holder)
  const { subnet: other, at } = holder.record
  const by = name === undefined ? '' : ` by ${name}`
  const end =
    name === undefined ? `end the pool with 'weft ipam release ${other}' if no network has it` : 'remove the network'
  return new UserError('POOL_OVERLAP', 'Pool overlaps with other one on this address space', {
    hint: `${subnet} meets ${other}, held${by} since ${time(at)}; choose another subnet, or ${end}`,
  })
}

/** `avoided`: subnets that are not weft's pools: routes of the host, networks of others. */
export function poolsExhausted(
  book: Book,
  blocks: readonly DefaultPool[],
  family: Family,
  avoided: readonly Cidr[],
): UserError {
  const what = 'all predefined address pools have been fully subnetted'
  if (blocks.length === 0) {
    const hint = `no default pool for IPv${family} of that size is configured; name a subnet with --subnet`
    return new UserError('POOLS_EXHAUSTED', what, { hint })
  }
  const isWithin = (subnet: Cidr): boolean => blocks.some(({ base }) => overlaps(base, subnet))
  const largest = (one: Cidr, other: Cidr): number => lengthOf(one) - lengthOf(other)
  const pools = [...book.pools.values()].filter(pool => isWithin(pool.record.subnet))
  const others = [...new Set(avoided)].filter(one => !leadsEverywhere(one) && isWithin(one)).toSorted(largest)
  const holders = [
    ...others.slice(0, named).map(subnet => `${subnet} is routed, or a network of others`),
    ...pools
      .toSorted((one, other) => largest(one.record.subnet, other.record.subnet))
      .slice(0, named)
      .map(pool => `${pool.record.subnet} has ${book.nameOf(pool) ?? `no known network`}`),
  ]
  const names = blocks.map(({ base, size }) => `/${size} of ${base}`).join(', ')
  const beside = `beside ${pools.length} pools and ${others.length} routes and networks of others`
  return new UserError('POOLS_EXHAUSTED', what, {
    hint: `no ${names} is free ${beside}; the largest: ${holders.join(', ')}; 'weft ipam ls' lists the pools; remove unused networks, configure more default pools, or name a --subnet`,
  })
}

export function unknownPool(id: PoolId): UserError {
  return new UserError('UNKNOWN_POOL', 'address space does not contain specified address pool', {
    hint: `${id} was released or never requested here; remove the network and create it again`,
  })
}

export function noPool(where: string): UserError {
  return new UserError('NO_SUCH_POOL', `no pool of weft is or has ${where}`, {
    hint: "'weft ipam ls' lists them, with their networks",
  })
}

export function notInPools(address: Ip, pools: readonly PoolEntry[]): UserError {
  return new UserError('ADDRESS_OUT_OF_RANGE', 'requested address is out of range', {
    hint: `${address} is not in ${pools.map(({ subnet }) => subnet).join(', ')}`,
  })
}

export function badAddress(text: string): UserError {
  const address = parseCidr(text)
  return new UserError('BAD_ADDRESS', `invalid address ${JSON.stringify(text)}`, {
    hint: address === undefined ? 'write 10.0.0.1 or fd00::1' : `without /${lengthOf(address)}`,
  })
}

/** Who has what, and who has it longest. */
export function addressesExhausted(book: Book, pool: Pool): UserError {
  const { size, leased, chosen, reserved } = pool.usage(book.now)
  const counts = [
    `${leased} in use`,
    ...(chosen > 0 ? [`${chosen} kept for those who chose them once`] : []),
    ...(reserved > 0 ? [`${reserved} reserved`] : []),
    'none free',
  ]
  const eldest = [...pool.leases]
    .filter(([, { purpose }]) => purpose === 'endpoint')
    .toSorted(([, one], [, other]) => one.at - other.at)
    .slice(0, named)
    .map(([address, { at }]) => `${address} ${book.nameOf(pool, address) ?? 'an endpoint'} since ${time(at)}`)
  const name = book.nameOf(pool)
  const where = `${pool.record.range ?? pool.record.subnet}${name === undefined ? '' : ` of ${name}`}`
  const longest = eldest.length === 0 ? '' : `; longest: ${eldest.join(', ')}`
  return new UserError('ADDRESSES_EXHAUSTED', 'no available addresses on this pool', {
    hint: `${where} has ${size}: ${counts.join(', ')}${longest}; remove containers or make a larger network; 'weft ipam check' finds what nobody uses, 'weft ipam release ADDRESS' frees it`,
  })
}

export function cannotGrant(book: Book, pool: Pool, address: Ip, obstacle: Obstacle): UserError {
  if (obstacle === 'outside') {
    return new UserError('ADDRESS_OUT_OF_RANGE', 'requested address is out of range', {
      hint: `${address} is not in ${pool.record.subnet}`,
    })
  }
  return new UserError('ADDRESS_IN_USE', 'Address already in use', {
    hint: `${address} of ${pool.record.subnet} is ${holderOf(book, pool, address, obstacle)}`,
  })
}

export function macReserved(mac: Mac, address: Ip): UserError {
  return new UserError('MAC_RESERVED', `${mac} has the reservation ${address} already`, {
    hint: `end that one with 'weft ipam release ${address}'`,
  })
}

/** `client` never learns of a MAC. */
export function maclessReservation(client: string): UserError {
  return new UserError('MAC_REFUSED', `${client} gets no MACs from the engine`, {
    hint: 'leave --mac out: whoever names the address gets it',
  })
}

export function addressHeld(address: Ip, { why, hint }: Hold): UserError {
  return new UserError('ADDRESS_HELD', `${address} ${why}`, { hint })
}

export function addressFree(address: Ip): UserError {
  return new UserError('ADDRESS_FREE', `nothing keeps ${address}`, {
    hint: `'weft ipam show ${address}' tells about it, 'weft ipam check' finds what nobody uses`,
  })
}

function holderOf(book: Book, pool: Pool, address: Ip, obstacle: Obstacle): string {
  const lease = pool.leases.get(address)
  if (obstacle === 'leased' && lease) return `the ${whose(lease, book.nameOf(pool, address))} since ${time(lease.at)}`
  const reservation = pool.reservations.get(address)
  if (obstacle !== 'reserved' || reservation?.mac === undefined) return `the ${obstacle}`
  const note = reservation.note === undefined ? '' : ` (${reservation.note})`
  return `reserved for ${reservation.mac}${note} since ${time(reservation.at)}; 'weft ipam release ${address}' ends that`
}

function whose({ purpose }: Lease, name: string | undefined): string {
  return purpose === 'endpoint' && name !== undefined ? `address of ${name}` : holders[purpose]
}

const holders = {
  gateway: 'gateway',
  reserved: 'auxiliary address',
  endpoint: 'address of an endpoint',
  host: "host's own address",
} as const

function time(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}
