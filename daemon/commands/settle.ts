import type { Command } from './command.ts'
import { changesTable } from './diff.ts'

/** Exit status 1 when the kernel refused something. */
export const settle: Command = {
  async run(context, options) {
    const { changes, failed } = await context.admin.settle({ force: options.force ?? false })
    if (context.json) context.print(JSON.stringify({ changes, failed }, undefined, 2))
    else {
      context.print(changes.length === 0 ? 'kernel and records agree: nothing was changed' : changesTable(changes))
      for (const { text, error } of failed) context.print(`failed: ${text}: ${error}`)
    }
    return failed.length === 0 ? 0 : 1
  },
}
