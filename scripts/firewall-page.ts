/** Writes docs/firewall.md from the rules: every table, set, chain and rule, in nft's language, with the reason. */
import { writeFileSync } from 'node:fs'
import { explainedTables } from '../drivers/bridge/rules.ts'
import type { ExplainedChain, ExplainedTable } from '../drivers/bridge/nft.ts'
import { placeholders, type NftExpression, type NftSet, type NftStatement } from '../native/kernel/nftables.ts'

const target = new URL('../docs/firewall.md', import.meta.url)

export function firewallPage(): string {
  return [
    '# The firewall of weft-bridge',
    '',
    'Made from the rules by `scripts/node scripts/firewall-page.ts`; a test compares. The rules are static: what exists is told',
    'by the elements of sets and maps only, so a container costs no rule, and a look-up costs the same for one port as for ten',
    'thousand. `nft list table inet weft` and `nft list table bridge weft_ports` show them on a host. In rules, `allowed`,',
    '`hairpin`, `acceptMask` and `acceptValue` stand for the bits of the settings `markAllowed`, `markHairpin` and',
    '`acceptFwmark`.',
    '',
    'A packet from outside to a published port passes `raw`, `prerouting`, `arrive`, `publish` (its destination becomes the',
    "container), then the host's routing, `forward`, `to_br`, `published`, `ok`, and in `postrouting` it keeps its source.",
    'A packet from a container to the outside passes `prerouting` of the second table, then `forward`, `from_br`, `ok`, and',
    'gets its source in `postrouting`.',
    '',
    ...explainedTables(placeholders).flatMap(tableLines),
  ].join('\n')
}

function tableLines({ family, name, about, sets, chains }: ExplainedTable): readonly string[] {
  return [
    `## Table ${family} ${name}`,
    '',
    about,
    '',
    '| set or map | of | holds |',
    '|---|---|---|',
    ...sets.map(set => `| \`${set.name}\` | \`${typeOf(set)}\` | ${set.about} |`),
    '',
    ...chains.flatMap(chainLines),
  ]
}

function typeOf({ type, map, flags = [], timeoutSeconds }: NftSet): string {
  const types = [type, ...(map ? [map] : [])].map(fields => fields.join(' . ')).join(' : ')
  const more = flags.includes('interval') ? ', prefixes' : timeoutSeconds === undefined ? '' : `, ${timeoutSeconds} s`
  return types + more
}

function chainLines({ name, about, hook, rules }: ExplainedChain): readonly string[] {
  const called = hook ? ` (${hook.type}, hook ${hook.hook}, priority ${hook.prio})` : ''
  return [
    `### ${name}${called}`,
    '',
    about,
    '',
    '| rule | why |',
    '|---|---|',
    ...rules.map(({ rule, why }) => `| \`${rule.map(statementText).join(' ').replaceAll('|', '\\|')}\` | ${why} |`),
    '',
  ]
}

function statementText(statement: NftStatement): string {
  if ('match' in statement) {
    const { op, left, right } = statement.match
    return `${text(left)} ${op === '!=' ? '!= ' : ''}${text(right)}`
  }
  if ('mangle' in statement) return `${text(statement.mangle.key)} set ${text(statement.mangle.value)}`
  if ('dnat' in statement) return `dnat ${statement.dnat.family} to ${text(statement.dnat.addr)}`
  if ('snat' in statement) return `snat ${statement.snat.family} to ${text(statement.snat.addr)}`
  if ('set' in statement) return `${statement.set.op} ${statement.set.set} { ${text(statement.set.elem)} }`
  if ('jump' in statement) return `jump ${statement.jump.target}`
  if ('goto' in statement) return `goto ${statement.goto.target}`
  return Object.keys(statement)[0] ?? ''
}

function text(expression: NftExpression): string {
  if (typeof expression === 'string') return expression
  if (typeof expression === 'number') return markName(expression) ?? String(expression)
  if (Array.isArray(expression)) return expression.join(',')
  const [kind, value] = Object.entries(expression)[0] as [string, never]
  return (printers[kind] ?? String)(value)
}

const printers: Readonly<Record<string, (value: never) => string>> = {
  meta: ({ key }: { key: string }) => (['iifname', 'oifname'].includes(key) ? key : `meta ${key}`),
  ct: ({ key }: { key: string }) => `ct ${key}`,
  payload: (value: { protocol?: string; field?: string; base?: string; offset?: number; len?: number }) =>
    value.protocol === undefined ? `@${value.base},${value.offset},${value.len}` : `${value.protocol} ${value.field}`,
  fib: ({ result, flags }: { result: string; flags: readonly string[] }) => `fib ${flags.join(' . ')} ${result}`,
  prefix: ({ addr, len }: { addr: string; len: number }) => `${addr}/${len}`,
  concat: (parts: readonly NftExpression[]) => parts.map(text).join(' . '),
  map: ({ key, data }: { key: NftExpression; data: string }) => `${text(key)} map ${data}`,
  '&': ([left, right]: readonly [NftExpression, number]) => `${text(left)} & ${text(right)}`,
  '|': ([left, right]: readonly [NftExpression, number]) => `${text(left)} | ${text(right)}`,
}

function markName(bits: number): string | undefined {
  return Object.entries(placeholders).find(([, value]) => value === bits)?.[0]
}

if (process.argv[1] === import.meta.filename) writeFileSync(target, firewallPage())
