import { isDeepStrictEqual } from 'node:util'
import { digestOf, fillMarks } from '../../native/kernel/nftables.ts'
import type { Program, Ruleset, TableFamily } from '../../native/kernel/resource.ts'
import type { Marks } from '../driver.ts'
import compiled from './compiled.json' with { type: 'json' }

let made: { readonly marks: Marks; readonly rulesets: readonly Ruleset[] } | undefined

/** The tables of rules.ts, compiled, with the configured mark bits in their places. Made once: asked for often. */
export function bridgeRulesets(marks: Marks): readonly Ruleset[] {
  if (!made || !isDeepStrictEqual(made.marks, marks)) {
    made = { marks, rulesets: compiled.tables.map(table => rulesetOf(table, marks)) }
  }
  return made.rulesets
}

function rulesetOf({ family, table, messages, sets }: (typeof compiled.tables)[number], marks: Marks): Ruleset {
  const program = fillMarks({ messages, sets: sets as unknown as Program['sets'] }, marks)
  return { type: 'ruleset', family: family as TableFamily, table, program, digest: digestOf(program) }
}
