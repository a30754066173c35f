/**
 * Addresses are searched for in the segment before they are used: outside of any turn, for it takes its time. What takes
 * longer than a call may is begun in one call and waited for in the next.
 */
import type { Driver, Endpoint, Network, Search } from '../drivers/driver.ts'
import { macOf } from '../drivers/names.ts'
import { KernelError } from '../native/netlink/errors.ts'
import { addressOf, type Ip } from '../native/value/ip.ts'
import type { Mac } from '../native/value/mac.ts'
import type { EndpointId } from '../plugin-api/ids.ts'
import { UserError } from '../plugin-api/answer.ts'
import type { House } from './house.ts'

/** A question to the segment that a link leads to. */
export interface Question extends Search {
  readonly addresses: readonly Ip[]
  /** Who is going to have them. */
  readonly mac: Mac
  readonly signal?: AbortSignal
  /** The host itself is going to have them: on these links, one of which may still be on its way out. */
  readonly hostLinks?: readonly string[]
}

/** Who answered; `link`: one of this host. */
export interface Holder {
  readonly address: Ip
  readonly mac: Mac
  readonly link?: string
}

/** All reject with KernelError when nobody can be asked or told. */
export interface Segment {
  holders(question: Question): Promise<readonly Holder[]>
  hasMac(question: Question): Promise<boolean>
  /** Takes seconds. */
  announce(news: Pick<Question, 'link' | 'addresses' | 'mac'>): Promise<void>
}

/** As if nobody were there. */
export const nobody: Segment = {
  holders: async () => [],
  hasMac: async () => false,
  announce: async () => undefined,
}

/** A call has 5 s. */
const firstCallMs = 3_500

export class Duplicates {
  readonly #house: House
  readonly #pending = new Map<EndpointId, { readonly search: Promise<void>; readonly end: () => void }>()

  constructor(house: House) {
    this.#house = house
  }

  /** Goes on with what a weftd before this one has begun: it may have answered the first call, but not yet the second. */
  resume(driver: Driver): void {
    const { records } = this.#house
    for (const network of records.networks().filter(one => one.driver === driver.name)) {
      const where = driver.search?.(network)
      if (where?.timing !== 'rfc5227') continue
      for (const endpoint of records.endpointsOf(network.id)) {
        if (endpoint.phase === 'created') void this.#start(endpoint.id, questionOf(where, endpoint))
      }
    }
  }

  /** Rejects with UserError when somebody has an address. Resolves at the latest before the call is late. */
  async begin(driver: Driver, network: Network, endpoint: Endpoint, chosen: { readonly mac: boolean }): Promise<void> {
    const where = driver.search?.(network)
    if (!where) return
    const question = questionOf(where, endpoint)
    // First: the search for addresses makes switches look for the MAC here.
    if (chosen.mac && question.addresses.length > 0) await refuseMac(this.#house, { ...question, timing: 'fast' })
    const [isOver] = await Promise.all([
      endsWithin(this.#start(endpoint.id, question), firstCallMs),
      this.#refuseHost(driver, network),
    ])
    if (isOver) this.#pending.delete(endpoint.id)
  }

  /** What `begin` did not wait for. */
  async finish(id: EndpointId): Promise<void> {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    await pending?.search
  }

  /** Nobody wants to know any more. */
  forget(id: EndpointId): void {
    this.#pending.get(id)?.end()
    this.#pending.delete(id)
  }

  #start(id: EndpointId, question: Question): Promise<void> {
    this.forget(id)
    const controller = new AbortController()
    const search = refuseHeld(this.#house, { ...question, signal: controller.signal })
    const end = (): void => {
      controller.abort()
    }
    // Perhaps it is waited for in a later call; until then nobody hears how it ends.
    search.catch(() => undefined)
    this.#pending.set(id, { search, end })
    return search
  }

  /** The first container brings the host into the segment, where somebody may have come to use its addresses. */
  async #refuseHost(driver: Driver, network: Network): Promise<void> {
    const { records, entering } = this.#house
    if (entering.has(network.id) || records.endpointsOf(network.id).length > 0) return
    const question = hostQuestion(this.#house, driver, network, network.hostAddresses ?? [])
    if (question) await refuseHeld(this.#house, question)
  }
}

function questionOf(where: Search, { addresses, mac }: Endpoint): Question {
  return { ...where, addresses: addresses.map(addressOf), mac }
}

/** Undefined: nobody is to be asked. */
export function hostQuestion(
  { facts }: House,
  driver: Driver,
  network: Network,
  addresses: readonly Ip[],
): Question | undefined {
  const where = driver.search?.(network)
  if (!where) return undefined
  const plan = driver.planHost(facts, [{ network: { ...network, hostAddresses: addresses }, used: true }])
  const hostLinks = plan.flatMap(wish => (wish.type === 'address' ? [wish.link] : []))
  const mac = driver.fixedMac?.(network, facts) ?? macOf(`host in ${network.id}`)
  return { ...where, timing: 'fast', addresses, mac, hostLinks }
}

/** In the background: whoever remembers another MAC for its addresses shall forget it. */
export function announce(house: House, driver: Driver, network: Network, { addresses, mac }: Endpoint): void {
  if (addresses.length === 0) return
  for (const link of driver.announces?.(network, house.facts) ?? []) {
    house.segment.announce({ link, addresses: addresses.map(addressOf), mac }).catch((cause: unknown) => {
      house.log.debug({ link, addresses, err: cause }, 'nobody was told who has these addresses')
    })
  }
}

/** Rejects as the work does, in that time. */
async function endsWithin(work: Promise<void>, ms: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(resolve, ms, false)
  try {
    return await Promise.race([work.then(() => true), promise])
  } finally {
    clearTimeout(timer)
  }
}

/** None as well when nobody can be asked now, which is no reason to refuse. */
export async function othersWith(house: House, question: Question): Promise<readonly Holder[]> {
  if (question.addresses.length === 0) return []
  const holders = (await asked(house, question, () => house.segment.holders(question))) ?? []
  return holders.filter(({ link }) => link === undefined || !question.hostLinks?.includes(link))
}

/** ADDRESS_TAKEN */
export function taken({ link, hostLinks }: Question, holder: Holder): UserError {
  const who = holder.link === undefined ? `${holder.mac} has it` : `the host itself has it on ${holder.link}`
  const what = `address ${holder.address}${hostLinks ? ' for the host' : ''} is in use on ${link}: ${who}`
  const hint = hostLinks
    ? 'create the network with another -o host_access=ADDRESS; -o weft.dad=off does not ask'
    : 'choose another one, or keep it out of the range with --aux-address; -o weft.dad=off does not ask'
  return new UserError('ADDRESS_TAKEN', what, { hint })
}

/** Throws UserError ADDRESS_TAKEN. */
async function refuseHeld(house: House, question: Question): Promise<void> {
  const [holder] = await othersWith(house, question)
  if (holder) throw taken(question, holder)
}

/** Throws UserError MAC_TAKEN. */
async function refuseMac(house: House, question: Question): Promise<void> {
  const { link, mac } = question
  if (!(await asked(house, question, () => house.segment.hasMac(question)))) return
  throw new UserError('MAC_TAKEN', `MAC address ${mac} is in use on ${link}`, {
    hint: 'choose another --mac-address, or leave it out; -o weft.dad=off does not ask',
  })
}

/** Undefined: nobody can be asked now, which is no reason to refuse. */
async function asked<T>({ log }: House, { link, addresses }: Question, ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask()
  } catch (cause) {
    if (!(cause instanceof KernelError)) throw cause
    log.warn({ link, addresses, err: cause }, 'nobody could be asked whether these addresses are in use')
    return undefined
  }
}
