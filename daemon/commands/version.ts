import { UserError } from '../../plugin-api/answer.ts'
import { version as ownVersion } from '../version.ts'
import type { Command, Context } from './command.ts'
import { fields } from './print.ts'

/** Also that of the running daemon: after an upgrade it is the old one until it is started again. */
export const version: Command = {
  async run(context) {
    const versions = { weft: ownVersion(), weftd: await runningVersion(context) }
    context.print(
      context.json
        ? JSON.stringify(versions, undefined, 2)
        : fields([
            ['weft', versions.weft],
            ['weftd', versions.weftd ?? 'not running, or not open to this user'],
          ]),
    )
    return 0
  },
}

async function runningVersion({ admin }: Context): Promise<string | null> {
  try {
    return (await admin.get('/v1/status')).version
  } catch (cause) {
    if (cause instanceof UserError && ['NOT_RUNNING', 'NOT_PERMITTED'].includes(cause.code)) return null
    throw cause
  }
}
