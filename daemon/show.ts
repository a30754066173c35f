/** What the operator sees: the records and wishes, with the names that the engine told. */
import { release } from 'node:os'
import type { Endpoint } from '../drivers/driver.ts'
import { addressOf } from '../native/value/ip.ts'
import type { Change } from '../native/kernel/kernel.ts'
import { describe } from '../native/kernel/resource.ts'
import { UserError } from '../plugin-api/answer.ts'
import type { Engine } from './engine.ts'
import type { Watch } from './evidence.ts'
import { driverOf, planNetwork, type House } from './house.ts'
import type { Orphans } from './orphans.ts'
import { portRows } from './show-ports.ts'
import { endpointKey } from './records.ts'
import type { Settler } from './settle.ts'
import { version } from './version.ts'
import type { DiffRow, View } from './view.ts'
import type { IpamView } from './view-ipam.ts'

export interface Shown {
  readonly house: House
  readonly settler: Settler
  readonly engine: Engine
  readonly watch: Watch
  readonly leases: () => number
  readonly ipam: IpamView
  /** What else is not as it should be, a line for each. */
  readonly concerns: () => readonly string[]
  readonly tableOwner: boolean
  readonly startedAt: number
  readonly ready: () => boolean
  readonly orphans: Orphans
}

export function viewOf(shown: Shown): View {
  const { house, settler, engine, watch } = shown
  const { records } = house

  return {
    ready: shown.ready,
    ipam: shown.ipam,

    async status() {
      const { at, tookMs, changes, degraded } = settler.report
      const orphans =
        shown.orphans.found.length > 0
          ? ["objects of weft without a record of them: remove them with 'weft settle --force'"]
          : []
      return {
        version: version(),
        pid: process.pid,
        startedAt: shown.startedAt,
        ready: shown.ready(),
        drivers: Object.keys(house.drivers),
        kernel: release(),
        features: { tableOwner: shown.tableOwner },
        counts: {
          networks: records.networks().length,
          endpoints: records.endpoints().length,
          ports: records.endpoints().reduce((sum, { ports }) => sum + ports.length, 0),
          leases: shown.leases(),
        },
        settle: {
          ...(at === 0 ? {} : { lastAt: at, lastMs: tookMs }),
          changes,
          degraded: [...degraded, ...orphans, ...shown.concerns()],
        },
        engine: {
          address: engine.address,
          ...(engine.answered === undefined ? {} : { reachable: engine.answered }),
          ...(engine.version === undefined ? {} : { version: engine.version }),
        },
      }
    },

    async networks() {
      return records.networks().map(network => {
        const name = watch.names.get(network.id)?.name
        const bridge = planNetwork(house, network).find(resource => resource.type === 'bridge')
        const parent = driverOf(house, network).parentOf?.(network)
        return {
          id: network.id,
          driver: network.driver,
          ...(name === undefined ? {} : { name }),
          subnets: network.subnets.map(({ pool }) => pool),
          gateways: network.subnets.flatMap(({ gateway }) => (gateway ? [addressOf(gateway)] : [])),
          internal: network.internal,
          ...(bridge ? { bridge: bridge.name } : {}),
          ...(parent === undefined ? {} : { parent }),
          endpoints: records.endpointsOf(network.id).length,
        }
      })
    },

    async endpoints() {
      return records.endpoints().map(endpoint => {
        const network = watch.names.get(endpoint.networkId)
        const container = network?.endpoints.get(endpoint.id)?.container
        return {
          id: endpoint.id,
          networkId: endpoint.networkId,
          ...(network ? { networkName: network.name } : {}),
          ...(container === undefined ? {} : { container }),
          phase: endpoint.phase,
          addresses: endpoint.addresses,
          mac: endpoint.mac,
          link: linkOf(house, endpoint),
          ports: endpoint.ports.length,
          since: endpoint.changedAt,
        }
      })
    },

    ports: () => portRows(house, watch),

    async diff() {
      const differences = await house.reconciler.differences()
      return differences.flatMap(({ owner, changes }) => changes.map(change => rowOf(owner, change)))
    },

    async settle({ force }) {
      if (shown.orphans.found.length > 0) {
        if (!force) {
          throw new UserError('ORPHANS', 'the kernel holds objects of weft, but the store has no record of them', {
            hint: "if the state directory is right, remove them with 'weft settle --force'",
          })
        }
        await shown.orphans.forget()
      }
      const { done, failed } = await settler.run()
      return {
        changes: done.map(({ owner, change }) => rowOf(owner, change)),
        failed: failed.map(({ text, cause }) => ({
          text,
          error: cause instanceof Error ? cause.message : String(cause),
        })),
      }
    },
  }
}

function linkOf(house: House, { networkId, id }: Endpoint): string {
  const wishes = house.reconciler.wishOf(endpointKey(networkId, id))
  return wishes.find(wish => wish.type === 'veth' || wish.type === 'child')?.name ?? ''
}

function rowOf(owner: string | undefined, change: Change): DiffRow {
  const text = describe(change.op === 'remove' ? change.have : change.want)
  return { op: change.op, ...(owner === undefined ? {} : { owner }), text }
}
