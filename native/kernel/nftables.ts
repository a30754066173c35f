/**
 * nftables' JSON, typed for what weft's rule sets use.
 * Source: libnftables-json(5). Rule sets are written in it, and compiled by the `nft` program before they are shipped.
 */
import type { FieldType } from './resource.ts'

export { digestOf, fillMarks, placeholders } from '../nft/program.ts'

/** nft's names for the types of keys and data: those whose elements weft can write. */
export type NftType = FieldType

export type NftExpression =
  | string
  | number
  | readonly (string | number)[]
  | { readonly meta: { readonly key: MetaKey } }
  | { readonly ct: { readonly key: 'state' | 'status' } }
  | {
      readonly payload: {
        readonly protocol: 'ip' | 'ip6' | 'th'
        readonly field: 'saddr' | 'daddr' | 'sport' | 'dport'
      }
    }
  | { readonly fib: { readonly result: 'type'; readonly flags: readonly ('saddr' | 'daddr')[] } }
  | { readonly prefix: { readonly addr: string; readonly len: number } }
  | { readonly concat: readonly NftExpression[] }
  | { readonly map: { readonly key: NftExpression; readonly data: string } }
  | { readonly '&': readonly [NftExpression, number] }
  | { readonly '|': readonly [NftExpression, number] }

export type MetaKey = 'mark' | 'nfproto' | 'l4proto' | 'iifname' | 'oifname' | 'iifkind' | 'oifkind'

export type NftStatement =
  | { readonly match: { readonly op: '==' | '!=' | 'in'; readonly left: NftExpression; readonly right: NftExpression } }
  | { readonly mangle: { readonly key: NftExpression; readonly value: NftExpression } }
  | { readonly dnat: { readonly family: 'ip' | 'ip6'; readonly addr: NftExpression } }
  | { readonly masquerade: null }
  | { readonly accept: null }
  | { readonly drop: null }
  | { readonly return: null }
  | { readonly jump: { readonly target: string } }
  | { readonly goto: { readonly target: string } }

export interface NftSet {
  readonly name: string
  /** Several are a concatenation. */
  readonly type: readonly NftType[]
  /** Maps only: type of the datum. */
  readonly map?: readonly NftType[]
  readonly flags?: readonly 'interval'[]
}

export interface NftChain {
  readonly name: string
  /** Base chains only: where the kernel calls them. `prio`: lower runs first. */
  readonly hook?: {
    readonly type: 'filter' | 'nat'
    readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting'
    readonly prio: number
    readonly policy: 'accept' | 'drop'
  }
  readonly rules: readonly (readonly NftStatement[])[]
}

/** One table with all that is in it. */
export interface NftTable {
  readonly family: 'ip' | 'ip6' | 'inet'
  readonly name: string
  readonly sets: readonly NftSet[]
  readonly chains: readonly NftChain[]
}

/** Chains and rules as the commands of a libnftables-json document, which expects the sets to be there. */
export function nftDocument({ family, name: table, chains }: NftTable): { readonly nftables: readonly unknown[] } {
  return {
    nftables: [
      ...chains.map(({ name, hook }) => ({ add: { chain: { family, table, name, ...hook } } })),
      ...chains.flatMap(({ name, rules }) =>
        rules.map(expr => ({ add: { rule: { family, table, chain: name, expr } } })),
      ),
    ],
  }
}

/** Table and sets as commands in nft's own language: its JSON (1.0.6) cannot say that a datum is a concatenation. */
export function nftSets({ family, name: table, sets }: NftTable): string {
  const lines = sets.map(({ name, type, map, flags }) => {
    const types = [type, ...(map ? [map] : [])].map(fields => fields.join(' . ')).join(' : ')
    return `add ${map ? 'map' : 'set'} ${family} ${table} ${name} { type ${types};${flags ? ` flags ${flags.join(',')};` : ''} }`
  })
  return [`add table ${family} ${table}`, ...lines, ''].join('\n')
}
