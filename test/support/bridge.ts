/** A network of weft-bridge and an endpoint of it, as records, and plans as text. */
import { bridgeDriver } from '../../drivers/bridge/index.ts'
import type { BridgeOptions } from '../../drivers/bridge/options.ts'
import type { Endpoint, Facts, Network, PublishedPort } from '../../drivers/driver.ts'
import { describe, type Resource } from '../../native/kernel/resource.ts'
import type { Cidr, Ip } from '../../native/value/ip.ts'
import type { Mac } from '../../native/value/mac.ts'
import { endpointId, facts as defaults, networkId } from './house.ts'

export const facts: Facts = { ...defaults, forwarded: [] }
export const v4 = { pool: '10.7.0.0/24' as Cidr, gateway: '10.7.0.1/24' as Cidr, aux: {} }
export const v6 = { pool: 'fd00:7::/64' as Cidr, gateway: 'fd00:7::1/64' as Cidr, aux: {} }

export function network(
  raw: Record<string, string> = {},
  more: Partial<Network<BridgeOptions>> = {},
): Network<BridgeOptions> {
  const options = bridgeDriver.parseOptions(raw)
  return { id: networkId, driver: 'bridge', internal: false, subnets: [v4, v6], options, ...more }
}

export const web: PublishedPort = { protocol: 'tcp', hostAddress: '0.0.0.0' as Ip, hostPort: 8080, containerPort: 80 }

export const endpoint: Endpoint = {
  id: endpointId,
  networkId,
  phase: 'joined',
  bootId: 'boot',
  addresses: ['10.7.0.2/24', 'fd00:7::2/64'] as Cidr[],
  mac: '02:42:0a:07:00:02' as Mac,
  ports: [
    web,
    { protocol: 'tcp', hostAddress: '::' as Ip, hostPort: 8080, containerPort: 80 },
    { protocol: 'udp', hostAddress: '127.0.0.1' as Ip, hostPort: 5353, containerPort: 53 },
  ],
  changedAt: 0,
}

export function print(plan: readonly Resource[]): readonly string[] {
  return plan.map(describe).map(line => line.replace(/^(ruleset \w+) \w+$/, '$1'))
}
