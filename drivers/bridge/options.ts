import type { IfName } from '../../native/kernel/resource.ts'
import { bool, parseLabels } from '../labels.ts'
import { isMadeName } from '../names.ts'

/** Options of a weft-bridge network, as they are recorded. */
export interface BridgeOptions {
  /** Name of the bridge; a name made from the network's id when absent. */
  readonly name?: IfName
  /** The bridge was there before the network and stays when the network goes. */
  readonly adopted: boolean
  /** Switches of an adopted bridge that were set before: they are not set back. */
  readonly kept?: readonly string[]
  readonly icc: boolean
  readonly masquerade: boolean
  /** Bytes; the kernel's default (1500) when absent. */
  readonly mtu?: number
}

const table = {
  name: {
    label: 'com.docker.network.bridge.name',
    fallback: undefined,
    expected: 'an interface name of at most 15 characters, and none that weft makes itself',
    parse: linkName,
  },
  icc: bool('com.docker.network.bridge.enable_icc', true),
  masquerade: bool('com.docker.network.bridge.enable_ip_masquerade', true),
  mtu: {
    label: 'com.docker.network.driver.mtu',
    fallback: undefined,
    expected: 'a number of bytes from 68 to 65535, or 0 for the default',
    parse: mtu,
  },
} as const

export const bridgeLabels: readonly string[] = Object.values(table).map(({ label }) => label)

/** Docker's own bridge driver has these as well. */
const later = [
  'com.docker.network.bridge.gateway_mode_ipv4',
  'com.docker.network.bridge.gateway_mode_ipv6',
  'com.docker.network.bridge.trusted_host_interfaces',
  'com.docker.network.bridge.inhibit_ipv4',
  'com.docker.network.bridge.host_binding_ipv4',
  'com.docker.network.bridge.default_bridge',
  'com.docker.network.host_ipv4',
  'com.docker.network.host_ipv6',
  'com.docker.network.container_iface_prefix',
  'com.docker.network.enable_ipv4',
  'com.docker.network.enable_ipv6',
  'com.docker.network.advertise_addr_nmsgs',
  'com.docker.network.advertise_addr_ms',
]

export function parseBridgeOptions(raw: Readonly<Record<string, string>>): BridgeOptions {
  const { name, icc, masquerade, mtu } = parseLabels('weft-bridge', table, later, raw)
  return {
    adopted: false,
    icc,
    masquerade,
    ...(name === undefined ? {} : { name }),
    ...(mtu === undefined || mtu === 0 ? {} : { mtu }),
  }
}

/** What the kernel accepts, less names that mean something else: `all` and `default` in sysctls, and weft's own. */
function linkName(text: string): IfName | undefined {
  if (!/^[^\s/:.\0][^\s/:\0]{0,14}$/.test(text) || Buffer.byteLength(text) > 15) return undefined
  return ['lo', 'all', 'default'].includes(text) || isMadeName(text) ? undefined : (text as IfName)
}

function mtu(text: string): number | undefined {
  const bytes = /^\d{1,5}$/.test(text) ? Number(text) : NaN
  return bytes === 0 || (bytes >= 68 && bytes <= 65535) ? bytes : undefined
}
