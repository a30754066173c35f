/** How one lease begins and ends: in memory at once, in the store with the writes, and the way back. */
import type { Step } from './journal.ts'
import type { Pool } from './pool.ts'
import type { Lease } from './records.ts'
import type { Cidr, Ip } from '../native/value/ip.ts'
import { leaseKey } from './records.ts'

/** A lease that the address has already is replaced in the same commit. */
export function beginLease(pool: Pool, address: Ip, lease: Lease): Step<Cidr> {
  const before = pool.leases.get(address)
  pool.revoke(address)
  pool.grant(address, lease)
  const undo = (): void => {
    pool.revoke(address)
    if (before) pool.grant(address, before)
  }
  const write = { key: leaseKey(pool.id, address), value: lease, ...(before ? {} : { expect: 0 }) }
  return { answer: pool.withLength(address), writes: [write], ...lasting(lease), undo }
}

export function endLease(pool: Pool, address: Ip, lease: Lease): Step<boolean> {
  pool.revoke(address)
  const undo = (): void => {
    pool.grant(address, lease)
  }
  return { answer: true, writes: [{ key: leaseKey(pool.id, address) }], ...lasting(lease), undo }
}

/** Endpoints do not outlive a boot; the engine repeats or releases their addresses at its next start. */
function lasting({ purpose }: Lease): Pick<Step<never>, 'survives'> {
  return purpose === 'endpoint' ? { survives: 'process' } : {}
}
