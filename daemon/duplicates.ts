/**
 * Addresses are searched for in the segment before they are used: outside of any turn, for it takes its time. What takes
 * longer than a call may is begun in one call and waited for in the next.
 */
import type { Driver, Endpoint, Network, Search } from '../drivers/driver.ts'
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

  /** Rejects with UserError when somebody has an address. Resolves at the latest before the call is late. */
  async begin(driver: Driver, network: Network, endpoint: Endpoint, chosen: { readonly mac: boolean }): Promise<void> {
    const { mac } = endpoint
    const addresses = endpoint.addresses.map(addressOf)
    const where = driver.search?.(network, this.#house.facts)
    if (!where || addresses.length === 0) return
    const controller = new AbortController()
    const { signal } = controller
    const question = { ...where, addresses, mac, signal }
    // First: the search for addresses makes switches look for the MAC here.
    if (chosen.mac) await refuseMac(this.#house, { ...question, timing: 'fast' })
    const search = refuseHeld(this.#house, question)
    const end = (): void => {
      controller.abort()
    }
    if (await endsWithin(search, firstCallMs)) return
    // It is waited for in the next call; until then nobody hears how it ends.
    search.catch(() => undefined)
    this.#pending.set(endpoint.id, { search, end })
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

/** Throws UserError ADDRESS_TAKEN. */
export async function refuseHeld(house: House, question: Question): Promise<void> {
  const [holder] = (await asked(house, question, () => house.segment.holders(question))) ?? []
  if (!holder) return
  const who = holder.link === undefined ? `${holder.mac} has it` : `the host itself has it on ${holder.link}`
  throw new UserError('ADDRESS_TAKEN', `address ${holder.address} is in use on ${question.link}: ${who}`, {
    hint: 'choose another one, or keep it out of the range with --aux-address; -o weft.dad=off does not ask',
  })
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
