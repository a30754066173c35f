/** What is asked for, read from the engine's words. Throws UserError in the engine's own. */
import type { Lease, PoolRecord, Purpose } from './records.ts'
import type { Cidr, Family, Ip } from '../native/value/ip.ts'
import type { Mac } from '../native/value/mac.ts'
import {
  addressOf,
  contains,
  familyOf,
  isUnspecified,
  lengthOf,
  networkOf,
  parseCidr,
  parseIp,
} from '../native/value/ip.ts'
import { badAddress, badPool, badSubPool } from './refusals.ts'

export interface PoolWish {
  /** Name of the driver whose socket the request came to. */
  readonly client: string
  /** `10.88.0.0/16`; `0.0.0.0/28`, `::/80`: this prefix length from the default pools; undefined: any of `family`. */
  readonly pool?: string
  /** Where addresses are chosen from: inside of `pool`, which must be named then. */
  readonly subPool?: string
  /** Counts when no pool is named; otherwise the pool says it. */
  readonly family: Family
  readonly options?: Readonly<Record<string, string>>
}

/**
 * Without type and MAC the engine asks for an auxiliary address (`reserved`), or repeats a request of before; one that was
 * told to send no MACs, perhaps for a container with `--ip`.
 */
export interface AddressWish {
  readonly purpose: Purpose
  readonly address?: string
  readonly mac?: Mac
}

export type ReadWish =
  | { readonly kind: 'named'; readonly subnet: Cidr; readonly range?: Cidr }
  | { readonly kind: 'any'; readonly family: Family; readonly length?: number }

export function readPoolWish(wish: PoolWish): ReadWish {
  if (wish.pool === undefined) {
    if (wish.subPool !== undefined) throw badSubPool(`${wish.subPool} needs a pool around it: name one with --subnet`)
    return { kind: 'any', family: wish.family }
  }
  const subnet = parseCidr(wish.pool)
  if (subnet === undefined) throw badPool('invalid address pool', `${JSON.stringify(wish.pool)} is not ADDRESS/LENGTH`)
  if (isUnspecified(addressOf(subnet))) return readLength(subnet, wish.subPool)
  if (networkOf(subnet) !== subnet) throw badPool(`invalid subnet ${subnet}: it should be ${networkOf(subnet)}`)
  return { kind: 'named', subnet, ...(wish.subPool === undefined ? {} : { range: readRange(wish.subPool, subnet) }) }
}

function readLength(unspecified: Cidr, subPool: string | undefined): ReadWish {
  if (subPool !== undefined) throw badSubPool(`${subPool} cannot be in a pool that is still to be chosen`)
  if (lengthOf(unspecified) === 0) throw badPool('invalid address pool', `${unspecified} is the whole address space`)
  return { kind: 'any', family: familyOf(unspecified), length: lengthOf(unspecified) }
}

function readRange(text: string, subnet: Cidr): Cidr {
  const range = parseCidr(text)
  if (range === undefined) throw badSubPool(`${JSON.stringify(text)} is not ADDRESS/LENGTH`)
  if (familyOf(range) !== familyOf(subnet)) throw badPool('pool and subpool are of incompatible address families')
  if (networkOf(range) !== range) throw badSubPool(`${range} should be ${networkOf(range)}`)
  if (!contains(subnet, range)) throw badSubPool(`${range} is not inside of ${subnet}`)
  return range
}

export function readAddress(text: string): Ip {
  const address = parseIp(text)
  if (address === undefined) throw badAddress(text)
  return address
}

/**
 * May a granted address be granted once more? A gateway to its network; an endpoint's to the same MAC. Requests without
 * a MAC only come for networks that begin, whose pool nobody else has, and from an engine that begins and repeats itself;
 * `repeats` says that it may be so where the engine sends no MACs at all.
 */
export function isSameGrant(
  held: Lease,
  wish: { readonly purpose: Purpose; readonly mac: Mac | undefined; readonly repeats: boolean },
): boolean {
  switch (wish.purpose) {
    case 'gateway':
      return held.purpose === 'gateway'
    case 'reserved':
      return wish.repeats && (held.purpose === 'reserved' || held.purpose === 'endpoint')
    case 'endpoint':
      return held.purpose === 'endpoint' && held.mac !== undefined && held.mac === wish.mac
  }
}

/** Does the wish repeat what this record was made for? Subnet and range were compared by the id already. */
export function isSamePool(held: PoolRecord, wish: PoolWish): boolean {
  const options = Object.entries(wish.options ?? {})
  return (
    held.client === wish.client &&
    options.length === Object.keys(held.options).length &&
    options.every(([key, value]) => held.options[key] === value)
  )
}
