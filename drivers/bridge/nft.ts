/** The words in which the bridge driver's rules are written: nftables' JSON, and to each rule why it is there. */
import type { NftChain, NftExpression, NftSet, NftStatement, NftTable } from '../../native/kernel/nftables.ts'

export interface ExplainedSet extends NftSet {
  readonly about: string
}

export interface ExplainedRule {
  readonly rule: readonly NftStatement[]
  readonly why: string
}

export interface ExplainedChain extends Omit<NftChain, 'rules'> {
  readonly about: string
  readonly rules: readonly ExplainedRule[]
}

/** A table with the text of docs/firewall.md. */
export interface ExplainedTable extends Omit<NftTable, 'sets' | 'chains'> {
  readonly about: string
  readonly sets: readonly ExplainedSet[]
  readonly chains: readonly ExplainedChain[]
}

/** Without the explanations, for the compiler. */
export function plain({ family, name, sets, chains }: ExplainedTable): NftTable {
  return {
    family,
    name,
    sets,
    chains: chains.map(({ name: chain, hook, rules }) => ({
      name: chain,
      ...(hook && { hook }),
      rules: rules.map(({ rule }) => rule),
    })),
  }
}

export const accept: NftStatement = { accept: null }
export const drop: NftStatement = { drop: null }
export const giveBack: NftStatement = { return: null }
export const masquerade: NftStatement = { masquerade: null }

export function because(why: string, ...rule: readonly NftStatement[]): ExplainedRule {
  return { rule, why }
}

export function field(protocol: string, name: string): NftExpression {
  return { payload: { protocol, field: name } } as NftExpression
}

export function concat(...parts: readonly NftExpression[]): NftExpression {
  return { concat: parts }
}

/** Flags (connection states) match when one of them is set. */
export function is(left: NftExpression, right: NftExpression): NftStatement {
  const flags = typeof left === 'object' && 'ct' in left
  return { match: { op: flags ? 'in' : '==', left, right } }
}

export function isNot(left: NftExpression, right: NftExpression): NftStatement {
  return { match: { op: '!=', left, right } }
}

export function jump(target: string): NftStatement {
  return { jump: { target } }
}

export function goto(target: string): NftStatement {
  return { goto: { target } }
}

export const iifname: NftExpression = { meta: { key: 'iifname' } }
export const oifname: NftExpression = { meta: { key: 'oifname' } }
export const nfproto: NftExpression = { meta: { key: 'nfproto' } }
export const l4proto: NftExpression = { meta: { key: 'l4proto' } }
export const mark: NftExpression = { meta: { key: 'mark' } }
export const bridgePair = concat(iifname, oifname)
export const familyAndBridge = concat(nfproto, oifname)
export const source4 = field('ip', 'saddr')
export const source6 = field('ip6', 'saddr')
export const target4 = field('ip', 'daddr')
export const target6 = field('ip6', 'daddr')
export const service: readonly NftExpression[] = [l4proto, field('th', 'dport')]
export const loopback4: NftExpression = { prefix: { addr: '127.0.0.0', len: 8 } }

export const known = is({ ct: { key: 'state' } }, ['established', 'related'])
/** Only ever a positive match: `ct status != dnat` would compare the whole word. */
export const translated = is({ ct: { key: 'status' } }, 'dnat')
export const toThisHost = is({ fib: { result: 'type', flags: ['daddr'] } }, 'local')
