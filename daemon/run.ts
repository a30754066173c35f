/** Opens the parts of the daemon in the one order that is safe: records, kernel, settle, and only then the sockets. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Driver } from '../drivers/driver.ts'
import { ownTables } from '../drivers/names.ts'
import { drivers } from '../drivers/registry.ts'
import { Ipam } from '../ipam/ipam.ts'
import type { ContainerSubnet } from '../native/conntrack/direct.ts'
import type { KernelEvent } from '../native/diag/events.ts'
import { notify } from '../native/ffi/notify.ts'
import { watchLegacy } from '../native/nft/legacy-watch.ts'
import type { Rtnl } from '../native/rtnl/rtnl.ts'
import { contains, type Cidr, type Ip } from '../native/value/ip.ts'
import { UserError } from '../plugin-api/answer.ts'
import type { IpamHandlers } from '../plugin-api/methods.ts'
import { createPluginServer } from '../plugin-api/server.ts'
import { ipamHandlers, isMacless } from './address.ts'
import { createAdminServer } from './admin.ts'
import type { Config } from './config.ts'
import { crashingStore, crashPoints } from './crash.ts'
import { followHost } from './edit.ts'
import { RouteConflicts, textOf } from './conflicts.ts'
import { Engine } from './engine.ts'
import { ephemeralPorts } from './ephemeral.ts'
import { listen } from './events.ts'
import { Watch } from './evidence.ts'
import { bootId, forwards, hasNamespace } from './facts.ts'
import { Holders } from './holders.ts'
import { driverOf, hostOwner, openHouse, type House } from './house.ts'
import { openKernel } from './kernel.ts'
import type { Log } from './log.ts'
import { createMetrics } from './metrics.ts'
import { networkHandlers } from './network.ts'
import { Orphans } from './orphans.ts'
import type { Failure } from './reconcile.ts'
import { endpointKey, Records } from './records.ts'
import { refuseSecond } from './second.ts'
import { Settler } from './settle.ts'
import { viewOf } from './show.ts'
import { ipamView } from './show-ipam.ts'
import { SqliteStore } from './store/sqlite.ts'

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
  const host = opened.use(
    await openKernel({
      config,
      log,
      point,
      onLost: () => {
        house.settleSoon('a link could not be removed')
      },
    }),
  )
  const house = await openHouse({
    records,
    kernel: host.kernel,
    drivers: servedDrivers(config, records),
    log,
    forwards,
    gather: () => host.gather(),
  })
  const ipam = await Ipam.restore({
    store,
    defaultPools: config.defaultPools,
    restMs: config.addressRestSeconds * 1000,
    avoid: () => [
      ...host.routed(),
      ...records.networks().flatMap(({ subnets }) => subnets.map(({ pool }) => pool)),
      ...watch.othersSubnets,
    ],
    nameOf: (pool, address) => holders.nameOf(pool, address),
    isMade: pool => watch.isMade(pool),
    macless: client => isMacless(house, client),
    inUse: (pool, address) => holdsAlive(house, host.rtnl, pool.subnet, address),
  })
  house.pools = ipam
  house.segment = host.segment

  const metrics = createMetrics()
  const engine = new Engine(config.engine.address)
  const watch = new Watch(house, engine, ipam, () => host.links())
  house.isUnlisted = id => watch.isUnlisted(id)
  const holders = new Holders(house, watch)
  const conflicts = new RouteConflicts({
    claims: () => holders.claims(),
    routes: () => host.rtnl.routes(),
    links: () => host.rtnl.links(),
    log,
  })
  opened.defer(() => {
    conflicts.stop()
  })
  const settler = new Settler(house, {
    settleSeconds: config.settleSeconds,
    prepare: () => prepare(house, watch, conflicts),
    observe: fact => {
      metrics.observeSettle(fact)
    },
    restored() {
      void host.forgetDirect(subnetsOf(records))
    },
  })
  opened.defer(() => settler.stop())
  house.settleSoon = why => {
    settler.soon(why)
  }
  house.rulesStand = () => settler.report.rulesStand
  const orphans = await Orphans.find(store, house)
  let serving = false
  const ready = (): boolean => serving && house.rulesStand()
  const addressView = ipamView({
    ...{ ipam, holders, records, log },
    listed: () => watch.ipamNetworks,
    answered: () => engine.answered === true,
    conflicts: () => conflicts.found,
    lookAtEngine: () =>
      watch.lookAfresh().catch((cause: unknown) => {
        log.debug({ err: cause }, 'no evidence from the engine')
      }),
  })
  const shown = {
    ...{ house, settler, engine, watch, tableOwner: host.nft.owner, startedAt, orphans, ready, ipam: addressView },
    leases: () => ipam.leaseCount,
    concerns: () => conflicts.found.map(textOf),
  }
  opened.use(await createAdminServer({ view: viewOf(shown), metrics, runDir: config.runDir, log }))
  if (orphans.found.length > 0) log.warn({ found: orphans.found }, 'objects of weft, but no record of them: left alone')
  // What happens from now on is an event; what happened before is seen by the first settle.
  const own = ownTables.map(({ family, table }) => `${family} ${table}`)
  const tables = { own, others: ['ip filter', 'ip6 filter', 'inet firewalld'] }
  const onEvent = (event: KernelEvent): void => {
    conflicts.onEvent(event)
  }
  opened.use(listen({ house, settler, tables, portId: host.nftPortId, removing: () => host.rtnl.removing, onEvent }))
  opened.use(
    watchLegacy(() => {
      settler.soon('the old iptables changed')
    }),
  )
  await settler.run()
  refuseOpen(settler)
  settler.serve()

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
  const addresses = (client: string): IpamHandlers => ipamHandlers(house, ipam, client, () => host.readRoutes())
  for (const name of config.drivers) {
    const driver = `weft-${name}`
    const handlers = { network: networkHandlers(house, name, ports), ipam: addresses(driver) }
    await server.listen(join(config.pluginDir, `${driver}.sock`), { driver, handlers })
  }
  const driver = 'weft-ipam'
  await server.listen(join(config.pluginDir, `${driver}.sock`), { driver, handlers: { ipam: addresses(driver) } })
  void host.forgetFlows(
    records.endpoints().flatMap(({ networkId, id }) => house.reconciler.wishOf(endpointKey(networkId, id))),
  )
  watch.start(config.settleSeconds)
  opened.defer(() => {
    watch.stop()
  })
  serving = true
  notify('READY=1')

  const all = opened.move()
  return { drivers: config.drivers, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

/** Facts, dead endpoints, the host plan. What fails is told, and hinders none of the others. */
async function prepare(house: House, watch: Watch, conflicts: RouteConflicts): Promise<readonly Failure[]> {
  const failed: Failure[] = []
  const attempt = async (text: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (cause) {
      failed.push({ owner: hostOwner, text, rules: false, cause })
    }
  }
  await attempt('read the facts', () => house.refresh())
  await attempt('look for dead endpoints', () => watch.lookAtLinks())
  await attempt('look for routes into networks', () => conflicts.look())
  if (house.sweeps) await attempt('follow the facts', () => followHost(house))
  return failed
}

/** Where containers have their addresses. */
function subnetsOf(records: Records): readonly ContainerSubnet[] {
  return records.networks().flatMap(({ subnets, internal }) => subnets.map(({ pool }) => ({ pool, internal })))
}

/** Without its rules nothing that is closed would be: better no weft than an open one. */
function refuseOpen({ report }: Settler): void {
  if (report.rulesStand) return
  throw new UserError('RULES_MISSING', `weft's firewall rules could not be loaded: ${report.degraded.join('; ')}`, {
    hint: 'end whatever owns the tables "inet weft" and "bridge weft_ports", and see that the kernel has nf_tables',
  })
}

/** A late release, by an owner before this one. The link says it: a forgotten endpoint's went with its container. */
function holdsAlive(house: House, rtnl: Rtnl, subnet: Cidr, address: Ip): boolean {
  if (!contains(subnet, address)) return false
  return house.records.holdersOf(address).some(endpoint => {
    const network = house.records.network(endpoint.networkId)
    if (!network || endpoint.phase !== 'joined') return false
    const evidence = { hasLink: (name: string) => rtnl.indexOf(name) !== undefined, hasNamespace, now: Date.now() }
    return driverOf(house, network).alive(endpoint, evidence) === true
  })
}

/** Drivers of networks that exist are needed whatever the setting says: their plans keep traffic going. */
function servedDrivers(config: Config, records: Records): Readonly<Record<string, Driver>> {
  const names = new Set([...config.drivers, ...records.networks().map(({ driver }) => driver)])
  return Object.fromEntries(Object.entries(drivers).filter(([name]) => names.has(name)))
}
