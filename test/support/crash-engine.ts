/**
 * An engine as weft sees it: the calls of PROTOCOL's table of orders, what follows when one fails, the repetition of a
 * broken call with an empty body, and the lists that its API shows. Containers are network namespaces.
 */
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask } from './lab/socket.ts'
import type { Shell } from './crash-shell.ts'

export interface Pool {
  readonly id: string
  readonly subnet: string
  readonly gateway: string
}

export interface EngineNetwork {
  readonly id: string
  readonly name: string
  readonly pools: readonly Pool[]
  readonly endpoints: Map<string, EngineEndpoint>
}

export interface EngineEndpoint {
  readonly id: string
  readonly container: string
  readonly network: EngineNetwork
  /** With prefix lengths, one for each pool. */
  readonly addresses: readonly string[]
  /** Name of the interface while the container has it. */
  device?: string
  srcName?: string
  published?: boolean
}

export interface Port {
  readonly Proto: 6 | 17
  readonly Port: number
  readonly HostPort: number
}

/** A call was refused, or broke. */
export class Refused extends Error {}

const giveUpMs = 60_000

export class FakeEngine {
  readonly networks = new Map<string, EngineNetwork>()
  /** Method of each call that broke, in order. */
  readonly broken: string[] = []
  readonly #path: (inside: string) => string
  readonly #shell: Shell

  constructor(path: (inside: string) => string, shell: Shell) {
    this.#path = path
    this.#shell = shell
  }

  /** Serves what `weftd --engine` asks for, until it is disposed. */
  async serve(): Promise<Disposable> {
    const server = createServer((request, response) => {
      const answer = this.#answer(request.url ?? '')
      response.statusCode = answer === undefined ? 404 : 200
      response.setHeader('Connection', 'close')
      response.end(JSON.stringify(answer ?? { message: 'not found' }))
    })
    const path = this.#path('/run/docker.sock')
    rmSync(path, { force: true })
    await new Promise<void>(resolve => server.listen(path, resolve))
    return { [Symbol.dispose]: () => server.close() }
  }

  /** `docker network create`. `v4` is `10.77.0`, `v6` is `fd00:77`. */
  async createNetwork(name: string, v4: string, v6: string): Promise<EngineNetwork> {
    const pools: Pool[] = []
    const undo: (() => Promise<unknown>)[] = []
    const id = randomBytes(32).toString('hex')
    try {
      for (const [wish, V6] of [
        [`${v4}.0/24`, false],
        [`${v6}::/64`, true],
      ] as const) {
        const body = { AddressSpace: 'weft-local', Pool: wish, SubPool: '', Options: {}, V6 }
        const pool = (await this.#ipam('RequestPool', body)) as { PoolID: string; Pool: string }
        undo.push(() => this.#logged(this.#ipam('ReleasePool', { PoolID: pool.PoolID })))
        const options = { RequestAddressType: 'com.docker.network.gateway' }
        const gateway = await this.#requestAddress(pool.PoolID, options)
        pools.push({ id: pool.PoolID, subnet: pool.Pool, gateway })
        undo.push(() => this.#release(pool.PoolID, gateway))
      }
      const [one, two] = pools.map(({ subnet, gateway }) => ({
        AddressSpace: 'weft-local',
        Pool: subnet,
        Gateway: gateway,
      }))
      const options = { 'com.docker.network.enable_ipv6': true, 'com.docker.network.generic': {} }
      await this.#network('CreateNetwork', { NetworkID: id, Options: options, IPv4Data: [one], IPv6Data: [two] })
    } catch (cause) {
      for (const step of undo.reverse()) await step()
      throw cause
    }
    const network = { id, name, pools, endpoints: new Map<string, EngineEndpoint>() }
    this.networks.set(id, network)
    return network
  }

  /** `docker network rm`: the user sees success whatever the plugin says. */
  async removeNetwork(network: EngineNetwork): Promise<void> {
    if (network.endpoints.size > 0) throw new Error(`network ${network.name} has active endpoints`)
    for (const { id, gateway } of network.pools) {
      await this.#release(id, gateway)
      await this.#logged(this.#ipam('ReleasePool', { PoolID: id }))
    }
    await this.#logged(this.#network('DeleteNetwork', { NetworkID: network.id }))
    this.networks.delete(network.id)
  }

  /** `docker network connect`, or the part of `docker run` that concerns a network; `ports` for the gateway's only. */
  async connect(network: EngineNetwork, container: string, ports: readonly Port[] = []): Promise<EngineEndpoint> {
    const mac = `02:42:${[...randomBytes(4)].map(byte => byte.toString(16).padStart(2, '0')).join(':')}`
    const addresses: string[] = []
    const id = randomBytes(32).toString('hex')
    const ids = { NetworkID: network.id, EndpointID: id }
    const endpoint: EngineEndpoint = { id, container, network, addresses }
    const Options = {
      'com.docker.network.endpoint.exposedports': ports.map(({ Proto, Port }) => ({ Proto, Port })),
      'com.docker.network.portmap': ports.map(port => ({ ...port, IP: '', HostIP: '', HostPortEnd: port.HostPort })),
    }
    let joined = false
    let created = false
    try {
      for (const pool of network.pools) {
        addresses.push(await this.#requestAddress(pool.id, { 'com.docker.network.endpoint.macaddress': mac }))
      }
      this.#assertUnique(endpoint)
      const [Address = '', AddressIPv6 = ''] = addresses
      await this.#network('CreateEndpoint', { ...ids, Interface: { Address, AddressIPv6, MacAddress: mac }, Options })
      created = true
      network.endpoints.set(id, endpoint)
      const answer = (await this.#network('Join', { ...ids, SandboxKey: `/run/netns/${container}`, Options })) as Joined
      joined = true
      await this.#move(endpoint, answer)
      if (ports.length > 0) {
        endpoint.published = true
        await this.#network('ProgramExternalConnectivity', { ...ids, Options })
      }
      await this.#network('EndpointOperInfo', ids)
      return endpoint
    } catch (cause) {
      await this.#takeLink(endpoint)
      if (joined) await this.#logged(this.#network('Leave', ids))
      if (created) await this.#logged(this.#network('DeleteEndpoint', ids))
      network.endpoints.delete(id)
      await this.#releaseAll(endpoint)
      throw cause
    }
  }

  /** The container lives on: its interface comes back to the host under the name that weft gave it. */
  disconnect(endpoint: EngineEndpoint): Promise<void> {
    return this.#end(endpoint, async () => {
      const { container, device, srcName } = endpoint
      if (device === undefined || srcName === undefined) return
      await this.#shell.run(`ip -n ${container} link set ${device} down
        ip -n ${container} link set ${device} name ${srcName} netns 1`)
      delete endpoint.device
    })
  }

  /** The container has ended, and its interface with its namespace. */
  end(endpoint: EngineEndpoint): Promise<void> {
    return this.#end(endpoint, () => this.#takeLink(endpoint))
  }

  async #end(endpoint: EngineEndpoint, between: () => Promise<void>): Promise<void> {
    const { network, id } = endpoint
    const ids = { NetworkID: network.id, EndpointID: id }
    if (endpoint.published) await this.#logged(this.#network('RevokeExternalConnectivity', ids))
    await this.#logged(this.#network('Leave', ids))
    await between()
    await this.#logged(this.#network('DeleteEndpoint', ids))
    network.endpoints.delete(id)
    await this.#releaseAll(endpoint)
  }

  async #move(endpoint: EngineEndpoint, { InterfaceName, Gateway, GatewayIPv6 }: Joined): Promise<void> {
    const { container, network } = endpoint
    const index = [...this.networks.values()].flatMap(({ endpoints }) => [...endpoints.values()])
    const taken = new Set(index.flatMap(other => (other.container === container ? (other.device ?? []) : [])))
    const device = [0, 1, 2].map(i => `${InterfaceName.DstPrefix}${i}`).find(name => !taken.has(name)) ?? ''
    Object.assign(endpoint, { srcName: InterfaceName.SrcName, device })
    const [v4 = '', v6 = ''] = endpoint.addresses
    const defaults = taken.size > 0 ? '' : `route add default via ${Gateway}\nroute add ::/0 via ${GatewayIPv6}`
    await this.#shell.run(`ip link set ${InterfaceName.SrcName} netns ${container} name ${device}
      ip -n ${container} -batch - <<'BATCH'
link set lo up
address add ${v4} dev ${device}
address add ${v6} dev ${device} nodad
link set ${device} up
${defaults}
BATCH
      ip netns exec ${container} ping -q -c 1 -W 5 ${network.pools[0]?.gateway.split('/')[0] ?? ''} >/dev/null`)
  }

  /** Removes the pair with the container's end. */
  async #takeLink(endpoint: EngineEndpoint): Promise<void> {
    if (endpoint.device === undefined) return
    await this.#shell.run(`ip -n ${endpoint.container} link del ${endpoint.device} 2>/dev/null || true`)
    delete endpoint.device
  }

  #assertUnique({ network, addresses }: EngineEndpoint): void {
    for (const other of network.endpoints.values()) {
      const twice = other.addresses.find(address => addresses.includes(address))
      if (twice !== undefined) throw new Error(`address ${twice} was given twice in network ${network.name}`)
    }
  }

  async #releaseAll({ network, addresses }: EngineEndpoint): Promise<void> {
    for (const [index, address] of addresses.entries()) await this.#release(network.pools[index]?.id ?? '', address)
  }

  async #requestAddress(PoolID: string, Options: Readonly<Record<string, string>>): Promise<string> {
    return ((await this.#ipam('RequestAddress', { PoolID, Address: '', Options })) as { Address: string }).Address
  }

  async #release(PoolID: string, address: string): Promise<void> {
    await this.#logged(this.#ipam('ReleaseAddress', { PoolID, Address: address.split('/')[0] }))
  }

  /** An engine only logs when a removal is refused. */
  async #logged(work: Promise<unknown>): Promise<void> {
    try {
      await work
    } catch (cause) {
      if (!(cause instanceof Refused)) throw cause
    }
  }

  #ipam(method: string, body: object): Promise<unknown> {
    return this.#call('weft-ipam', `IpamDriver.${method}`, body)
  }

  #network(method: string, body: object): Promise<unknown> {
    return this.#call('weft-bridge', `NetworkDriver.${method}`, body)
  }

  /** Repeats while there is no answer: with its body while nobody listens, without one after the connection broke. */
  async #call(socket: string, method: string, body: object): Promise<unknown> {
    const until = Date.now() + giveUpMs
    let content: object | undefined = body
    for (;;) {
      let answer
      try {
        answer = await ask(this.#path(`/run/docker/plugins/${socket}.sock`), 'POST', `/${method}`, content)
      } catch (cause) {
        const { code } = cause as NodeJS.ErrnoException
        if (Date.now() > until) throw cause
        if (code !== 'ECONNREFUSED' && code !== 'ENOENT') {
          if (content !== undefined) this.broken.push(method)
          content = undefined
        }
        await sleep(5)
        continue
      }
      const said = JSON.parse(answer.body) as { Err?: string; Error?: string }
      const error = said.Err ?? said.Error
      if (answer.status !== 200 || error) throw new Refused(`${method}: ${answer.status} ${error ?? ''}`)
      return said
    }
  }

  #answer(url: string): unknown {
    if (url === '/version') return { Version: '28.5.0' }
    if (url === '/networks')
      return [...this.networks.values()].map(({ id }) => ({ Id: id, IPAM: { Driver: 'weft-ipam' } }))
    const network = this.networks.get(url.slice('/networks/'.length))
    if (!network) return undefined
    const containers = [...network.endpoints.values()].map(({ id, container, addresses }) => [
      container,
      { Name: container, EndpointID: id, IPv4Address: addresses[0], IPv6Address: addresses[1] },
    ])
    return {
      Id: network.id,
      Name: network.name,
      IPAM: { Driver: 'weft-ipam', Config: network.pools.map(({ subnet }) => ({ Subnet: subnet })) },
      Containers: Object.fromEntries(containers) as unknown,
    }
  }
}

interface Joined {
  readonly InterfaceName: { readonly SrcName: string; readonly DstPrefix: string }
  readonly Gateway: string
  readonly GatewayIPv6: string
}
