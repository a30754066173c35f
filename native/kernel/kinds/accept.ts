/** Accept rules in the tables of the old iptables; those of nf_tables are batched. */
import { hasLegacyAccept, insertLegacyAccept, legacyFilters, removeLegacyAccept } from '../../nft/legacy.ts'
import { KernelError } from '../../netlink/errors.ts'
import type { AcceptRule, Observed } from '../resource.ts'
import { acceptChains } from './nftables.ts'
import type { Kind } from './kind.ts'

export const legacyAccept: Kind<AcceptRule> = {
  async observe({ mark }) {
    const seen: Observed[] = []
    for (const { family, dockerUser } of await readable()) {
      for (const chain of acceptChains.filter(name => name === 'FORWARD' || dockerUser)) {
        const rule: AcceptRule = { type: 'accept', family, chain, backend: 'legacy', mark }
        if (await hasLegacyAccept(rule)) seen.push({ resource: rule, foreign: false })
      }
    }
    return seen
  },
  create: (_machine, want) => insertLegacyAccept(want),
  update: (_machine, want) => insertLegacyAccept(want),
  remove: (_machine, have) => removeLegacyAccept(have),
}

/** Old tables that nothing on this host can read hold no rule of weft: it could not have put one there. */
async function readable(): Promise<Awaited<ReturnType<typeof legacyFilters>>> {
  try {
    return await legacyFilters()
  } catch (cause) {
    if (cause instanceof KernelError && cause.errno === 'ENOENT') return []
    throw cause
  }
}
