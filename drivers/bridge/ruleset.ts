import { digestOf, fillMarks } from '../../native/kernel/nftables.ts'
import type { Program, Ruleset } from '../../native/kernel/resource.ts'
import type { Marks } from '../driver.ts'
import compiled from './compiled.json' with { type: 'json' }
import { tableName } from '../names.ts'

let made: { readonly marks: Marks; readonly ruleset: Ruleset } | undefined

/** The rules of rules.ts, compiled, with the configured mark bits in their places. Made once: it is asked for often. */
export function bridgeRuleset(marks: Marks): Ruleset {
  if (made?.marks.allowed !== marks.allowed || made.marks.hairpin !== marks.hairpin) {
    const program = fillMarks({ messages: compiled.messages, sets: compiled.sets as Program['sets'] }, marks)
    made = { marks, ruleset: { type: 'ruleset', table: tableName, program, digest: digestOf(program) } }
  }
  return made.ruleset
}
