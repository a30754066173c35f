/** Which kinds of links this kernel can make: many small kernels have no ipvlan, no VLANs, no dummy. */
import { inScratchNetns } from '../ffi/netns.ts'
import { NetlinkSocket, protocols } from '../netlink/socket.ts'
import { birthOf } from '../rtnl/requests.ts'

export const linkKinds = ['bridge', 'veth', 'dummy', 'ifb', 'macvlan', 'ipvlan', 'vlan'] as const
export type LinkKind = (typeof linkKinds)[number]

/** A module may be loaded later: what is missing is asked for again after this time. */
const againMs = 60_000

export class LinkKinds {
  readonly #known = new Set<LinkKind>()
  #askedAt = -Infinity

  /** The kernel loads what it has as a module and nobody needed so far. */
  async read(): Promise<ReadonlySet<LinkKind>> {
    const missing = linkKinds.filter(kind => !this.#known.has(kind))
    if (missing.length > 0 && performance.now() - this.#askedAt >= againMs) {
      this.#askedAt = performance.now()
      for (const kind of await present(missing)) this.#known.add(kind)
    }
    return this.#known
  }
}

/** In a namespace that is thrown away. Without a parent most are refused, but an unknown kind is refused otherwise. */
async function present(kinds: readonly LinkKind[]): Promise<readonly LinkKind[]> {
  await using socket = inScratchNetns(() => new NetlinkSocket(protocols.route))
  const errors = await socket.batch(kinds.map((kind, i) => birthOf(kind, `probe${i}`)))
  return kinds.filter((_, i) => errors[i]?.errno !== 'EOPNOTSUPP')
}
