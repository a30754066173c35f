/** What makes other firewalls accept what weft allows, as far as it is no rule of nf_tables: those are batched. */
import { KernelError } from '../../netlink/errors.ts'
import { Zone, zoneLinks } from '../../nft/firewalld.ts'
import { holdsAccept, insertLegacyAccept, readLegacy, removeLegacyAccept } from '../../nft/legacy.ts'
import type { AcceptRule, Observed, Resource } from '../resource.ts'
import { acceptChains } from './nftables.ts'
import type { Kind } from './kind.ts'

const zone = new Zone()

export const legacyAccept: Kind<AcceptRule> = {
  async observe({ mark }, wishes) {
    return [...(await legacyRules(mark, wishes)), ...(await zoneMembers(mark, wishes))]
  },
  create: (_machine, want) => put(want),
  update: (_machine, want) => put(want),
  async remove(_machine, have) {
    if (have.backend === 'firewalld') zone.leave(have)
    else await removeLegacyAccept(have)
  },
}

async function put(want: AcceptRule): Promise<void> {
  if (want.backend === 'firewalld') zone.join(want)
  else await insertLegacyAccept(want)
}

async function legacyRules(mark: number, wishes: readonly Resource[]): Promise<readonly Observed[]> {
  const filters = await readable()
  // Somebody holds the lock of the old tables: what was put there is taken to be there.
  if (!filters) return wishes.filter(isOf('legacy')).map(resource => ({ resource, foreign: true }))
  return filters.flatMap(filter =>
    acceptChains
      .map((chain): AcceptRule => ({ type: 'accept', family: filter.family, chain, backend: 'legacy', mark }))
      .filter(rule => holdsAccept(filter, rule))
      .map(resource => ({ resource, foreign: false })),
  )
}

/** The host's administrator may put links into the zone, too: what nobody wishes there is not weft's to remove. */
async function zoneMembers(mark: number, wishes: readonly Resource[]): Promise<readonly Observed[]> {
  const links = (await zoneLinks()) ?? []
  const underWay = wishes.filter(isOf('firewalld')).flatMap(({ chain }) => (zone.isUnderWay(chain) ? [chain] : []))
  return [...new Set([...links, ...underWay])].map(chain => ({
    resource: { type: 'accept', family: 'inet', chain, backend: 'firewalld', mark },
    foreign: true,
  }))
}

type Filters = Awaited<ReturnType<typeof readLegacy>>

/** Old tables that nothing on this host can read hold no rule of weft. Undefined: they cannot be read now. */
async function readable(): Promise<Filters | undefined> {
  try {
    return await readLegacy()
  } catch (cause) {
    if (cause instanceof KernelError) return cause.errno === 'ENOENT' ? [] : undefined
    throw cause
  }
}

function isOf(backend: AcceptRule['backend']): (wish: Resource) => wish is AcceptRule {
  return (wish): wish is AcceptRule => wish.type === 'accept' && wish.backend === backend
}
