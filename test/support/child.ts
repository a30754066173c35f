/** Networks of weft-macvlan and weft-ipvlan as records, and a host with links to stand on. */
import type { ChildOptions } from '../../drivers/child/options.ts'
import type { Driver, Endpoint, Facts, LinkFact, Network } from '../../drivers/driver.ts'
import type { IfName } from '../../native/kernel/resource.ts'
import type { Cidr, Ip } from '../../native/value/ip.ts'
import type { Mac } from '../../native/value/mac.ts'
import { facts as defaults, v4, v6 } from './bridge.ts'
import { networkId } from './house.ts'

export const parentMac = '02:00:00:00:02:0b' as Mac

export function link(name: string, more: Partial<LinkFact> = {}): LinkFact {
  return { name: name as IfName, mac: parentMac, mtu: 1500, up: true, own: false, addresses: [], ...more }
}

export const facts: Facts = {
  ...defaults,
  links: [link('lo', { mtu: 65536 }), link('eth0', { addresses: ['10.7.0.200' as Ip] }), link('eth1')],
}

export type Make = (raw?: Record<string, string>, more?: Partial<Network<ChildOptions>>) => Network<ChildOptions>

/** On eth0 unless the options say otherwise; `parent` empty: on nothing. */
export function maker(driver: Driver<ChildOptions>): Make {
  return (raw = {}, more = {}) => {
    const { parent = 'eth0', ...rest } = raw
    const options = driver.parseOptions(parent === '' ? rest : { parent, ...rest })
    return { id: networkId, driver: driver.name, internal: false, subnets: [v4, v6], options, ...more }
  }
}

export const bare = { pool: '10.7.0.0/24' as Cidr, aux: {} }

export function fresh(endpoint: Endpoint): Endpoint {
  return { ...endpoint, phase: 'created', ports: [] }
}
