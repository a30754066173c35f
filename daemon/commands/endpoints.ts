import type { Command } from './command.ts'
import { none, shortId, span, table } from './print.ts'

export const endpoints: Command = {
  async run(context) {
    const rows = await context.admin.get('/v1/endpoints')
    if (context.json) context.print(JSON.stringify(rows, undefined, 2))
    else if (rows.length === 0) context.print('no endpoints yet: docker run --network NAME IMAGE')
    else {
      const lines = rows.map(row => [
        shortId(row.id),
        row.networkName ?? shortId(row.networkId),
        row.container ?? none,
        row.addresses.join(', ') || none,
        row.mac,
        row.link,
        row.phase,
        span(Date.now() - row.since),
        String(row.ports),
      ])
      context.print(
        table(['ENDPOINT', 'NETWORK', 'CONTAINER', 'ADDRESSES', 'MAC', 'LINK', 'PHASE', 'FOR', 'PORTS'], lines),
      )
    }
    return 0
  },
}
