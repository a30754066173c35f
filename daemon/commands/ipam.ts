/** `weft ipam`: what is kept of addresses. */
import { readFileSync } from 'node:fs'
import { UserError } from '../../plugin-api/answer.ts'
import type { AddressReport, PoolRow, ReleaseReport, Suspect } from '../view-ipam.ts'
import type { Command, Context } from './command.ts'
import { fields, none, shortId, span, table } from './print.ts'

export const list: Command = {
  async run(context) {
    const rows = await context.admin.get('/v1/ipam/pools')
    if (context.json) context.print(JSON.stringify(rows, undefined, 2))
    else if (rows.length === 0) context.print('no pools yet: docker network create --ipam-driver weft-ipam NAME')
    else {
      const header = ['POOL', 'RANGE', 'NETWORK', 'DRIVER', 'USED', 'KEPT', 'RESTING', 'FREE', 'OUTSIDE', 'FOR']
      context.print(table(header, rows.map(poolLine)))
    }
    return 0
  },
}

export const show: Command = {
  async run(context, _options, address = '') {
    const report = await context.admin.get(`/v1/ipam/addresses/${encodeURIComponent(address)}`)
    context.print(context.json ? JSON.stringify(report, undefined, 2) : describe(report, Date.now()))
    return 0
  },
}

/** Exit status 1 when something does not fit. */
export const check: Command = {
  async run(context) {
    const suspects = await context.admin.get('/v1/ipam/suspects')
    if (context.json) context.print(JSON.stringify(suspects, undefined, 2))
    else if (suspects.length === 0) context.print('leases, endpoints and engine agree')
    else {
      const lines = suspects.map(({ address = none, pool = none, network = none, reason }) => [
        ...[address, pool, network, reason],
      ])
      context.print(table(['ADDRESS', 'POOL', 'NETWORK', 'REASON'], lines))
      context.print(
        "a lease that nobody uses ends with 'weft ipam release ADDRESS', a pool with 'weft ipam release POOL'",
      )
      context.print("all of them: 'weft --json ipam check >FILE', then 'weft ipam release --from-report FILE'")
    }
    return suspects.length === 0 ? 0 : 1
  },
}

export const reserve: Command = {
  async run(context, { mac, note }, where = '', address = '') {
    const wish = { where, address, ...(mac === undefined ? {} : { mac }), ...(note === undefined ? {} : { note }) }
    const report = await context.admin.reserve(wish)
    context.print(context.json ? JSON.stringify(report, undefined, 2) : describe(report, Date.now()))
    return 0
  },
}

export const release: Command = {
  async run(context, { force = false, fromReport }, ...words) {
    const [what] = words
    if (fromReport !== undefined && what === undefined && !force) return releaseReported(context, fromReport)
    if (what === undefined || fromReport !== undefined) {
      throw new UserError(
        'BAD_SETTING',
        'what to release is one of: an address, a pool, --from-report FILE without --force',
      )
    }
    const report = await context.admin.release({ what, force })
    if (context.json) context.print(JSON.stringify(report, undefined, 2))
    else {
      context.print(endedLine(report))
      if (report.stays !== undefined) context.print(`its lease stays: ${report.what} ${report.stays}`)
    }
    return 0
  },
}

/** What is no longer found unused stays as it is. Exit status 1 when something was refused. */
async function releaseReported(context: Context, file: string): Promise<number> {
  const told = new Set(readReport(file).map(keyOf))
  const found = (await context.admin.get('/v1/ipam/suspects')).filter(each => each.idle && told.has(keyOf(each)))
  const outcomes: (ReleaseReport & { readonly refused?: string })[] = []
  for (const { address, pool = '' } of found) {
    const what = address ?? pool
    try {
      outcomes.push(await context.admin.release({ what, force: false }))
    } catch (cause) {
      if (!(cause instanceof UserError)) throw cause
      outcomes.push({ what, ended: [], refused: cause.text })
    }
  }
  if (context.json) context.print(JSON.stringify(outcomes, undefined, 2))
  else if (outcomes.length === 0) context.print('nothing to release: all that the report found unused is used, or gone')
  else for (const outcome of outcomes) context.print(outcome.refused ?? endedLine(outcome))
  return outcomes.some(({ refused }) => refused !== undefined) ? 1 : 0
}

function readReport(file: string): readonly Suspect[] {
  const hint = "make one with 'weft --json ipam check >FILE'"
  try {
    const rows: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (Array.isArray(rows) && rows.every(row => typeof row === 'object' && row !== null && 'reason' in row)) {
      return rows as readonly Suspect[]
    }
  } catch (cause) {
    throw new UserError('BAD_SETTING', `${file}: cannot be read as a report`, { hint, cause })
  }
  throw new UserError('BAD_SETTING', `${file}: this is no report of weft`, { hint })
}

function keyOf({ pool, address }: Suspect): string {
  return `${pool ?? ''} ${address ?? ''}`
}

function endedLine({ what, ended }: ReleaseReport): string {
  return `ended of ${what}: ${ended.map(name => endedNames[name]).join(', ')}`
}

const endedNames = {
  lease: 'its lease',
  chosen: 'that it is kept for who chose it once',
  reservation: 'its reservation',
  rest: 'its rest',
  pool: 'the pool, with all that was kept of its addresses',
} as const

function poolLine(row: PoolRow): readonly string[] {
  return [
    row.subnet,
    row.range ?? none,
    row.network ?? (row.networkId === undefined ? none : shortId(row.networkId)),
    row.driver ?? none,
    String(row.used),
    String(row.kept),
    String(row.resting),
    row.free,
    row.range === undefined ? none : String(row.outside),
    span(Date.now() - row.since),
  ]
}

function describe(report: AddressReport, now: number): string {
  const { lease, reservation, chosenAt, past } = report
  const since = (at: number): string => `for ${span(now - at)}`
  const rows: (readonly [string, string] | false | undefined)[] = [
    ['address', report.address],
    ['pool', report.subnet],
    ['network', report.network ?? none],
    ['state', report.special ?? report.state],
    lease && ['held', `${holderOf(lease)}, ${since(lease.since)}`],
    lease?.mac !== undefined && ['MAC', lease.mac],
    reservation && ['reserved', `${forWhom(reservation)}, ${since(reservation.since)}`],
    reservation?.note !== undefined && ['note', reservation.note],
    chosenAt !== undefined && ['chosen', `asked for by name ${span(now - chosenAt)} ago: kept for whoever names it`],
    past && ['before', `${past.mac ?? 'an endpoint'}, until ${span(now - past.endedAt)} ago`],
    past?.restsUntil !== undefined && ['rests', `for another ${span(past.restsUntil - now)}, while there are others`],
  ]
  return fields(rows.filter(row => row !== false && row !== undefined))
}

function holderOf({ purpose, endpoint, container }: NonNullable<AddressReport['lease']>): string {
  if (purpose !== 'endpoint') return purposes[purpose] ?? purpose
  if (endpoint === undefined) return 'an endpoint that nobody knows: see weft ipam check'
  return `${container === undefined ? '' : `container ${container}, `}endpoint ${shortId(endpoint)}`
}

const purposes: Readonly<Record<string, string>> = {
  gateway: 'the gateway',
  reserved: 'auxiliary address',
  host: 'the host itself',
}

function forWhom({ mac }: NonNullable<AddressReport['reservation']>): string {
  return mac === undefined ? 'for whoever names it' : `for ${mac}`
}
