import { digestOf, fillMarks } from '../../native/kernel/nftables.ts'
import type { Program, Ruleset } from '../../native/kernel/resource.ts'
import type { Marks } from '../driver.ts'
import compiled from './compiled.json' with { type: 'json' }
import { tableName } from './ruleset.ts'

/** The rule set of ruleset.ts as it was compiled, with the mark bits of the configuration. */
export function bridgeRuleset(marks: Marks): Ruleset {
  const program = fillMarks(compiled as unknown as Program, marks)
  return { type: 'ruleset', table: tableName, program, digest: digestOf(program) }
}
