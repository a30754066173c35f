/**
 * The engine's API, read in the background only: asking it inside a request of its own can deadlock. An engine that is
 * absent is normal, and one that answers late or nonsense is no evidence.
 */
import { request } from 'node:http'
import type { EndpointId, NetworkId } from '../plugin-api/ids.ts'
import { addressOf, parseCidr, type Cidr, type Ip } from '../native/value/ip.ts'

/** What an engine says about one network that it has. */
export interface EngineNetwork {
  readonly name: string
  readonly driver: string
  readonly ipamDriver: string
  readonly subnets: readonly Cidr[]
  /** Name of the bridge that its user chose. */
  readonly bridge?: string
  readonly endpoints: ReadonlyMap<EndpointId, EngineEndpoint>
}

export type ListedNetwork = Pick<EngineNetwork, 'driver' | 'ipamDriver' | 'subnets'> & { readonly id: NetworkId }

export interface EngineList {
  readonly networks: readonly ListedNetwork[]
  /**
   * Tells the engine from others: the id of its network `none`, which it makes with its store and keeps as long. The id of
   * its `/info` would be the same for a new store in the old place.
   */
  readonly identity?: string
}

export interface EngineEndpoint {
  readonly container: string
  readonly addresses: readonly Ip[]
}

const timeoutMs = 5_000

export class Engine {
  readonly address: string
  readonly #socketPath: string
  /** Absent before the first answer and after a failure. */
  version: string | undefined
  /** Did it answer when it was asked last? Absent before. */
  answered: boolean | undefined

  constructor(address: string) {
    this.address = address
    this.#socketPath = address.replace(/^unix:\/\//, '')
  }

  /** Is an engine there? Never rejects. */
  async reachable(): Promise<boolean> {
    try {
      const answer = await this.#get('/version')
      this.version = text(field(answer?.body, 'Version'))
    } catch {
      this.version = undefined
    }
    this.answered = this.version !== undefined
    return this.answered
  }

  /** All that it has, of any driver. Rejects when the answer is no list. */
  async networks(): Promise<EngineList> {
    const rows = (await this.#get('/networks'))?.body
    if (!Array.isArray(rows)) throw new Error('engine: /networks: not a list')
    const networks = (rows as readonly unknown[]).flatMap(row => {
      const id = text(field(row, 'Id')) as NetworkId | undefined
      return id === undefined ? [] : [{ id, driver: text(field(row, 'Driver')) ?? '', ...ipamOf(row) }]
    })
    const identity = networks.find(({ driver }) => driver === 'null')?.id
    return { networks, ...(identity === undefined ? {} : { identity }) }
  }

  /** Undefined: this engine has no such network, so it is no evidence about it. Rejects when there is no answer. */
  async network(id: NetworkId): Promise<EngineNetwork | undefined> {
    const answer = await this.#get(`/networks/${encodeURIComponent(id)}`)
    if (!answer) return undefined
    const endpoints = new Map<EndpointId, EngineEndpoint>()
    for (const entry of Object.values(field(answer.body, 'Containers') ?? {}) as unknown[]) {
      const addresses = ['IPv4Address', 'IPv6Address'].flatMap(key => {
        const cidr = parseCidr(text(field(entry, key)) ?? '')
        return cidr ? [addressOf(cidr)] : []
      })
      const endpointId = text(field(entry, 'EndpointID')) as EndpointId | undefined
      if (endpointId) endpoints.set(endpointId, { container: text(field(entry, 'Name')) ?? '', addresses })
    }
    const [name = '', driver = ''] = [text(field(answer.body, 'Name')), text(field(answer.body, 'Driver'))]
    const bridge = text(field(field(answer.body, 'Options'), 'com.docker.network.bridge.name'))
    return { name, driver, ...ipamOf(answer.body), ...(bridge === undefined ? {} : { bridge }), endpoints }
  }

  /** Undefined on 404. */
  #get(path: string): Promise<{ readonly body: unknown } | undefined> {
    return new Promise((resolve, reject) => {
      const asked = request(
        { socketPath: this.#socketPath, path, headers: { Host: 'docker' }, timeout: timeoutMs, agent: false },
        answer => {
          const chunks: Buffer[] = []
          answer.on('data', (chunk: Buffer) => chunks.push(chunk))
          answer.on('error', reject)
          answer.on('end', () => {
            if (answer.statusCode === 404) resolve(undefined)
            else if (answer.statusCode !== 200) reject(new Error(`engine: ${path}: status ${answer.statusCode ?? 0}`))
            else {
              try {
                resolve({ body: JSON.parse(Buffer.concat(chunks).toString()) as unknown })
              } catch (cause) {
                reject(new Error(`engine: ${path}: not JSON`, { cause }))
              }
            }
          })
        },
      )
      asked.on('timeout', () => asked.destroy(new Error(`engine: ${path}: no answer for ${timeoutMs} ms`)))
      asked.on('error', reject)
      asked.end()
    })
  }
}

function ipamOf(network: unknown): Pick<EngineNetwork, 'ipamDriver' | 'subnets'> {
  const ipam = field(network, 'IPAM')
  const configs = field(ipam, 'Config')
  const subnets = (Array.isArray(configs) ? configs : []).flatMap(
    config => parseCidr(text(field(config, 'Subnet')) ?? '') ?? [],
  )
  return { ipamDriver: text(field(ipam, 'Driver')) ?? '', subnets }
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[key] : undefined
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
