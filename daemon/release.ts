/** What an operator may end of addresses and pools: nothing that somebody uses, or may be about to, without `--force`. */
import type { Hold } from '../ipam/desk.ts'
import type { Pool } from '../ipam/pool.ts'
import type { Lease, PoolEntry } from '../ipam/records.ts'
import type { Ip } from '../native/value/ip.ts'
import { UserError } from '../plugin-api/answer.ts'
import { span } from './commands/print.ts'
import { textOf } from './holders.ts'
import type { IpamShown } from './show-ipam.ts'
import { isOfNetwork, youngMs } from './suspects.ts'
import type { ReleaseReport } from './view-ipam.ts'

const forced = '--force ends the lease all the same, and the address may be given to somebody else'
const silent = {
  why: 'may be in use: the engine does not answer, and nobody else knows',
  hint: `start it first; ${forced}`,
} as const

/** Why this lease does not end by hand. The engine was looked at. */
export function holdOf(shown: IpamShown, pool: Pool, address: Ip, lease: Lease): Hold | undefined {
  const { holders, records, answered } = shown
  const holder = holders.holderOf(pool.entry, address)
  if (holder) return { why: `is in use by ${textOf(holder)}`, hint: `remove that first; ${forced}` }
  const network = holders.networkOf(pool.entry)
  if (isOfNetwork(shown, network?.id, { ...lease, address })) {
    const name = holders.nameOf(pool.entry)
    if (name !== undefined) return { why: `is in use by ${name}`, hint: `remove that first; ${forced}` }
    const { subnet } = pool.record
    const hint = `if no network has that, 'weft ipam release ${subnet}' ends all of it; ${forced}`
    return { why: `is kept for the network on ${subnet}`, hint }
  }
  const age = Date.now() - lease.at
  if (age <= youngMs) {
    const why = `was granted ${span(age)} ago, and its endpoint may be yet to come`
    return { why, hint: `ask again in ${youngMs / 1000} s; ${forced}` }
  }
  const isOwn = network !== undefined && records.network(network.id) !== undefined
  return isOwn || answered() ? undefined : silent
}

/** Ends a pool that no network uses. Throws UserError POOL_HELD. */
export async function releasePool(
  { ipam, holders, answered, log }: IpamShown,
  entry: PoolEntry,
  { force }: { readonly force: boolean },
): Promise<ReleaseReport> {
  const { id, subnet, at } = entry
  const network = holders.nameOf(entry)
  if (network !== undefined) throw poolHeld(subnet, `is in use by ${network}`, 'remove that, and its pool ends with it')
  const inUse = [...(ipam.pool(id)?.leases ?? [])].flatMap(([address, { purpose }]) =>
    purpose === 'endpoint' ? [address] : [],
  )
  const forcing = '--force ends it all the same'
  if (!force && !answered()) throw poolHeld(subnet, silent.why, `start it first; ${forcing}`)
  if (!force && Date.now() - at <= youngMs) {
    throw poolHeld(
      subnet,
      'was granted just now, and its network may be yet to come',
      `ask again in ${youngMs / 1000} s`,
    )
  }
  if (!force && inUse.length > 0) {
    const why = `has ${inUse.length} ${inUse.length === 1 ? 'address' : 'addresses'} of endpoints, among them ${inUse[0]}`
    throw poolHeld(subnet, why, `'weft ipam release ADDRESS' ends one, if nobody uses it; ${forcing}`)
  }
  if (!(await ipam.dropPool(entry))) {
    throw poolHeld(subnet, 'is in use: an endpoint is alive, or it was requested again', "see 'weft ipam ls'")
  }
  log.warn({ pool: id, force }, 'pool released by hand')
  return { what: subnet, ended: ['pool'] }
}

function poolHeld(subnet: string, why: string, hint: string): UserError {
  return new UserError('POOL_HELD', `${subnet} ${why}`, { hint })
}
