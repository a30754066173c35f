/** Opens the parts of the daemon in the one order that is safe: records, kernel, settle, and only then the sockets. */
import { mkdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Driver, Marks } from '../drivers/driver.ts'
import { drivers } from '../drivers/registry.ts'
import { tableName } from '../drivers/names.ts'
import { Ipam } from '../ipam/ipam.ts'
import { notify } from '../native/ffi/notify.ts'
import type { IfName } from '../native/kernel/resource.ts'
import { LinuxKernel } from '../native/kernel/linux.ts'
import type { KernelError } from '../native/netlink/errors.ts'
import { NetlinkSocket, protocols } from '../native/netlink/socket.ts'
import { Nft } from '../native/nft/batch.ts'
import { Rtnl } from '../native/rtnl/rtnl.ts'
import { contains, type Cidr, type Ip } from '../native/value/ip.ts'
import { UserError } from '../plugin-api/answer.ts'
import { createPluginServer } from '../plugin-api/server.ts'
import { ipamHandlers } from './address.ts'
import { createAdminServer, socketName } from './admin.ts'
import type { Config } from './config.ts'
import { crashingStore, crashPoints } from './crash.ts'
import { Engine } from './engine.ts'
import { ephemeralPorts } from './ephemeral.ts'
import { Watch } from './evidence.ts'
import { bootId, forwards, gatherFacts, routedSubnets } from './facts.ts'
import { driverOf, openHouse, type House } from './house.ts'
import type { Log } from './log.ts'
import { createMetrics } from './metrics.ts'
import { networkHandlers } from './network.ts'
import { Orphans } from './orphans.ts'
import { Records } from './records.ts'
import { Settler } from './settle.ts'
import { viewOf } from './show.ts'
import { SqliteStore } from './store/sqlite.ts'
import { followHost } from './edit.ts'
import { listen } from './events.ts'

export interface Daemon extends AsyncDisposable {
  readonly drivers: readonly string[]
}

export async function run(config: Config, log: Log): Promise<Daemon> {
  const startedAt = Date.now()
  const point = crashPoints(process.env)
  await using opened = new AsyncDisposableStack()

  await refuseSecond(config)
  const sqlite = opened.use(new SqliteStore(join(config.stateDir, 'weft.db')))
  const store = crashingStore(sqlite, point)
  const records = await Records.load(store, bootId())

  const marks: Marks = { allowed: config.markAllowed, hairpin: config.markHairpin }
  const rtnl = opened.use(new Rtnl({ point }))
  const netfilter = new NetlinkSocket(protocols.netfilter)
  const nft = opened.use(new Nft(netfilter, { owner: config.tableOwner === 'auto' }))
  const kernel = opened.use(
    new LinuxKernel({
      rtnl,
      nft,
      own: { table: tableName, mark: marks.allowed },
      point,
      onLost(name, cause) {
        log.warn({ link: name, err: cause }, 'a link could not be removed')
        house.settleSoon('a link could not be removed')
      },
    }),
  )
  const served = servedDrivers(config, records)
  let doubted = false
  const onDoubt = (cause: KernelError): void => {
    if (!doubted) log.warn({ err: cause }, 'another firewall cannot be read: it may drop what weft allows')
    doubted = true
  }
  let subnets = routedSubnets(await rtnl.routes())
  const house = await openHouse({
    records,
    kernel,
    drivers: served,
    log,
    forwards,
    async gather() {
      subnets = routedSubnets(await rtnl.routes())
      return gatherFacts({ rtnl, nft, marks, onDoubt })
    },
  })
  const ipam = await Ipam.restore({
    store,
    defaultPools: config.defaultPools,
    avoid: () => subnets,
    inUse: (pool, address) => holdsAlive(house, rtnl, pool.subnet, address),
  })

  house.pools = ipam

  const metrics = createMetrics()
  const engine = new Engine(config.engine.address)
  const watch = new Watch(
    house,
    engine,
    ipam,
    async () => new Set((await rtnl.links()).map(({ name }) => name as IfName)),
  )
  const settler = new Settler(house, {
    settleSeconds: config.settleSeconds,
    async prepare() {
      await house.refresh()
      await watch.lookAtLinks()
      if (!house.sweeps) return
      await followHost(house)
    },
    observe: fact => {
      metrics.observeSettle(fact)
    },
  })
  opened.defer(() => settler.stop())
  house.settleSoon = why => {
    settler.soon(why)
  }
  const orphans = await Orphans.find(store, house)
  let ready = false
  const shown = { house, settler, engine, watch, leases: () => ipam.leases().length, tableOwner: nft.owner, startedAt }
  const view = viewOf({ ...shown, orphans, ready: () => ready })
  opened.use(await createAdminServer({ view, metrics, runDir: config.runDir, log }))
  if (orphans.found.length > 0) log.warn({ found: orphans.found }, 'objects of weft, but no record of them: left alone')
  // What happens from now on is an event; what happened before is seen by this look.
  const tables = { own: `inet ${tableName}`, others: ['ip filter', 'ip6 filter'] }
  opened.use(listen({ house, settler, tables, portId: netfilter.portId, removing: () => rtnl.removing }))
  await settler.run()

  const server = opened.use(
    createPluginServer({
      log,
      observe: fact => {
        metrics.observeRequest(fact)
      },
    }),
  )
  await mkdir(config.pluginDir, { recursive: true })
  const ports = ephemeralPorts()
  for (const name of config.drivers) {
    const driver = `weft-${name}`
    const handlers = { network: networkHandlers(house, name, ports), ipam: ipamHandlers(house, ipam, driver) }
    await server.listen(join(config.pluginDir, `${driver}.sock`), { driver, handlers })
  }
  const ipamOnly = { driver: 'weft-ipam', handlers: { ipam: ipamHandlers(house, ipam, 'weft-ipam') } }
  await server.listen(join(config.pluginDir, 'weft-ipam.sock'), ipamOnly)
  watch.start(config.settleSeconds)
  opened.defer(() => {
    watch.stop()
  })
  ready = true
  notify('READY=1')

  const all = opened.move()
  return { drivers: config.drivers, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

/** A late release, by an owner before this one. The link says it: a forgotten endpoint's went with its container. */
function holdsAlive(house: House, rtnl: Rtnl, subnet: Cidr, address: Ip): boolean {
  if (!contains(subnet, address)) return false
  return house.records.holdersOf(address).some(endpoint => {
    const network = house.records.network(endpoint.networkId)
    if (!network || endpoint.phase !== 'joined') return false
    return driverOf(house, network).alive(endpoint, { hasLink: name => rtnl.link(name) !== undefined })
  })
}

/** Drivers of networks that exist are needed whatever the setting says: their plans keep traffic going. */
function servedDrivers(config: Config, records: Records): Readonly<Record<string, Driver>> {
  const names = new Set([...config.drivers, ...records.networks().map(({ driver }) => driver)])
  return Object.fromEntries(Object.entries(drivers).filter(([name]) => names.has(name)))
}

/** The state directory has a lock of its own; two daemons with different ones would still fight over the sockets. */
async function refuseSecond({ runDir, pluginDir, drivers: names }: Config): Promise<void> {
  const sockets = [join(runDir, socketName), ...[...names, 'ipam'].map(name => join(pluginDir, `weft-${name}.sock`))]
  for (const path of sockets) {
    if (!(await answers(path))) continue
    throw new UserError('ALREADY_RUNNING', `another weftd serves ${path}`, {
      hint: 'stop it first, or use other directories and another network namespace',
    })
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => {
      resolve(false)
    })
  })
}
