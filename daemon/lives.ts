/** What the host itself shows of an endpoint's life: its links, and namespaces at the paths that engines gave. */
import type { Endpoint, Evidence } from '../drivers/driver.ts'
import type { IfName } from '../native/kernel/resource.ts'
import type { EndpointId } from '../plugin-api/ids.ts'
import { hasNamespace } from './facts.ts'
import { driverOf, type House } from './house.ts'

/** An engine stores an endpoint just after CreateEndpoint was answered: a younger one may be missing in its list. */
const youngMs = 3_000
/** Joined but never moved, and no namespace at its path. */
const unmovedMs = 60_000

export class Lives {
  readonly #house: House
  readonly #links: () => Promise<ReadonlySet<IfName>>
  /** Those of which the links did not say it. */
  readonly #unsure = new Set<EndpointId>()

  constructor(house: House, links: () => Promise<ReadonlySet<IfName>>) {
    this.#house = house
    this.#links = links
  }

  /** Those that are dead for certain. */
  async deadAmong(endpoints: readonly Endpoint[]): Promise<readonly Endpoint[]> {
    const links = await this.#links()
    const seen: Evidence = { hasLink: name => links.has(name), hasNamespace, now: Date.now() }
    const dead: Endpoint[] = []
    for (const endpoint of endpoints) {
      const alive = endpoint.phase === 'created' || this.#judge(endpoint, seen)
      if (alive === false) dead.push(endpoint)
      if (alive === 'unknown') this.#unsure.add(endpoint.id)
      else this.#unsure.delete(endpoint.id)
    }
    return dead
  }

  /** Not in use by all that can be seen here: the engine's list decides. */
  isDoubtful(endpoint: Endpoint, now: number): boolean {
    const { phase, sandboxKey } = endpoint
    const age = now - endpoint.changedAt
    if (phase === 'created' || phase === 'left' || this.#unsure.has(endpoint.id)) return age > youngMs
    if (sandboxKey === undefined || hasNamespace(sandboxKey)) return false
    // A link of the host goes with the namespace; where there is none, nothing is left to wait for.
    const isApart = this.#judge(endpoint, { hasLink: () => false, hasNamespace, now }) === 'unknown'
    return age > (isApart ? youngMs : unmovedMs)
  }

  /** Only these are there still. */
  keep(endpoints: readonly Endpoint[]): void {
    const there = new Set(endpoints.map(({ id }) => id))
    for (const id of this.#unsure) if (!there.has(id)) this.#unsure.delete(id)
  }

  #judge(endpoint: Endpoint, seen: Evidence): boolean | 'unknown' {
    const network = this.#house.records.network(endpoint.networkId)
    return network ? driverOf(this.#house, network).alive(endpoint, seen) : 'unknown'
  }
}
