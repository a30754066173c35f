/** weft-none: containers that have nothing but `lo`. Any number of networks, any IPAM, and nothing in the kernel. */
import type { Mac } from '../../native/value/mac.ts'
import type { Driver } from '../driver.ts'
import { parseLabels } from '../labels.ts'
import { families, strict, withoutDefaults } from '../network-labels.ts'
import { aliveApart } from '../child/life.ts'

export interface NoneOptions {
  readonly ignored?: readonly string[]
}

const table = { ...families, strict } as const
export const noneLabels: readonly string[] = Object.values(table).map(({ label }) => label)

const refused = {
  'com.docker.network.driver.mtu': 'containers get no link',
  'com.docker.network.container_iface_prefix': 'containers get no link',
}
const noLink = '00:00:00:00:00:00' as Mac

export const noneDriver: Driver<NoneOptions> = {
  name: 'none',

  parseOptions(raw) {
    const { ignored } = parseLabels('weft-none', { table, refused, strictLabel: strict }, raw)
    return withoutDefaults<NoneOptions>({ ignored: ignored.length > 0 ? ignored : undefined })
  },

  parseEndpointOptions: raw =>
    parseLabels('weft-none', { table: {}, what: 'endpoint option', refused: {} }, raw).values,
  ignored: ({ ignored = [] }) => ignored,
  gateways: () => [],
  admit: network => network,
  fixedMac: () => noLink,
  planHost: () => [],
  planNetwork: () => [],
  planEndpoint: () => [],

  publishing: () => ({
    host: [],
    direct: [],
    refusal: { why: 'a container of weft-none has no network', hint: 'leave -p out, or use another network' },
  }),

  forwards: () => [],
  join: () => ({ dstPrefix: 'eth', gateways: [], routes: [], disableGatewayService: true }),
  alive: (endpoint, evidence) => aliveApart(endpoint, evidence),
}
