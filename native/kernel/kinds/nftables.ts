/** Rule sets, their elements, and accept rules in the tables of others. */
import type { Nft, NftOp } from '../../nft/batch.ts'
import type { Change } from '../kernel.ts'
import type { AcceptRule, Element, Observed, Resource, Ruleset } from '../resource.ts'

/** Chains in which weft puts accept rules, and may have left one behind. */
export const acceptChains = ['DOCKER-USER', 'FORWARD'] as const

export function isBatched(resource: Resource): resource is Ruleset | Element | AcceptRule {
  const { type } = resource
  return type === 'ruleset' || type === 'element' || (type === 'accept' && resource.backend === 'nft')
}

/**
 * Neighbouring changes as one batch. Elements that follow a rule set which replaces its table go into it at once; so a
 * map never stands empty between the two.
 */
export function batchOf(changes: readonly Change[]): readonly NftOp[] {
  const ops: NftOp[] = []
  for (const change of changes) {
    const resource = change.op === 'remove' ? change.have : change.want
    switch (resource.type) {
      case 'ruleset':
        ops.push(
          change.op === 'remove'
            ? { op: 'delete', table: resource.table }
            : { op: 'replace', ruleset: resource, elements: [] },
        )
        break
      case 'element': {
        const last = ops.at(-1)
        if (change.op !== 'remove' && last?.op === 'replace' && last.ruleset.table === resource.table) {
          ops[ops.length - 1] = { ...last, elements: [...last.elements, resource] }
        } else ops.push({ op: change.op === 'remove' ? 'remove' : 'add', element: resource })
        break
      }
      case 'accept':
        if (change.op === 'recreate' && change.have.type === 'accept') ops.push({ op: 'unaccept', rule: change.have })
        ops.push({ op: change.op === 'remove' ? 'unaccept' : 'accept', rule: resource })
        break
      case 'bridge':
      case 'veth':
      case 'address':
      case 'sysctl':
      case 'port':
        throw new TypeError(`${resource.type} is not of nftables`)
    }
  }
  return ops
}

/** `table`: weft's own, which is looked for although nobody wishes it any more. */
export async function observeNft(
  nft: Nft,
  wishes: readonly Resource[],
  own: { readonly table: string; readonly mark: number },
): Promise<readonly Observed[]> {
  const wished = wishes.find(wish => wish.type === 'ruleset')
  const seen: Resource[] = []
  if (wished) nft.learn(wished)
  const table = await nft.readTable(own.table)
  if (table) {
    const shapes = wished?.program.sets ?? {}
    // A table that another process could change although it should not be able to is loaded anew, and owned then.
    const digest = table.owned === nft.owner ? (table.digest ?? '') : ''
    seen.push({ type: 'ruleset', table: own.table, digest, program: { messages: [], sets: shapes } })
    for (const set of Object.keys(shapes)) {
      const elements = await nft.listElements(own.table, set)
      seen.push(...elements.map(({ key, value }) => elementOf(own.table, set, key, value)))
    }
  }
  for (const { family } of await nft.foreignFilters()) {
    for (const chain of acceptChains) {
      const rule: AcceptRule = { type: 'accept', family, chain, backend: 'nft', mark: own.mark }
      if ((await nft.findAccept(rule)).length > 0) seen.push(rule)
    }
  }
  return seen.map(resource => ({ resource, foreign: false }))
}

function elementOf(table: string, set: string, key: string, value: string | undefined): Element {
  return { type: 'element', table, set, key, ...(value === undefined ? {} : { value }) }
}
