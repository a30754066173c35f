/** What a published port needs of the host: the socket that holds it, and what the rules must know of it. */
import type { Element, HeldPort } from '../native/kernel/resource.ts'
import { addressOf, familyOf, isLoopback, isUnspecified, type Cidr, type Family, type Ip } from '../native/value/ip.ts'
import type { Endpoint, Facts, PublishedPort } from './driver.ts'
import { element } from './firewall.ts'

const loopback6 = '::1' as Ip

/**
 * The socket that holds the port, and where no rule can translate, one that relays. `from`: who may use that. The rules
 * know of a relay before it serves: who must not use it never does.
 */
export function held(
  port: PublishedPort,
  endpoint: Endpoint,
  { facts, from }: { readonly facts: Facts; readonly from?: readonly Cidr[] | undefined },
): readonly (HeldPort | Element)[] {
  const { protocol, hostAddress, hostPort, containerPort } = port
  const hold: HeldPort = { type: 'port', protocol, address: hostAddress, port: hostPort }
  const relayed = relayTarget(port, endpoint)
  if (relayed) {
    const { set, key } = placeOf(port)
    return [
      ...(isLoopback(hostAddress) ? [] : [element(`relayed${set}`, key)]),
      { ...hold, relay: { address: relayed, port: containerPort, ...(from && { from }) } },
    ]
  }
  const address = addressIn(6, endpoint)
  if (hostAddress !== '::' || !address || !facts.loopback6 || protocol === 'sctp') return [hold]
  return [hold, { ...hold, address: loopback6, relay: { address, port: containerPort } }]
}

/** `asked`: the INPUT rules of the host decide who reaches it. */
export function published(
  port: PublishedPort,
  endpoint: Endpoint,
  { asked }: { readonly asked: boolean },
): readonly Element[] {
  if (relayTarget(port, endpoint)) return []
  const address = addressIn(familyOf(port.hostAddress), endpoint)
  if (!address) throw new Error(`endpoint ${endpoint.id} has no address to publish`)
  const { set, key } = placeOf(port)
  return [
    // Asked about before it is open.
    ...(asked ? [element(`asked${set}`, key)] : []),
    element(`pub${set}`, key, `${address} . ${port.containerPort}`),
  ]
}

/** Which of the sets of a kind, `4`, `4any`, `6` or `6any`, and the port's key there. */
function placeOf({ protocol, hostAddress, hostPort }: PublishedPort): { readonly set: string; readonly key: string } {
  const anywhere = isUnspecified(hostAddress)
  return {
    set: `${familyOf(hostAddress)}${anywhere ? 'any' : ''}`,
    key: `${anywhere ? '' : `${hostAddress} . `}${protocol} . ${hostPort}`,
  }
}

/** The container's address when the host's is of the other family, or `::1`: nothing leaves that translated. */
function relayTarget({ hostAddress }: PublishedPort, endpoint: Endpoint): Ip | undefined {
  const family = familyOf(hostAddress)
  const same = addressIn(family, endpoint)
  if (same) return hostAddress === loopback6 ? same : undefined
  return addressIn(family === 4 ? 6 : 4, endpoint)
}

function addressIn(family: Family, { addresses }: Endpoint): Ip | undefined {
  return addresses.map((cidr: Cidr) => addressOf(cidr)).find(address => familyOf(address) === family)
}
