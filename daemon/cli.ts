/** `weft`: the operator's command. Exit status: 0 fine, 1 not fine, 2 asked wrongly, 3 the daemon is not running. */
import { join } from 'node:path'
import { Command as Program, CommanderError, Option } from 'commander'
import { UserError } from '../plugin-api/answer.ts'
import { adminClient } from './commands/client.ts'
import type { CommandOptions } from './commands/command.ts'
import { commands, groups, type Row } from './commands/index.ts'
import { locate } from './commands/locate.ts'
import { version } from './version.ts'

interface Options extends CommandOptions {
  readonly json?: boolean
}

const statusOf: Readonly<Record<string, number>> = { BAD_SETTING: 2, BAD_ADDRESS: 2, BAD_MAC: 2, NOT_RUNNING: 3 }

async function main(argv: readonly string[]): Promise<number> {
  let status = 0
  const program = new Program('weft')
    .description('Shows and settles what weft, container networking for the Docker Engine, keeps on this machine.')
    .option('--json', 'print JSON for programs')
    .option('--run-dir <dir>', 'where the admin socket of the daemon is (also WEFT_RUN_DIR)')
    .option('--config <file>', 'settings file of the daemon (also WEFT_CONFIG)')
    .version(version())
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      outputError: (text, write) => {
        write(
          `${text
            .replace(/^error: /, 'weft: ')
            .trim()
            .replaceAll('\n', ' ')}\n`,
        )
      },
    })
    .exitOverride()

  const add = (parent: Program, name: string, row: Row): void => {
    const command = parent.command(name).description(row.help)
    for (const word of row.words ?? []) command.argument(word.name, word.help)
    for (const { flag, help, hidden = false } of row.flags ?? []) {
      command.addOption(new Option(flag, help).hideHelp(hidden))
    }
    command.action(async () => {
      const options: Options = command.optsWithGlobals()
      const context = {
        json: options.json ?? false,
        admin: adminClient(() => join(locate(options, process.env).runDir, 'weft.sock')),
        print: (text: string) => process.stdout.write(`${text}\n`),
      }
      status = await (await row.load()).run(context, options, ...command.args)
    })
  }
  for (const [name, row] of Object.entries(commands)) add(program, name, row)
  for (const [name, { help, commands: rows }] of Object.entries(groups)) {
    const group = program.command(name).description(help)
    for (const [inner, row] of Object.entries(rows)) add(group, inner, row)
  }
  try {
    await program.parseAsync(argv, { from: 'user' })
    return status
  } catch (cause) {
    if (cause instanceof CommanderError) return cause.exitCode === 0 ? 0 : 2
    if (!(cause instanceof UserError)) throw cause
    process.stderr.write(`${cause.text}\n`)
    return statusOf[cause.code] ?? 1
  }
}

// The reader of a pipe has seen enough: `weft ports | head -1`.
process.stdout.on('error', (cause: NodeJS.ErrnoException) => {
  if (cause.code !== 'EPIPE') throw cause
  process.exit()
})
process.exitCode = await main(process.argv.slice(2))
