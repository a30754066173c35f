import type { DiffRow } from '../view.ts'
import type { Command } from './command.ts'
import { none, table } from './print.ts'

/** Exit status 1 when kernel and records disagree. */
export const diff: Command = {
  async run(context) {
    const rows = await context.admin.get('/v1/diff')
    if (context.json) context.print(JSON.stringify(rows, undefined, 2))
    else context.print(rows.length === 0 ? 'kernel and records agree' : changesTable(rows))
    return rows.length === 0 ? 0 : 1
  },
}

export function changesTable(rows: readonly DiffRow[]): string {
  return table(
    ['CHANGE', 'FOR', 'WHAT'],
    rows.map(row => [row.op, row.owner === undefined ? none : shortKey(row.owner), row.text]),
  )
}

/** `endpoint/c0ffee...64 digits/...` with its ids cut. */
function shortKey(key: string): string {
  return key.replace(/[0-9a-z]{25,}/g, id => id.slice(0, 12))
}
