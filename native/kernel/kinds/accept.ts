/** Accept rules in the tables of the old iptables; those of nf_tables are batched. */
import { hasLegacyAccept, insertLegacyAccept, legacyFilters, removeLegacyAccept } from '../../nft/legacy.ts'
import { KernelError } from '../../netlink/errors.ts'
import type { AcceptRule, Observed, Resource } from '../resource.ts'
import { acceptChains } from './nftables.ts'
import type { Kind } from './kind.ts'

export const legacyAccept: Kind<AcceptRule> = {
  async observe({ mark }, wishes) {
    const filters = await readable()
    // Somebody holds the lock of the old tables: what was put there is taken to be there.
    if (!filters) return wishes.filter(isLegacy).map(resource => ({ resource, foreign: true }))
    const seen: Observed[] = []
    for (const { family, dockerUser } of filters) {
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

type Filters = Awaited<ReturnType<typeof legacyFilters>>

/** Old tables that nothing on this host can read hold no rule of weft. Undefined: they cannot be read now. */
async function readable(): Promise<Filters | undefined> {
  try {
    return await legacyFilters()
  } catch (cause) {
    if (cause instanceof KernelError) return cause.errno === 'ENOENT' ? [] : undefined
    throw cause
  }
}

function isLegacy(wish: Resource): wish is AcceptRule {
  return wish.type === 'accept' && wish.backend === 'legacy'
}
