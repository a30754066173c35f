/** The engine's option keys. What is not listed here and begins with `com.docker.network.` is none of ours. */
import type { RequestAddress } from './ipam.ts'
import { badRequest } from './answer.ts'
import type { RawOptions } from './network.ts'
import { parse } from './read.ts'
import { anything, defaulted, flag, formatted, integer, list, map, object, optional, text } from './schema.ts'
import type { Parsed } from './schema.ts'

const enginePrefix = 'com.docker.network.'
const port = integer(0, 65_535)

/**
 * One published port. Proto is the IP protocol number: 6 tcp, 17 udp, 132 sctp. HostIP absent: any address.
 * HostPort 0: choose one. HostPortEnd above HostPort: any free one of the range. IP is always empty so far.
 */
export const PortBinding = object({
  Proto: integer(0, 255),
  IP: optional(formatted('ip')),
  Port: port,
  HostIP: optional(formatted('ip')),
  HostPort: defaulted(port, 0),
  HostPortEnd: defaulted(port, 0),
})
export type PortBinding = Parsed<typeof PortBinding>

export const ExposedPort = object({ Proto: integer(0, 255), Port: port })
export type ExposedPort = Parsed<typeof ExposedPort>

const NetworkKeys = object({
  // Only sent when true.
  'com.docker.network.internal': flag(),
  // Engines from 28 on; before, every network has IPv4.
  'com.docker.network.enable_ipv4': defaulted(flag(), true),
  'com.docker.network.enable_ipv6': flag(),
  'com.docker.network.generic': map(text()),
})

export interface NetworkOptions {
  readonly internal: boolean
  readonly enableIpv4: boolean
  readonly enableIpv6: boolean
  /** `-o key=value`, verbatim. The keys are the user's: `constructor` is possible. */
  readonly generic: Readonly<Record<string, string>>
}

/** Options of CreateNetwork and GwAllocCheck (`subject`, for the message). Throws UserError BAD_REQUEST. */
export function networkOptions(subject: string, raw: RawOptions): NetworkOptions {
  const keys = parse(`${subject}: Options`, NetworkKeys, raw)
  return {
    internal: keys['com.docker.network.internal'],
    enableIpv4: keys['com.docker.network.enable_ipv4'],
    enableIpv6: keys['com.docker.network.enable_ipv6'],
    generic: keys['com.docker.network.generic'],
  }
}

const EndpointKeys = object({
  'com.docker.network.portmap': list(PortBinding),
  'com.docker.network.endpoint.exposedports': list(ExposedPort),
  'com.docker.network.endpoint.dnsservers': list(formatted('ip')),
  // Of ProgramExternalConnectivity, engines from 28 on.
  'com.docker.network.driver.private.no_proxy_6to4': flag(),
  // Base64 of six bytes, which the request has in another field as well.
  'com.docker.network.endpoint.macaddress': optional(anything()),
})

export interface EndpointOptions {
  /** In no order: it differs from call to call. HostPortEnd is never below HostPort. */
  readonly ports: readonly PortBinding[]
  readonly exposedPorts: readonly ExposedPort[]
  readonly dnsServers: readonly string[]
  /** The container's gateway for IPv6 is in another network than that for IPv4: said to both. */
  readonly isIpv6Elsewhere: boolean
  /** The user chose the MAC: with an IPAM driver that wants one, the engine makes one for whom nobody did. */
  readonly isMacChosen: boolean
  /** `--driver-opt key=value`; only CreateEndpoint carries them. */
  readonly driver: Readonly<Record<string, string>>
}

/** Options of CreateEndpoint, Join and ProgramExternalConnectivity (`subject`). Throws UserError BAD_REQUEST. */
export function endpointOptions(subject: string, raw: RawOptions): EndpointOptions {
  const keys = parse(`${subject}: Options`, EndpointKeys, raw)
  const own = Object.entries(raw).filter(([key]) => !key.startsWith(enginePrefix))
  return {
    ports: keys['com.docker.network.portmap'].map(binding => withRange(subject, binding)),
    exposedPorts: keys['com.docker.network.endpoint.exposedports'],
    dnsServers: keys['com.docker.network.endpoint.dnsservers'],
    isIpv6Elsewhere: keys['com.docker.network.driver.private.no_proxy_6to4'],
    isMacChosen: keys['com.docker.network.endpoint.macaddress'] !== undefined,
    driver: parse(`${subject}: Options`, map(text()), Object.fromEntries(own)),
  }
}

/** No end is a range of one. */
function withRange(subject: string, binding: PortBinding): PortBinding {
  const { HostPort, HostPortEnd } = binding
  if (HostPortEnd === 0) return { ...binding, HostPortEnd: HostPort }
  if (HostPortEnd < HostPort) {
    throw badRequest(`${subject}: published port range ${HostPort}-${HostPortEnd} ends before it begins`)
  }
  return binding
}

const AddressKeys = object({
  RequestAddressType: optional(text()),
  'com.docker.network.endpoint.macaddress': optional(formatted('mac')),
})

export interface AddressOptions {
  /**
   * `reserved`: an address by name and without a MAC: an auxiliary one, or an endpoint's that the engine repeats after
   * its restart. The two look the same.
   */
  readonly purpose: 'gateway' | 'reserved' | 'endpoint'
  readonly mac: string | undefined
}

/** What an address is asked for. We ask the engine for MACs (RequiresMACAddress), so new endpoints carry one. */
export function addressOptions(request: RequestAddress): AddressOptions {
  const keys = parse('RequestAddress: Options', AddressKeys, request.Options)
  const mac = keys['com.docker.network.endpoint.macaddress']
  if (keys.RequestAddressType === 'com.docker.network.gateway') return { purpose: 'gateway', mac }
  return { purpose: mac === undefined && request.Address !== undefined ? 'reserved' : 'endpoint', mac }
}
