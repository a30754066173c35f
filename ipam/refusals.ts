/** Refusals in the engine's own words, which people and scripts know, followed by what to do. */
import type { DefaultPool } from './defaults.ts'
import type { Obstacle, Pool } from './pool.ts'
import type { Cidr, Family, Ip } from '../native/value/ip.ts'
import type { PoolId } from '../plugin-api/ids.ts'
import { UserError } from '../plugin-api/answer.ts'

export function badPool(what: string, hint?: string): UserError {
  return new UserError('BAD_POOL', what, hint === undefined ? {} : { hint })
}

export function badSubPool(hint: string): UserError {
  return new UserError('BAD_SUBPOOL', 'invalid address subpool', { hint })
}

export function poolOverlap(subnet: Cidr, holder: Pool): UserError {
  return new UserError('POOL_OVERLAP', 'Pool overlaps with other one on this address space', {
    hint: `${subnet} meets ${holder.record.subnet}, held since ${time(holder.record.at)}; choose another subnet or remove the network that has it`,
  })
}

export function poolsExhausted(blocks: readonly DefaultPool[], family: Family, taken: number): UserError {
  const names = blocks.map(({ base, size }) => `/${size} of ${base}`).join(', ')
  return new UserError('POOLS_EXHAUSTED', 'all predefined address pools have been fully subnetted', {
    hint:
      names === ''
        ? `no default pool for IPv${family} of that size is configured; name a subnet with --subnet`
        : `no ${names} is free beside ${taken} pools and the routes of the host; remove unused networks or configure more default pools`,
  })
}

export function unknownPool(id: PoolId): UserError {
  return new UserError('UNKNOWN_POOL', 'address space does not contain specified address pool', {
    hint: `${id} was released or never requested here; remove the network and create it again`,
  })
}

export function badAddress(text: string): UserError {
  return new UserError('BAD_ADDRESS', `invalid address ${JSON.stringify(text)}`)
}

export function addressesExhausted(pool: Pool): UserError {
  const where = pool.record.range ?? pool.record.subnet
  return new UserError('ADDRESSES_EXHAUSTED', 'no available addresses on this pool', {
    hint: `${pool.leases.size} addresses of ${where} are in use; remove stopped endpoints or create a larger network`,
  })
}

export function cannotGrant(address: Ip, pool: Pool, obstacle: Obstacle): UserError {
  if (obstacle === 'outside') {
    return new UserError('ADDRESS_OUT_OF_RANGE', 'requested address is out of range', {
      hint: `${address} is not in ${pool.record.subnet}`,
    })
  }
  const lease = pool.leases.get(address)
  const holder = lease ? `the ${holders[lease.purpose]} since ${time(lease.at)}` : `the ${obstacle}`
  return new UserError('ADDRESS_IN_USE', 'Address already in use', {
    hint: `${address} of ${pool.record.subnet} is ${holder}`,
  })
}

const holders = { gateway: 'gateway', reserved: 'auxiliary address', endpoint: 'address of an endpoint' } as const

function time(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}
