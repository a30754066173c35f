import type { Log } from '../../daemon/log.ts'
import { createLog } from '../../daemon/log.ts'
import type { View } from '../../daemon/view.ts'
import type { IpamView } from '../../daemon/view-ipam.ts'

const networkId = 'c0ffee'.padEnd(64, '0')
const now = Date.now()
const endpointId = 'decade'.padEnd(64, '0')

/** A daemon with one network, one endpoint and one published port, which agrees with its kernel. */
export function fakeView(changed: Partial<View> = {}): View {
  return {
    ready: () => true,
    status: async () => ({
      version: '9.9.9',
      pid: 4711,
      startedAt: now - 3_600_000,
      ready: true,
      drivers: ['bridge'],
      kernel: '6.1.0-test',
      features: { tableOwner: false },
      counts: { networks: 1, endpoints: 1, ports: 1, leases: 2 },
      settle: { lastAt: now - 12_000, lastMs: 14, changes: 0, degraded: [] },
      engine: { address: 'unix:///run/docker.sock' },
    }),
    networks: async () => [
      {
        id: networkId,
        driver: 'bridge',
        name: 'web',
        subnets: ['10.96.0.0/24', 'fd00::/64'],
        gateways: ['10.96.0.1'],
        internal: false,
        bridge: 'wbk3fq7w2m4xa',
        endpoints: 1,
      },
    ],
    endpoints: async () => [
      {
        id: endpointId,
        networkId,
        phase: 'joined',
        addresses: ['10.96.0.2/24'],
        mac: '02:42:0a:60:00:02',
        link: 'wvk3fq7w2m4xa',
        ports: 1,
        since: now - 61_000,
      },
    ],
    ports: async () => [
      {
        protocol: 'tcp',
        way: 'rule',
        hostAddress: '::',
        hostPort: 8080,
        endpointId,
        containerAddress: 'fd00::2',
        containerPort: 80,
        container: 'www',
        state: 'ok',
      },
    ],
    diff: async () => [],
    settle: async () => ({ changes: [], failed: [] }),
    ipam: fakeIpamView(),
    ...changed,
  }
}

/** One pool with the endpoint's address, one that is reserved, and one that rests. */
export function fakeIpamView(changed: Partial<IpamView> = {}): IpamView {
  const place = { pool: '10.96.0.0-24', subnet: '10.96.0.0/24', network: 'web' }
  const endpoint = { purpose: 'endpoint', since: now - 61_000, mac: '02:42:0a:60:00:02', endpoint: endpointId }
  return {
    pools: async () => [
      {
        ...{ id: place.pool, subnet: place.subnet, networkId, network: 'web', driver: 'weft-bridge' },
        ...{ size: '254', free: '250', used: 2, outside: 0, kept: 2, reserved: 1, resting: 1, since: now - 3_600_000 },
      },
    ],
    address: async address => ({
      ...{ address, ...place, state: 'in use', lease: { ...endpoint, container: 'www' } },
      chosenAt: now - 61_000,
    }),
    suspects: async () => [],
    reserve: async ({ address, mac, note }) => ({
      ...{ address, ...place, state: 'reserved' },
      reservation: { since: now, ...(mac === undefined ? {} : { mac }), ...(note === undefined ? {} : { note }) },
    }),
    release: async ({ what }) => ({ what, ended: ['reservation'], stays: 'is in use by container www' }),
    ...changed,
  }
}

/** A log, and the lines it was given as objects. */
export function recordedLog(): { readonly log: Log; readonly lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = []
  const write = (line: string): void => {
    lines.push(JSON.parse(line) as Record<string, unknown>)
  }
  return { log: createLog({ logLevel: 'trace', logFormat: 'json' }, { write }), lines }
}

export { endpointId, networkId }
