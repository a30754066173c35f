/** What weft-macvlan and weft-ipvlan are, but for their options. */
import type { Driver, Publishing } from '../driver.ts'
import { parseLabels } from '../labels.ts'
import { sysctls } from '../network-labels.ts'
import { admit } from './admit.ts'
import { admitEndpoint, join, linkOf, planEndpoint } from './endpoint.ts'
import { familiesOfHost, hasHost, hostWishes, planHost, shimOf } from './host.ts'
import { aliveApart } from './life.ts'
import type { ChildNetwork, ChildOptions } from './options.ts'
import { isApart, parentOf } from './parent.ts'

type Own = 'name' | 'parseOptions'

export function childDriver(own: Pick<Driver<ChildOptions>, Own | 'fixedMac' | 'macRefusal'>): Driver<ChildOptions> {
  return {
    ...own,

    parseEndpointOptions(raw) {
      parseLabels(`weft-${own.name}`, { table: { sysctls }, what: 'endpoint option', refused: {} }, raw)
      return {}
    },

    ignored: ({ ignored = [] }) => ignored,
    // The router of a LAN is somebody else: the engine shall not take an address for one that the user did not name.
    gateways: () => [],
    admit,
    admitEndpoint,
    hostWishes,

    search({ options: { parent, dad = 'fast' } }) {
      return parent === undefined || dad === 'off' ? undefined : { link: parent, timing: dad }
    },

    announces(network, { links }) {
      const { manner } = network.options
      if (manner.kind === 'ipvlan' && manner.mode !== 'l2') return []
      const parent = links.find(({ name, up }) => name === network.options.parent && up)
      // The wire is on the parent; the host's other containers hear what is said on a link beside theirs.
      return [...(parent ? [parent.name] : []), ...(hasHost(network) ? [shimOf(network)] : [])]
    },

    parentOf: ({ options }) => options.parent,
    planHost,

    planNetwork(network) {
      const { parent, mtu } = network.options
      if (parent !== undefined) return []
      const size = mtu === undefined ? {} : { mtu }
      return [{ type: 'dummy', name: parentOf(network), alias: `weft network ${network.id}`, ...size }]
    },

    planEndpoint,
    publishing: network => publishing(own.name, network),
    // Only what is published is forwarded; but a host that does not forward answers for nobody.
    forwards: network => (network.options.proxy ? familiesOfHost(network) : []),
    join,
    alive: (endpoint, evidence) => aliveApart(endpoint, evidence, linkOf(endpoint)),
  }
}

function publishing(driver: string, network: ChildNetwork): Publishing {
  const none = { host: [], direct: [] }
  // An internal network publishes nothing, and nobody is told so: as Docker has it.
  if (network.options.ignorePorts || network.internal) return none
  if (hasHost(network)) return { host: familiesOfHost(network), direct: [], ...(isApart(network) && { atJoin: true }) }
  return {
    ...none,
    refusal: {
      why: `a network of weft-${driver} publishes nothing by itself: its containers are in the LAN with their own addresses`,
      hint:
        'leave -p out; or create the network with -o host_access=true, and the host serves the ports; or with ' +
        '-o weft.publish=ignore, if another network of the container publishes them',
    },
  }
}
