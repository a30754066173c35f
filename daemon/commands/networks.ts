import type { Command } from './command.ts'
import { none, shortId, table, yesNo } from './print.ts'

export const networks: Command = {
  async run(context) {
    const rows = await context.admin.get('/v1/networks')
    if (context.json) context.print(JSON.stringify(rows, undefined, 2))
    else if (rows.length === 0) context.print('no networks yet: docker network create -d weft-bridge NAME')
    else {
      const lines = rows.map(row => [
        shortId(row.id),
        row.name ?? none,
        row.driver,
        row.subnets.join(', ') || none,
        row.gateways.join(', ') || none,
        yesNo(row.internal),
        row.bridge ?? row.parent ?? none,
        String(row.endpoints),
      ])
      context.print(table(['NETWORK', 'NAME', 'DRIVER', 'SUBNETS', 'GATEWAYS', 'INTERNAL', 'LINK', 'ENDPOINTS'], lines))
    }
    return 0
  },
}
