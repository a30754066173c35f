/** Routes of the main table that lead to a link. Mark: weft's route protocol number. */
import { RT_TABLE_MAIN } from '../../rtnl/route.ts'
import type { IfName, Observed, Route } from '../resource.ts'
import type { Kind } from './kind.ts'

export const route: Kind<Route> = {
  async observe({ rtnl }, _wishes, links) {
    const names = new Map(links.map(({ index, name }) => [index, name]))
    return (await rtnl.ownRoutes()).flatMap(({ destination, table, outInterfaces, source }): readonly Observed[] => {
      const link = names.get(outInterfaces[0] ?? 0) as IfName | undefined
      if (table !== RT_TABLE_MAIN || link === undefined) return []
      const resource: Route = { type: 'route', destination, link, ...(source === undefined ? {} : { source }) }
      return [{ resource, foreign: false }]
    })
  },
  create: ({ rtnl }, want) => rtnl.setRoute('add', want),
  update: ({ rtnl }, want) => rtnl.setRoute('replace', want),
  remove: ({ rtnl }, have) => rtnl.removeRoute(have),
}
