/** `weftd`: reads the settings, opens everything in order, and closes it in reverse. Wiring, nothing else. */
import { UserError } from '../plugin-api/answer.ts'
import { drivers } from '../drivers/registry.ts'
import { helpText, readConfig, readTextFile, type Config } from './config.ts'
import { createLog } from './log.ts'
import { version } from './version.ts'

/** Exit status: 1 cannot start, 2 asked wrongly. */
async function main(): Promise<number> {
  const start = readConfig({
    argv: process.argv.slice(2),
    env: process.env,
    readFile: readTextFile,
    drivers: Object.keys(drivers),
  })
  switch (start.do) {
    case 'help':
      process.stdout.write(`${helpText()}\n`)
      return 0
    case 'version':
      process.stdout.write(`${version()}\n`)
      return 0
    case 'run':
      return serve(start.config)
  }
}

async function serve(config: Config): Promise<number> {
  const log = createLog(config)
  const ended = new Promise<NodeJS.Signals>(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve)
  })
  process.on('uncaughtException', error => {
    // What state we are in is not known any more; the kernel's is, and the next start compares with it.
    log.fatal({ err: error }, 'stopped by an error that was not foreseen')
    process.exit(1)
  })
  const { run } = await import('./run.ts')
  await using daemon = await run(config, log)
  log.info({ version: version(), readyMs: Math.round(performance.now()), drivers: daemon.drivers }, 'ready')
  const signal = await ended
  log.info({ signal }, 'stopping: the data path stays')
  return 0
}

try {
  process.exitCode = await main()
} catch (cause) {
  if (!(cause instanceof UserError)) throw cause
  process.stderr.write(`weftd: ${cause.text}\n`)
  process.exitCode = cause.code === 'BAD_SETTING' ? 2 : 1
}
// A call that waits in the thread pool must not hold up the exit.
process.exit()
