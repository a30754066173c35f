/** Addresses as `weft ipam` shows and changes them. */
import type { Ipam } from '../ipam/ipam.ts'
import type { Pool } from '../ipam/pool.ts'
import type { PoolEntry } from '../ipam/records.ts'
import { noPool, notInPools } from '../ipam/refusals.ts'
import { readAddress } from '../ipam/wish.ts'
import type { Ip } from '../native/value/ip.ts'
import { contains, networkOf, parseCidr } from '../native/value/ip.ts'
import type { Mac } from '../native/value/mac.ts'
import type { Holders } from './holders.ts'
import { holdOf, releasePool } from './release.ts'
import type { Log } from './log.ts'
import { readMac } from './requests.ts'
import { suspectsOf, type SuspectSources } from './suspects.ts'
import type { AddressReport, IpamView, PoolRow } from './view-ipam.ts'

export interface IpamShown extends Omit<SuspectSources, 'ipam' | 'holders'> {
  readonly ipam: Ipam
  readonly holders: Holders
  readonly log: Log
  /** Looks at the engine now. Never rejects. */
  readonly lookAtEngine: () => Promise<void>
}

export function ipamView(shown: IpamShown): IpamView {
  const { ipam, holders, log, lookAtEngine } = shown

  return {
    async pools() {
      return ipam.pools().map(entry => poolRow(shown, entry))
    },

    async address(text) {
      const address = readAddress(text)
      // Names of containers that have just begun.
      await lookAtEngine()
      return reportOf(shown, address)
    },

    async suspects() {
      await lookAtEngine()
      return suspectsOf(shown)
    },

    async reserve({ where, address: text, mac: macText, note }) {
      const address = readAddress(text)
      const named = ipam.pools().filter(entry => isNamed(holders, entry, where))
      if (named.length === 0) throw noPool(where)
      const entry = named.find(({ subnet }) => contains(subnet, address))
      if (!entry) throw notInPools(address, named)
      const mac = macText === undefined ? {} : { mac: readMac(macText) }
      await ipam.reserve(entry.id, { address, ...mac, ...(note === undefined ? {} : { note }) })
      log.info({ pool: entry.id, address, ...mac, note }, 'address reserved')
      return reportOf(shown, address)
    },

    async release({ what, force }) {
      await lookAtEngine()
      const wanted = parseCidr(what)
      const entry = ipam.pools().find(({ id, subnet }) => id === what || subnet === wanted)
      if (entry) return releasePool(shown, entry, { force })
      if (wanted !== undefined && networkOf(wanted) === wanted) throw noPool(what)
      const address = readAddress(what)
      const { ended, hold } = await ipam.release({
        address,
        force,
        heldBy: (pool, lease) => holdOf(shown, pool, address, lease),
      })
      log.warn({ address, ended, force }, 'address released by hand')
      return { what: address, ended, ...(hold && { stays: hold.why }) }
    },
  }
}

function poolAround(ipam: Ipam, address: Ip): Pool {
  const pool = ipam.poolWith(address)
  if (!pool) throw noPool(address)
  return pool
}

function poolRow({ ipam, holders }: IpamShown, entry: PoolEntry): PoolRow {
  const network = holders.networkOf(entry)
  const usage = ipam.pool(entry.id)?.usage(ipam.now)
  return {
    id: entry.id,
    subnet: entry.subnet,
    ...(entry.range === undefined ? {} : { range: entry.range }),
    ...(network && { networkId: network.id, driver: network.driver }),
    ...(network?.name === undefined ? {} : { network: network.name }),
    size: String(usage?.size ?? 0),
    free: String(usage?.free ?? 0),
    used: usage?.leased ?? 0,
    outside: usage?.outside ?? 0,
    kept: (usage?.chosen ?? 0) + (usage?.reserved ?? 0),
    reserved: usage?.reserved ?? 0,
    resting: usage?.resting ?? 0,
    since: entry.at,
  }
}

function reportOf({ ipam, holders }: IpamShown, address: Ip): AddressReport {
  const pool = poolAround(ipam, address)
  const network = holders.networkOf(pool.entry)
  const [lease, chosen] = [pool.leases.get(address), pool.chosen.get(address)]
  const [reservation, past] = [pool.reservations.get(address), pool.past.get(address)]
  const restsUntil = pool.restsUntil(address, ipam.now)
  const special = pool.specialOf(address)
  const state = ((): AddressReport['state'] => {
    if (special !== undefined) return 'special'
    if (lease) return 'in use'
    if (reservation) return 'reserved'
    if (chosen) return 'kept'
    return restsUntil === undefined ? 'free' : 'resting'
  })()
  return {
    address,
    pool: pool.id,
    subnet: pool.record.subnet,
    ...(network?.name === undefined ? {} : { network: network.name }),
    state,
    ...(special === undefined ? {} : { special }),
    ...(lease && {
      lease: { purpose: lease.purpose, since: lease.at, ...macIn(lease), ...holders.holderOf(pool.entry, address) },
    }),
    ...(reservation && {
      reservation: {
        since: reservation.at,
        ...macIn(reservation),
        ...(reservation.note === undefined ? {} : { note: reservation.note }),
      },
    }),
    ...(chosen && { chosenAt: chosen.at }),
    ...(past && {
      past: { endedAt: past.endedAt, ...macIn(past), ...(restsUntil === undefined ? {} : { restsUntil }) },
    }),
  }
}

function macIn({ mac }: { readonly mac?: Mac }): { readonly mac?: Mac } {
  return mac === undefined ? {} : { mac }
}

/** As an engine takes names: whole names, and the beginnings of ids. */
function isNamed(holders: Holders, entry: PoolEntry, where: string): boolean {
  const network = holders.networkOf(entry)
  const isId = where.length >= 4 && network?.id.startsWith(where)
  return entry.id === where || entry.subnet === where || network?.name === where || (isId ?? false)
}
