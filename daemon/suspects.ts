/** What does not fit together among leases, endpoints, networks, and the engine's list. */
import type { Ipam } from '../ipam/ipam.ts'
import type { LeaseEntry, PoolEntry } from '../ipam/records.ts'
import { addressOf, contains, type Ip } from '../native/value/ip.ts'
import type { NetworkId } from '../plugin-api/ids.ts'
import { shortId } from './commands/print.ts'
import { textOf, type Conflict } from './conflicts.ts'
import type { EngineNetwork } from './engine.ts'
import type { Holders } from './holders.ts'
import type { Records } from './records.ts'
import type { Suspect } from './view-ipam.ts'

export interface SuspectSources {
  readonly ipam: Pick<Ipam, 'pools' | 'leases' | 'isGranted'>
  readonly holders: Pick<Holders, 'networkOf' | 'holderOf'>
  readonly records: Records
  /** Networks with addresses of weft's, as the engine told last. */
  readonly listed: () => ReadonlyMap<NetworkId, EngineNetwork>
  /** Did the engine answer when it was asked last? */
  readonly answered: () => boolean
  readonly conflicts: () => readonly Conflict[]
}

/** An engine asks for an address before it makes the endpoint, and for a pool before the network. */
export const youngMs = 10_000

const idle = true as const

export function suspectsOf(sources: SuspectSources, now = Date.now()): readonly Suspect[] {
  const { ipam, holders } = sources
  const pools = ipam.pools()
  const leases = Map.groupBy(ipam.leases(), ({ pool }) => pool)
  return [
    ...pools.flatMap((pool): readonly Suspect[] => {
      const network = holders.networkOf(pool)
      const place = { pool: pool.id, ...(network && { network: network.name ?? shortId(network.id) }) }
      const isOld = ({ at }: { readonly at: number }): boolean => now - at > youngMs
      if (!network) {
        return isOld(pool) && sources.answered() ? [{ ...place, reason: 'no network uses this pool', idle }] : []
      }
      const own = leases.get(pool.id) ?? []
      return [
        ...own
          .filter(lease => isOld(lease) && !isOfNetwork(sources, network.id, lease))
          .flatMap(lease =>
            unusedLease(sources, pool, lease).map(reason => ({ ...place, address: lease.address, reason, idle })),
          ),
        ...heldWithoutLease(sources, pool, network.id, own).map(({ address, reason }) => ({
          ...place,
          address,
          reason,
        })),
      ]
    }),
    ...lostPools(sources),
    ...sources.conflicts().map(conflict => {
      const pool = pools.find(({ subnet }) => subnet === conflict.subnet)?.id
      const network = conflict.owner.replace(/^network /, '')
      return { ...(pool === undefined ? {} : { pool }), network, reason: textOf(conflict) }
    }),
  ]
}

/**
 * Is it there as long as its network is? Gateways, the host's own, and auxiliary addresses: which ones a network has is
 * recorded of weft's own only.
 */
export function isOfNetwork(
  { records }: Pick<SuspectSources, 'records'>,
  network: NetworkId | undefined,
  { purpose, address }: Pick<LeaseEntry, 'purpose' | 'address'>,
): boolean {
  if (purpose !== 'reserved') return purpose !== 'endpoint'
  const own = network && records.network(network)
  return !own || own.subnets.some(({ aux }) => Object.values(aux).includes(address))
}

function unusedLease(
  { holders, records, answered }: SuspectSources,
  pool: PoolEntry,
  { address, purpose }: LeaseEntry,
): readonly string[] {
  const network = holders.networkOf(pool)
  if (!network || holders.holderOf(pool, address)) return []
  const isOwn = records.network(network.id) !== undefined
  if (purpose === 'reserved') return ['no endpoint has it, and it is no auxiliary address of the network']
  if (isOwn) return [`no endpoint has it${answered() ? ', and the engine does not list it' : ''}`]
  return answered() ? ['the engine does not list it'] : []
}

/** Addresses that are in use although nobody was granted them, or that two have. */
function heldWithoutLease(
  { records, listed }: SuspectSources,
  { subnet }: PoolEntry,
  networkId: NetworkId,
  leases: readonly LeaseEntry[],
): readonly { readonly address: Ip; readonly reason: string }[] {
  const granted = new Set(leases.map(({ address }) => address))
  const held = records
    .endpointsOf(networkId)
    .flatMap(({ id, addresses }) =>
      addresses.map(cidr => ({ address: addressOf(cidr), who: `endpoint ${shortId(id)}` })),
    )
  const recorded = new Set(held.map(({ address }) => address))
  const seen = [...(listed().get(networkId)?.endpoints.values() ?? [])]
    .flatMap(({ container, addresses }) => addresses.map(address => ({ address, who: `container ${container}` })))
    .filter(({ address }) => !recorded.has(address))
  const holders = Map.groupBy(
    [...held, ...seen].filter(({ address }) => contains(subnet, address)),
    ({ address }) => address,
  )
  return [...holders].flatMap(([address, some]) => {
    const who = some.map(one => one.who).join(', ')
    return [
      ...(granted.has(address) ? [] : [{ address, reason: `${who} has it, and it is granted to nobody` }]),
      ...(some.length > 1 ? [{ address, reason: `${some.length} have it: ${who}` }] : []),
    ]
  })
}

function lostPools({ ipam, records }: SuspectSources): readonly Suspect[] {
  return records.networks().flatMap(({ id, pools = [] }) =>
    pools
      .filter(grant => !ipam.isGranted(grant))
      .map(grant => ({
        pool: grant.id,
        network: shortId(id),
        reason: 'the network was made on it, and it was released',
      })),
  )
}
