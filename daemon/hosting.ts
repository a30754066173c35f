/** The host's own addresses in a network: chosen when it is made, and kept as long as it lives. */
import type { Driver, HostWish, Network } from '../drivers/driver.ts'
import { macOf } from '../drivers/names.ts'
import type { Cidr, Ip } from '../native/value/ip.ts'
import { UserError } from '../plugin-api/answer.ts'
import { refuseHeld } from './duplicates.ts'
import type { House } from './house.ts'

/** As many addresses may turn out to be somebody else's. */
const attempts = 3

/** `own`: subnets of weft's own IPAM; the others' addresses cannot be reserved. Throws UserError. */
export async function withHost(house: House, driver: Driver, network: Network, own: readonly Cidr[]): Promise<Network> {
  const wishes = driver.hostWishes?.(network) ?? []
  if (wishes.length === 0) return network
  try {
    const hostAddresses: Ip[] = []
    for (const wish of wishes) hostAddresses.push(await choose(house, driver, network, wish, own))
    return { ...network, hostAddresses }
  } catch (cause) {
    await withoutHost(house, network)
    throw cause
  }
}

/** Its addresses are free again. */
export async function withoutHost(house: House, { id }: Network): Promise<void> {
  for (let attempt = 0; attempt < attempts; attempt += 1) await house.pools.letGo(ownerOf(id, attempt))
}

async function choose(
  house: House,
  driver: Driver,
  network: Network,
  { pool, address }: HostWish,
  own: readonly Cidr[],
): Promise<Ip> {
  const where = driver.search?.(network, house.facts)
  const [grant] = own.includes(pool) ? house.pools.grantsOf([pool]) : []
  for (let attempt = 0; ; attempt += 1) {
    const chosen = grant ? await house.pools.hold(grant.id, ownerOf(network.id, attempt), address) : address
    if (chosen === undefined) throw noReservation(network, pool)
    try {
      if (where)
        await refuseHeld(house, { ...where, timing: 'fast', addresses: [chosen], mac: macOf(`host in ${network.id}`) })
      return chosen
    } catch (cause) {
      // What is somebody else's stays out of the pool as long as the network lives.
      const isLast = attempt + 1 === attempts || address !== undefined || !grant
      if (isLast || !(cause instanceof UserError)) throw cause
      house.log.warn({ network: network.id, address: chosen, err: cause }, 'an address for the host was passed over')
    }
  }
}

function ownerOf(id: string, attempt: number): string {
  return attempt === 0 ? `network/${id}` : `network/${id}/${attempt}`
}

function noReservation({ driver }: Network, pool: Cidr): UserError {
  const text = `weft-${driver} cannot choose an address for the host in ${pool}: another IPAM driver gives its addresses`
  return new UserError('HOST_ACCESS', text, {
    hint: 'add --ipam-driver weft-ipam; or name one: --aux-address host=ADDRESS, or -o host_access=ADDRESS',
  })
}
