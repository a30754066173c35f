/** What makes other firewalls accept what weft allows, as far as it is no rule of nf_tables: those are batched. */
import { KernelError } from '../../netlink/errors.ts'
import { Zone, zoneLinks } from '../../nft/firewalld.ts'
import { insertLegacyAccept, legacyAccepts, readLegacy, removeLegacyAccept } from '../../nft/legacy.ts'
import type { AcceptRule, Observed, Resource } from '../resource.ts'
import { acceptChains } from './nftables.ts'
import type { Kind } from './kind.ts'

const zone = new Zone()

export const legacyAccept: Kind<AcceptRule> = {
  async observe(_machine, wishes) {
    return [...(await legacyRules(wishes)), ...(await zoneMembers(wishes))]
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

async function legacyRules(wishes: readonly Resource[]): Promise<readonly Observed[]> {
  const filters = await readable()
  // Somebody holds the lock of the old tables: what was put there is taken to be there.
  if (!filters) return wishes.filter(isOf('legacy')).map(resource => ({ resource, foreign: true }))
  return filters.flatMap(filter =>
    acceptChains.flatMap(chain => legacyAccepts(filter, chain)).map(resource => ({ resource, foreign: false })),
  )
}

/** The host's administrator may put links into the zone, too: what nobody wishes there is not weft's to remove. */
async function zoneMembers(wishes: readonly Resource[]): Promise<readonly Observed[]> {
  const links = (await zoneLinks()) ?? []
  return wishes
    .filter(isOf('firewalld'))
    .filter(({ chain }) => links.includes(chain) || zone.isUnderWay(chain))
    .map(resource => ({ resource, foreign: true }))
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
