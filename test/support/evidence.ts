/** A watch over a house in memory: fake time, and a socket on which a test plays the engine. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { Engine } from '../../daemon/engine.ts'
import { Watch } from '../../daemon/evidence.ts'
import type { Leases } from '../../daemon/evidence-ipam.ts'
import type { LeaseEntry, PoolEntry, PoolGrant } from '../../ipam/records.ts'
import type { IfName } from '../../native/kernel/resource.ts'
import { directory } from './directory.ts'
import { createEndpoint, createNetwork, testHouse, type TestHouse } from './house.ts'
import { fakeTime } from './time.ts'

/** A look that waits for a turn is waited for no longer than this. */
const stuckMs = 200
const realNow = performance.now.bind(performance)

export interface Scene extends TestHouse {
  readonly watch: Watch
  readonly links: Set<IfName>
  /** What the engine lists: endpoints by network. Undefined: it gives no answer. */
  listed: Readonly<Record<string, readonly string[]>> | undefined
  /** Id of its network `none`. Undefined: it has none. */
  engineId: string | undefined
  /** Of all that it lists. */
  ipamDriver: string
  leases: readonly LeaseEntry[]
  unanswered: PoolEntry | undefined
  unrepeated: readonly PoolEntry[]
  granted: readonly PoolGrant[]
  readonly ended: string[]
  /** Time passes, in steps of the watch, with whatever it asks the engine. */
  pass(seconds: number): Promise<void>
}

/** Fake time; a real engine's socket. */
export async function scene(
  act: (scene: Scene) => Promise<void>,
  options: Parameters<typeof testHouse>[0] = {},
): Promise<void> {
  await using folder = await directory()
  const path = join(folder.path, 'docker.sock')
  const links = new Set<IfName>()
  const test = await testHouse(options)
  const ended: string[] = []
  const leases: Leases = {
    leases: () => here.leases,
    async drop({ address }) {
      ended.push(`lease ${address}`)
      return true
    },
    get unanswered() {
      return here.unanswered
    },
    get unrepeated() {
      return here.unrepeated
    },
    async dropPool({ id }) {
      ended.push(`pool ${id}`)
      return true
    },
    changes: 0,
  }
  const watch = new Watch(test.house, new Engine(`unix://${path}`), leases, async () => links)
  test.house.pools = {
    ...test.house.pools,
    grantsOf: () => here.granted,
    isGranted: grant => here.granted.some(({ id, at }) => id === grant.id && at === grant.at),
  }
  let waits = 0
  const here: Scene = {
    ...{ ...test, watch, links, listed: {}, leases: [], unanswered: undefined, unrepeated: [], granted: [], ended },
    ipamDriver: 'weft-ipam',
    engineId: undefined,
    async pass(seconds) {
      for (let left = seconds; left > 0; left -= 2) {
        const [before, since] = [waits, realNow()]
        time.pass(2_000)
        // A look is over when the next one is waited for.
        while (waits === before && realNow() - since < stuckMs) await new Promise(setImmediate)
      }
    },
  }
  const server = createServer((request, response) => {
    const { url = '' } = request
    const id = url.slice('/networks/'.length)
    const listed = here.listed ?? {}
    if (here.listed === undefined) response.destroy()
    else if (url === '/version') response.end('{"Version":"28.5.2"}')
    else if (url === '/networks')
      response.end(
        JSON.stringify([
          ...(here.engineId === undefined ? [] : [{ Id: here.engineId, Driver: 'null', IPAM: { Driver: 'default' } }]),
          ...Object.keys(listed).map(Id => ({ Id, ...networkJson(here.ipamDriver, []) })),
        ]),
      )
    else response.end(JSON.stringify(networkJson(here.ipamDriver, listed[id] ?? [])))
  })
  server.listen(path)
  await once(server, 'listening')
  using time = fakeTime()
  const { setTimeout: fake } = globalThis
  globalThis.setTimeout = ((...parameters: Parameters<typeof fake>) => {
    waits += 1
    return fake(...parameters)
  }) as typeof fake
  try {
    watch.start(60)
    await act(here)
  } finally {
    watch.stop()
    server.close()
  }
}

function networkJson(Driver: string, endpoints: readonly string[]): object {
  const containers = endpoints.map(id => [`c${id}`, { Name: 'c', EndpointID: id, IPv4Address: '10.7.0.2/24' }] as const)
  const IPAM = { Driver, Config: [{ Subnet: '10.7.0.0/24' }] }
  return { Name: 'n', IPAM, Containers: Object.fromEntries(containers) }
}

/** A network with one endpoint. */
export async function created(here: Scene): Promise<void> {
  await here.handlers.createNetwork(createNetwork())
  await here.handlers.createEndpoint(createEndpoint())
}
