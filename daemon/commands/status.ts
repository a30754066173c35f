import type { Status } from '../view.ts'
import type { Command } from './command.ts'
import { count, fields, span, yesNo } from './print.ts'

export const status: Command = {
  async run(context) {
    const answer = await context.admin.get('/v1/status')
    context.print(context.json ? JSON.stringify(answer, undefined, 2) : describe(answer, Date.now()))
    return 0
  },
}

function describe(status: Status, now: number): string {
  const { counts, settle } = status
  return fields([
    ['weftd', `${status.version}, process ${status.pid}, running for ${span(now - status.startedAt)}`],
    ['ready', status.ready ? 'yes' : 'no: records are being restored, or the rule set does not stand'],
    ['drivers', status.drivers.join(', ')],
    ['kernel', status.kernel],
    ['engine', engineText(status.engine)],
    ['own table', `protected from other programs: ${yesNo(status.features.tableOwner)}`],
    [
      'records',
      [
        count(counts.networks, 'network'),
        count(counts.endpoints, 'endpoint'),
        count(counts.ports, 'port'),
        count(counts.leases, 'lease'),
      ].join(', '),
    ],
    ['settled', settledText(settle, now)],
    ['degraded', settle.degraded.length === 0 ? 'nothing' : settle.degraded],
  ])
}

function engineText(engine: Status['engine']): string {
  if (engine.reachable === undefined) return `${engine.address}: not asked yet`
  if (!engine.reachable) return `${engine.address}: no answer; weft works without it`
  return engine.version === undefined ? engine.address : `${engine.address}: ${engine.version}`
}

function settledText(settle: Status['settle'], now: number): string {
  if (settle.lastAt === undefined) return 'not yet'
  const took = settle.lastMs === undefined ? '' : ` in ${Math.round(settle.lastMs)} ms`
  return `${span(now - settle.lastAt)} ago${took}: ${count(settle.changes, 'change')}`
}
