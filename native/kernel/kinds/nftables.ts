/** Rule sets, their elements, and accept rules in the tables of others. */
import type { Nft, NftOp } from '../../nft/batch.ts'
import type { TableState } from '../../nft/read.ts'
import type { Change } from '../kernel.ts'
import type { AcceptRule, Element, Observed, Program, Resource, Ruleset } from '../resource.ts'

/** Chains in which weft puts accept rules, and may have left one behind. */
export const acceptChains = ['DOCKER-USER', 'FORWARD'] as const

/** A table that is weft's, and nobody else's. */
export type OwnTable = Pick<Ruleset, 'family' | 'table'>

export function isBatched(resource: Resource): resource is Ruleset | Element | AcceptRule {
  const { type } = resource
  return type === 'ruleset' || type === 'element' || (type === 'accept' && resource.backend === 'nft')
}

/**
 * Neighbouring changes as one batch. Elements that follow a rule set which replaces their table are loaded with it, many
 * in a message.
 */
export function batchOf(changes: readonly Change[]): readonly NftOp[] {
  const ops: NftOp[] = []
  // Of the tables that are replaced, as long as nothing was taken from them.
  const loaded = new Map<string, Element[]>()
  for (const change of changes) {
    const resource = change.op === 'remove' ? change.have : change.want
    switch (resource.type) {
      case 'ruleset': {
        const { family, table } = resource
        const elements: Element[] = []
        if (change.op === 'remove') loaded.delete(table)
        else loaded.set(table, elements)
        ops.push(
          change.op === 'remove' ? { op: 'delete', family, table } : { op: 'replace', ruleset: resource, elements },
        )
        break
      }
      case 'element': {
        const elements = loaded.get(resource.table)
        if (change.op === 'remove') {
          loaded.delete(resource.table)
          ops.push({ op: 'remove', element: resource })
        } else if (elements) elements.push(resource)
        else ops.push({ op: 'add', element: resource })
        break
      }
      case 'accept':
        ops.push({ op: change.op === 'remove' ? 'unaccept' : 'accept', rule: resource })
        break
      case 'bridge':
      case 'veth':
      case 'child':
      case 'dummy':
      case 'address':
      case 'route':
      case 'proxy':
      case 'sysctl':
      case 'port':
        throw new TypeError(`${resource.type} is not of nftables`)
    }
  }
  return ops
}

/** `tables`: weft's own. They and its accept rules are looked for although nobody wishes them any more. */
export async function observeNft(
  nft: Nft,
  wishes: readonly Resource[],
  tables: readonly OwnTable[],
): Promise<readonly Observed[]> {
  const rulesets = wishes.filter(wish => wish.type === 'ruleset')
  for (const ruleset of rulesets) nft.learn(ruleset)
  const seen: Resource[] = []
  for (const table of tables) {
    const wished = rulesets.find(ruleset => ruleset.table === table.table)
    seen.push(...(await observeTable(nft, table, wished?.program.sets ?? {})))
  }
  for (const { family } of await nft.foreignFilters()) {
    for (const chain of acceptChains) {
      const byMark = Map.groupBy(await nft.listAccepts({ family, chain }), ({ mark }) => mark)
      for (const [mark, found] of byMark) {
        const misplaced = found.some(({ placed }) => !placed)
        seen.push({ type: 'accept', family, chain, backend: 'nft', mark, ...(misplaced && { misplaced }) })
      }
    }
  }
  return seen.map(resource => ({ resource, foreign: false }))
}

/** Those of the wished ones that are gone, or somebody else's by now. */
export async function lostRulesets(nft: Nft, wishes: readonly Ruleset[]): Promise<readonly Ruleset[]> {
  const lost: Ruleset[] = []
  for (const want of wishes) {
    nft.learn(want)
    const state = await nft.readTable(want)
    if (!state || digestOf(nft, state) !== want.digest) lost.push(want)
  }
  return lost
}

/** A table that another process could change although it should not be able to is loaded anew, and owned then. */
function digestOf(nft: Nft, { owned, digest = '' }: TableState): string {
  return owned === nft.owner ? digest : ''
}

async function observeTable(
  nft: Nft,
  { family, table }: OwnTable,
  sets: Program['sets'],
): Promise<readonly Resource[]> {
  const state = await nft.readTable({ family, table })
  if (!state) return []
  const digest = digestOf(nft, state)
  const seen: Resource[] = [{ type: 'ruleset', family, table, digest, program: { messages: [], sets } }]
  for (const [set, { learned }] of Object.entries(sets)) {
    if (learned) continue
    const elements = await nft.listElements(table, set)
    seen.push(...elements.map((element): Element => ({ type: 'element', table, set, ...element })))
  }
  return seen
}
