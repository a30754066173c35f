import type { Command } from './command.ts'
import { none, shortId, socketAddress, table } from './print.ts'

export const ports: Command = {
  async run(context) {
    const rows = await context.admin.get('/v1/ports')
    if (context.json) context.print(JSON.stringify(rows, undefined, 2))
    else if (rows.length === 0) context.print('no published ports yet: docker run --network NAME -p 8080:80 IMAGE')
    else {
      const lines = rows.map(row => [
        row.protocol,
        row.way === 'direct' ? none : socketAddress(row.hostAddress, row.hostPort),
        socketAddress(row.containerAddress, row.containerPort),
        row.container ?? none,
        shortId(row.endpointId),
        row.way,
        row.reason === undefined ? row.state : `${row.state}: ${row.reason}`,
      ])
      context.print(table(['PROTOCOL', 'ON HOST', 'IN CONTAINER', 'CONTAINER', 'ENDPOINT', 'WAY', 'STATE'], lines))
    }
    return 0
  },
}
