/** Networks with endpoints, leases and ports that are there while mutants come, and recorded calls that speak of them. */
import { ifName } from '../../drivers/names.ts'
import { type Answer, type Client, client } from './client.ts'
import { pick } from './random.ts'
import type { Random } from './random.ts'
import type { Step } from './replay.ts'

type Json = Readonly<Record<string, unknown>>

export interface Call {
  readonly method: string
  readonly request: Json
}

const portmap = 'com.docker.network.portmap'
const generic = 'com.docker.network.generic'

interface Home {
  readonly network: string
  /** First two bytes of its /24, and first two groups of its /64. */
  readonly v4: string
  readonly v6: string
  readonly endpoints: readonly string[]
}

const homes: readonly Home[] = [1, 2, 3].map(n => ({
  network: String(n).repeat(64),
  v4: `10.7.${n}`,
  v6: `fd00:7:0:${n}:`,
  endpoints: ['a', 'b', 'c'].map(letter => `${letter}${n}`.repeat(32)),
}))

/** The calls that make the town, in an engine's order. All of them succeed on an empty house. */
export const building: readonly Call[] = homes.flatMap(home => [
  call('IpamDriver.RequestPool', { Pool: `${home.v4}.0/24`, SubPool: '', Options: {}, V6: false }),
  call('IpamDriver.RequestPool', { Pool: `${home.v6}:/64`, SubPool: '', Options: {}, V6: true }),
  ...[poolsOf(home).v4, poolsOf(home).v6].map(PoolID =>
    call('IpamDriver.RequestAddress', {
      PoolID,
      Address: '',
      Options: { RequestAddressType: 'com.docker.network.gateway' },
    }),
  ),
  call('NetworkDriver.CreateNetwork', {
    NetworkID: home.network,
    Options: { [generic]: {} },
    IPv4Data: [{ AddressSpace: 'weft-local', Pool: `${home.v4}.0/24`, Gateway: `${home.v4}.1/24` }],
    IPv6Data: [{ AddressSpace: 'weft-local', Pool: `${home.v6}:/64`, Gateway: `${home.v6}:1/64` }],
  }),
  ...home.endpoints.flatMap((endpoint, index) => living(home, endpoint, index)),
])

/** Of three endpoints the first publishes ports, the second is joined, the third only created. */
function living(home: Home, EndpointID: string, index: number): readonly Call[] {
  const ids = { NetworkID: home.network, EndpointID }
  const MacAddress = `02:42:0a:07:0${home.network.charAt(0)}:0${index + 2}`
  const Options = { 'com.docker.network.endpoint.macaddress': MacAddress }
  const [v4, v6] = [`${home.v4}.${index + 2}`, `${home.v6}:${index + 2}`]
  const port = { IP: '', HostIP: '', Port: 80, HostPort: 8000 + Number(home.network.charAt(0)), HostPortEnd: 0 }
  return [
    call('IpamDriver.RequestAddress', { PoolID: poolsOf(home).v4, Address: v4, Options }),
    call('IpamDriver.RequestAddress', { PoolID: poolsOf(home).v6, Address: v6, Options }),
    call('NetworkDriver.CreateEndpoint', {
      ...ids,
      Interface: { Address: `${v4}/24`, AddressIPv6: `${v6}/64`, MacAddress },
      Options: {},
    }),
    ...(index < 2
      ? [call('NetworkDriver.Join', { ...ids, SandboxKey: '/var/run/docker/netns/5cc8fe204795', Options: {} })]
      : []),
    ...(index < 1
      ? [
          call('NetworkDriver.ProgramExternalConnectivity', {
            ...ids,
            Options: {
              [portmap]: [
                { ...port, Proto: 6 },
                { ...port, Proto: 17 },
              ],
            },
          }),
        ]
      : []),
  ]
}

/** Recorded calls with most of their ids and addresses changed to such as are there. */
export function moved(recorded: readonly Step[], chance: Random): readonly Step[] {
  return recorded.map(step => {
    if (step.request === null) return step
    const home = pick(chance, homes)
    // Were whole networks removed as often as endpoints are made, nothing would be there for long.
    const strange = /DeleteNetwork|ReleasePool/.test(step.method) ? 0.9 : 0.25
    const request = Object.entries(step.request).map(([name, value]) => [
      name,
      chance() < strange ? value : movedField(name, value, home, chance),
    ])
    return { ...step, request: Object.fromEntries(request) as Step['request'] }
  })
}

function movedField(name: string, value: unknown, home: Home, chance: Random): unknown {
  const host = Math.floor(chance() * 256)
  switch (name) {
    case 'NetworkID':
      return home.network
    case 'EndpointID':
      return pick(chance, home.endpoints)
    case 'PoolID':
      return poolsOf(home)[String(value).includes(':') ? 'v6' : 'v4']
    case 'Address':
      return `${home.v4}.${host}`
    case 'Interface':
      return { ...(value as object), Address: `${home.v4}.${host}/24` }
    case 'IPv4Data':
      return [{ Pool: `10.8.${host}.0/24`, Gateway: `10.8.${host}.1/24` }]
    case 'Options':
      return movedOptions((value ?? {}) as Json, chance)
    default:
      return value
  }
}

/** Ports that are taken in part, and options of networks in good and bad combinations. */
function movedOptions(options: Json, chance: Random): Json {
  const moved: Record<string, unknown> = { ...options }
  if (portmap in options) moved[portmap] = Array.from({ length: 1 + Math.floor(chance() * 3) }, () => binding(chance))
  if (generic in options) moved[generic] = pick(chance, driverOptions)
  return moved
}

function binding(chance: Random): Json {
  const HostPort = pick(chance, [0, 1, 8000, 8001, 8002, 8003, 65_535])
  return {
    Proto: pick(chance, [6, 6, 17, 17, 132]),
    IP: '',
    HostIP: pick(chance, ['', '', '0.0.0.0', '::', '127.0.0.1', '::1', '192.0.2.11', 'fd00:2::11', '224.0.0.1']),
    Port: pick(chance, [0, 1, 80, 80, 65_535]),
    HostPort,
    HostPortEnd: pick(chance, [0, HostPort, Math.min(65_535, HostPort + 3)]),
  }
}

const bridge = 'com.docker.network.bridge'
const driverOptions: readonly Json[] = [
  {},
  { [`${bridge}.enable_icc`]: 'false' },
  { [`${bridge}.enable_ip_masquerade`]: 'false', 'com.docker.network.driver.mtu': '1400' },
  ...['68', '1279', '65535', '65536'].map(mtu => ({ 'com.docker.network.driver.mtu': mtu })),
  // A new one; the uplink's; those of a network and of an endpoint that are there.
  ...['br7', 'eth0', 'lo', ifName('wb', homes[0]?.network ?? ''), ifName('wv', homes[0]?.endpoints[0] ?? '')].map(
    name => ({ [`${bridge}.name`]: name }),
  ),
]

/** Ids of pools are made from their subnets: see ipam/records.ts. */
function poolsOf({ v4, v6 }: Home): { readonly v4: string; readonly v6: string } {
  return { v4: `${v4}.0-24`, v6: `${v6}:-64` }
}

function call(method: string, request: Call['request']): Call {
  return { method, request }
}

/** An engine that remembers which pools it was given. */
export class Caller implements Disposable {
  readonly #client: Client
  readonly pools = new Set<string>()

  constructor(socketPath: string) {
    this.#client = client(socketPath)
  }

  async send(method: string, body: object | Buffer): Promise<Verdict> {
    const answer = await this.#client.post(method, body)
    const verdict = judge(answer)
    const { PoolID } = (answer.json ?? {}) as { readonly PoolID?: unknown }
    if (typeof PoolID === 'string') this.pools.add(PoolID)
    return verdict
  }

  /** Builds the town; throws when one of its calls is refused. */
  async build(): Promise<void> {
    for (const { method, request } of building) await this.#must(method, request)
  }

  /** Removes these networks, and every pool that was given. */
  async raze(networks: readonly string[]): Promise<void> {
    for (const NetworkID of networks) await this.#must('NetworkDriver.DeleteNetwork', { NetworkID })
    for (const PoolID of this.pools) await this.#must('IpamDriver.ReleasePool', { PoolID })
    this.pools.clear()
  }

  async #must(method: string, request: object): Promise<void> {
    const { refusal } = await this.send(method, request)
    if (refusal !== undefined) throw new Error(`${method} ${JSON.stringify(request)}: ${refusal}`)
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]()
  }
}

export interface Verdict {
  readonly status: number
  /** Undefined: accepted. */
  readonly refusal: string | undefined
  /** What is wrong with the form of the answer; undefined when nothing is. */
  readonly malformed: string | undefined
}

/** Accepted is a 200 with an object; refused is a 200 or 400 that says why in both halves' spelling. */
function judge({ status, text, json }: Answer): Verdict {
  const shown = `status ${status}: ${text.slice(0, 200)}`
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    return { status, refusal: text, malformed: `not an object: ${shown}` }
  }
  const { Err, Error: error } = json as Readonly<Record<string, unknown>>
  if (Err === undefined && error === undefined) {
    return { status, refusal: undefined, malformed: status === 200 ? undefined : `accepted with ${shown}` }
  }
  const whole = typeof Err === 'string' && Err !== '' && Err === error && (status === 200 || status === 400)
  return { status, refusal: String(Err ?? error), malformed: whole ? undefined : shown }
}
