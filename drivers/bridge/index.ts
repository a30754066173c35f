/** weft-bridge: one Linux bridge per network, routed and translated by the rule sets of the host plan. */
import type { Driver } from '../driver.ts'
import { planFirewall } from '../firewall.ts'
import { admit } from './admit.ts'
import { join, linkOf, planEndpoint } from './endpoint.ts'
import { familiesOf, modeOf, planNetwork } from './network.ts'
import { parseBridgeEndpointOptions, parseBridgeOptions, type BridgeOptions } from './options.ts'

export { bridgeOf, ownSwitches } from './network.ts'

export const bridgeDriver: Driver<BridgeOptions> = {
  name: 'bridge',
  parseOptions: parseBridgeOptions,
  parseEndpointOptions: parseBridgeEndpointOptions,
  ignored: ({ ignored = [] }) => ignored,
  gateways: options => ([4, 6] as const).filter(family => modeOf(options, family) !== 'isolated'),
  admit,

  planHost: planFirewall,
  planNetwork,
  planEndpoint,

  publishing(network, facts) {
    const address = network.options.bindAddress ?? facts.publishAddress
    const translated = familiesOf(network).filter(family => modeOf(network.options, family).startsWith('nat'))
    return {
      host: translated,
      direct: familiesOf(network).filter(family => !translated.includes(family)),
      ...(address === undefined ? {} : { address }),
    }
  },

  forwards: network => (network.internal ? [] : familiesOf(network)),
  join,
  alive: (endpoint, evidence) => evidence.hasLink(linkOf(endpoint)),
}
