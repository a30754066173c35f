/**
 * nftables' JSON, typed for what weft's rule sets use.
 * Source: libnftables-json(5). Rule sets are written in it, and compiled by the `nft` program before they are shipped.
 */
import type { FieldType, TableFamily } from './resource.ts'

export { digestOf, fillMarks, placeholders } from '../nft/program.ts'

/** nft's names for the types of keys and data: those whose elements weft can write. */
export type NftType = FieldType

export type NftExpression =
  | string
  | number
  | readonly (string | number)[]
  | { readonly meta: { readonly key: MetaKey } }
  | { readonly ct: { readonly key: 'state' | 'status' } }
  | { readonly payload: NftField | NftRawField }
  | { readonly fib: { readonly result: 'type'; readonly flags: readonly ('saddr' | 'daddr')[] } }
  | { readonly prefix: { readonly addr: string; readonly len: number } }
  | { readonly concat: readonly NftExpression[] }
  | { readonly map: { readonly key: NftExpression; readonly data: string } }
  /** A set of constants that stands in the rule itself. */
  | { readonly set: readonly NftExpression[] }
  | { readonly '&': readonly [NftExpression, number] }
  | { readonly '|': readonly [NftExpression, number] }

export type MetaKey = 'mark' | 'nfproto' | 'l4proto' | 'protocol' | 'iifname' | 'oifname' | 'iifkind' | 'oifkind'

/** Of a header, by name. nft first asks for the protocol where the rule has not done so: `ether type arp`. */
export type NftField =
  | { readonly protocol: 'ether'; readonly field: 'saddr' | 'daddr' | 'type' }
  | {
      readonly protocol: 'arp'
      readonly field: 'operation' | 'saddr ether' | 'daddr ether' | 'saddr ip' | 'daddr ip'
    }
  | { readonly protocol: 'ip'; readonly field: 'saddr' | 'daddr' | 'protocol' }
  | { readonly protocol: 'ip6'; readonly field: 'saddr' | 'daddr' | 'nexthdr' }
  | { readonly protocol: 'icmp' | 'icmpv6'; readonly field: 'type' }
  | { readonly protocol: 'th'; readonly field: 'sport' | 'dport' }

/**
 * By its place, in bits from the begin of the link, network or transport header. It asks for no protocol. Of the target
 * in neighbour discovery, which nft 1.0.6 has no name for: `{ base: 'th', offset: 64, len: 128 }`. nft takes it for a
 * number, so a set in which it is looked up needs `typeof`, and its other users (`ip6 saddr`) have to be raw as well:
 * `{ base: 'nh', offset: 64, len: 128 }`.
 */
export interface NftRawField {
  readonly base: 'll' | 'nh' | 'th'
  readonly offset: number
  readonly len: number
}

export type NftStatement =
  | { readonly match: { readonly op: '==' | '!=' | 'in'; readonly left: NftExpression; readonly right: NftExpression } }
  | { readonly mangle: { readonly key: NftExpression; readonly value: NftExpression } }
  | { readonly dnat: { readonly family: 'ip' | 'ip6'; readonly addr: NftExpression } }
  | { readonly snat: { readonly family: 'ip' | 'ip6'; readonly addr: NftExpression } }
  /** Puts the element into a dynamic set, or lets it live on. `set`: `@name`. */
  | { readonly set: { readonly op: 'add' | 'update'; readonly elem: NftExpression; readonly set: string } }
  | { readonly counter: null }
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
  /**
   * The same in nft's own language, for keys of rules that nft cannot name the type of: `iifname . @th,64,128`. Their
   * fields must be as long as those of `type`, which is how elements are written.
   */
  readonly typeof?: string
  /** Maps only: type of the datum. */
  readonly map?: readonly NftType[]
  /** `interval`: the last field of keys is a prefix. `dynamic`: filled by the rules, and by nobody else. */
  readonly flags?: readonly ('interval' | 'dynamic' | 'timeout')[]
  /** How long an element lives. */
  readonly timeoutSeconds?: number
  /** Largest number of elements. */
  readonly size?: number
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
  readonly family: TableFamily
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
  const lines = sets.map(set => `add ${set.map ? 'map' : 'set'} ${family} ${table} ${set.name} { ${clauses(set)} }`)
  return [`add table ${family} ${table}`, ...lines, ''].join('\n')
}

function clauses({ type, typeof: expression, map, flags, timeoutSeconds, size }: NftSet): string {
  const joined = (fields: readonly NftType[]): string => fields.join(' . ')
  const words = [
    `${expression === undefined ? `type ${joined(type)}` : `typeof ${expression}`}${map ? ` : ${joined(map)}` : ''};`,
    flags && `flags ${flags.join(',')};`,
    timeoutSeconds !== undefined && `timeout ${timeoutSeconds}s;`,
    size !== undefined && `size ${size};`,
  ]
  return words.filter(word => typeof word === 'string').join(' ')
}
