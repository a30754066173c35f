import { join } from 'node:path'
import { readConfig, readTextFile, type Config } from '../config.ts'
import type { CommandOptions } from './command.ts'

const directories = ['WEFT_STATE_DIR', 'WEFT_RUN_DIR', 'WEFT_PLUGIN_DIR'] as const

/**
 * The daemon's settings as far as an operator's shell knows them: its variables that name directories, and the settings
 * file. A settings file with an error is no hindrance when the run directory is named otherwise.
 */
export function locate(options: CommandOptions, env: NodeJS.ProcessEnv): Config {
  const runDir = options.runDir ?? env['WEFT_RUN_DIR']
  const config = options.config ?? env['WEFT_CONFIG']
  const named = runDir !== undefined && config === undefined && options.root === undefined
  const start = readConfig({
    argv: [
      ...(options.runDir === undefined ? [] : [`--run-dir=${options.runDir}`]),
      ...(config === undefined ? [] : [`--config=${config}`]),
    ],
    env: Object.fromEntries(directories.map(name => [name, env[name]])),
    readFile: path => (named ? undefined : readTextFile(join(options.root ?? '/', path))),
  })
  if (start.do !== 'run') throw new TypeError(`settings asked for ${start.do}`)
  return start.config
}
