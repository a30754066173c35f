import { digestOf, fillMarks } from '../../native/kernel/nftables.ts'
import type { Program, Ruleset } from '../../native/kernel/resource.ts'
import type { Marks } from '../driver.ts'
import compiled from './compiled.json' with { type: 'json' }
import { tableName } from './rules.ts'

export { tableName } from './rules.ts'

/** The rules of rules.ts, compiled, with the configured mark bits in their places. */
export function bridgeRuleset(marks: Marks): Ruleset {
  const program = fillMarks({ messages: compiled.messages, sets: compiled.sets as Program['sets'] }, marks)
  return { type: 'ruleset', table: tableName, program, digest: digestOf(program) }
}
