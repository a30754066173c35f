/** The host's own addresses in a network: chosen when it is made, and kept as long as it lives. */
import type { Driver, HostWish, Network, PoolGrant } from '../drivers/driver.ts'
import type { Cidr, Ip } from '../native/value/ip.ts'
import { UserError } from '../plugin-api/answer.ts'
import { hostQuestion, othersWith, taken } from './duplicates.ts'
import type { House } from './house.ts'

/** As many addresses may turn out to be somebody else's. */
const attempts = 3

interface Place extends HostWish {
  /** Absent: another IPAM driver gives the addresses of the pool. */
  readonly grant?: PoolGrant
}

/**
 * Takes its time where others are asked: outside of any turn. `own`: subnets of weft's own IPAM; the others' addresses
 * cannot be reserved. Throws UserError, also for what is wrong with the network itself.
 */
export async function withHost(house: House, driver: Driver, network: Network, own: readonly Cidr[]): Promise<Network> {
  const wishes = driver.hostWishes?.(network) ?? []
  if (wishes.length === 0) return network
  await house.refresh()
  driver.admit(network, house.records.networks(), house.facts)
  const places = wishes.map((wish): Place => {
    const [grant] = own.includes(wish.pool) ? house.pools.grantsOf([wish.pool]) : []
    return { ...wish, ...(grant && { grant }) }
  })
  try {
    const hostAddresses = await choose(house, driver, network, places)
    tellUnreserved(house, network, places)
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

/** One for each place. */
async function choose(
  house: House,
  driver: Driver,
  network: Network,
  places: readonly Place[],
): Promise<readonly Ip[]> {
  const chosen = new Map<Place, Ip>()
  for (let attempt = 0; ; attempt += 1) {
    for (const place of places) {
      if (!chosen.has(place)) chosen.set(place, await hold(house, network, place, attempt))
    }
    const addresses = [...chosen.values()]
    const question = hostQuestion(house, driver, network, addresses)
    // On a VLAN that is made with the network nobody can be asked yet: that is done before the first container.
    const isThere = house.facts.links.some(({ name }) => name === question?.link)
    const held = question && isThere ? await othersWith(house, question) : []
    if (!question || held.length === 0) return places.flatMap(place => chosen.get(place) ?? [])
    for (const holder of held) {
      const refusal = taken(question, holder)
      const place = places.find(one => chosen.get(one) === holder.address)
      // What is somebody else's stays out of the pool as long as the network lives.
      if (!place?.grant || place.address !== undefined || attempt + 1 === attempts) throw refusal
      house.log.warn({ network: network.id, err: refusal }, 'an address for the host was passed over')
      chosen.delete(place)
    }
  }
}

async function hold({ pools }: House, network: Network, place: Place, attempt: number): Promise<Ip> {
  const { pool, grant, address } = place
  const held = grant ? await pools.hold(grant.id, ownerOf(network.id, attempt), address) : address
  if (held === undefined) throw noReservation(network, pool)
  return held
}

function ownerOf(id: string, attempt: number): string {
  return attempt === 0 ? `network/${id}` : `network/${id}/${attempt}`
}

/** No request of the engine says what its range is: such an address may well be kept out of it. */
function tellUnreserved({ log }: House, { id, subnets }: Network, places: readonly Place[]): void {
  const known = subnets.flatMap(({ aux }) => Object.values(aux))
  const addresses = places
    .filter(({ grant }) => !grant)
    .flatMap(({ address }) => (address === undefined || known.includes(address) ? [] : [address]))
  if (addresses.length === 0) return
  log.warn(
    { network: id, addresses },
    'another IPAM driver may give the address of the host to a container, which is refused then: ' +
      'name it with --aux-address host=ADDRESS, unless --ip-range leaves it out',
  )
}

function noReservation({ driver }: Network, pool: Cidr): UserError {
  const text = `weft-${driver} cannot choose an address for the host in ${pool}: another IPAM driver gives its addresses`
  return new UserError('HOST_ACCESS', text, {
    hint: 'add --ipam-driver weft-ipam; or name one: --aux-address host=ADDRESS, or -o host_access=ADDRESS',
  })
}
