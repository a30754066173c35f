/** Who may use a relay. Rules ask this of the ports that they serve; what a relay serves never passes them. */
import { networkInterfaces } from 'node:os'
import { contains, familyOf, ipFromBytes, parseIp, type Cidr, type Ip } from '../value/ip.ts'

/** Asking the kernel takes as long as there are links, and strangers may knock as often as they like. */
const keptMs = 1_000

/** Prefixes of a list, and the host itself, always. A family without a prefix in the list is closed. */
export class Admission {
  #own: ReadonlySet<string> = new Set()
  #readAt = -Infinity

  /** Undefined: the client has no address that could be read, which is in no list either. */
  admits(from: readonly Cidr[] | undefined, client: Ip | undefined): boolean {
    if (!from) return true
    if (client === undefined) return false
    const family = familyOf(client)
    return from.some(prefix => familyOf(prefix) === family && contains(prefix, client)) || this.#isOwn(client)
  }

  #isOwn(address: Ip): boolean {
    if (/^127\./.test(address) || address === '::1') return true
    const now = performance.now()
    if (now - this.#readAt > keptMs) {
      this.#own = new Set(Object.values(networkInterfaces()).flatMap(links => links?.map(link => link.address) ?? []))
      this.#readAt = now
    }
    return this.#own.has(address)
  }
}

/** As Node tells it: link-local ones with their link, `fe80::1%eth0`. */
export function addressOfPeer(text: string | undefined): Ip | undefined {
  return parseIp(text?.split('%')[0] ?? '')
}

/** Of a struct sockaddr_in or sockaddr_in6. */
export function addressInName(name: Uint8Array): Ip {
  return ipFromBytes(name.length >= 28 ? name.subarray(8, 24) : name.subarray(4, 8))
}
