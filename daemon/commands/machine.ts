/** What install and uninstall need to know of the machine; tests give a directory and a recorder. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '../../plugin-api/answer.ts'
import type { CommandOptions, Context } from './command.ts'

export interface Machine {
  /** `/`, or a directory that stands for it: no file outside is read or changed. */
  readonly root: string
  /** The root is that of the machine that runs: it has a kernel, and perhaps a daemon. */
  readonly live: boolean
  /** Runs systemctl; absent where systemd does not run. Throws UserError with its words. */
  readonly systemctl?: (...args: readonly string[]) => void
  /** Tells the operator what was done, in the past tense. */
  say(step: string): void
}

/** Throws UserError `NOT_PERMITTED` when the user may not change this machine. */
export function thisMachine(options: CommandOptions, say: Machine['say']): Machine {
  const root = options.root ?? '/'
  if (root !== '/') return { root, live: false, say }
  if (process.getuid?.() !== 0) throw new UserError('NOT_PERMITTED', 'only root may do this')
  // As sd_booted(3) finds out.
  return existsSync('/run/systemd/system') ? { root, live: true, say, systemctl } : { root, live: true, say }
}

/** A path of the machine as this process has to open it. */
export function inside(machine: Machine, path: string): string {
  return join(machine.root, path)
}

/** Steps appear one by one for people, and as a list at the end for programs. */
export async function stepwise(context: Context, work: (say: Machine['say']) => Promise<void>): Promise<number> {
  const steps: string[] = []
  await work(step => {
    if (context.json) steps.push(step)
    else context.print(step)
  })
  if (context.json) context.print(JSON.stringify({ steps }, undefined, 2))
  return 0
}

function systemctl(...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync('systemctl', args, {
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  if (status === 0) return
  throw new UserError('SYSTEMCTL', `systemctl ${args.join(' ')} failed: ${error?.message ?? stderr.trim()}`, {
    hint: 'see journalctl -u weft',
    cause: error,
  })
}
