/** What the daemon shows to its operator: plain values, sent as JSON by admin.ts and printed by commands/. */
import type { Protocol } from '../native/kernel/resource.ts'
import type { IpamView } from './view-ipam.ts'

export interface View {
  status(): Promise<Status>
  networks(): Promise<readonly NetworkRow[]>
  endpoints(): Promise<readonly EndpointRow[]>
  ports(): Promise<readonly PortRow[]>
  /** What settle would change now; nothing is changed. */
  diff(): Promise<readonly DiffRow[]>
  /** `force`: also sweep what carries weft's mark although the store is empty. */
  settle(options: { readonly force: boolean }): Promise<Settled>
  /** Records are restored and the rule set stands. */
  ready(): boolean
  readonly ipam: IpamView
}

export interface Status {
  readonly version: string
  readonly pid: number
  /** Milliseconds since 1970, as all times here. */
  readonly startedAt: number
  readonly ready: boolean
  readonly drivers: readonly string[]
  /** `uname -r` */
  readonly kernel: string
  readonly features: {
    /** The nftables table is protected from other programs. */
    readonly tableOwner: boolean
  }
  readonly counts: Counts
  readonly settle: {
    /** Absent before the first one. */
    readonly lastAt?: number
    readonly lastMs?: number
    /** Of the last one. */
    readonly changes: number
    /** What is promised and cannot be kept at the moment; a line for each. */
    readonly degraded: readonly string[]
  }
  readonly engine: {
    /** `unix:///run/docker.sock` */
    readonly address: string
    /** Absent until it was asked. */
    readonly reachable?: boolean
    readonly version?: string
  }
}

export interface Counts {
  readonly networks: number
  readonly endpoints: number
  readonly ports: number
  readonly leases: number
}

export interface NetworkRow {
  readonly id: string
  readonly driver: string
  /** From the engine, asked in the background; absent while it has not answered. */
  readonly name?: string
  readonly subnets: readonly string[]
  readonly gateways: readonly string[]
  readonly internal: boolean
  /** Interface name. */
  readonly bridge?: string
  /** Interface name of the host's link that its containers are on. */
  readonly parent?: string
  readonly endpoints: number
}

export interface EndpointRow {
  readonly id: string
  readonly networkId: string
  readonly networkName?: string
  readonly container?: string
  readonly phase: 'created' | 'joined' | 'left'
  readonly addresses: readonly string[]
  readonly mac: string
  /** The host's end. */
  readonly link: string
  readonly ports: number
  /** Of the phase. */
  readonly since: number
}

export interface PortRow {
  readonly protocol: Protocol
  /** rule: translated. relay: weftd passes it on. direct: no port of the host, the container's own address is open. */
  readonly way: 'rule' | 'relay' | 'direct'
  /** With `direct` the container's. */
  readonly hostAddress: string
  readonly hostPort: number
  readonly endpointId: string
  readonly containerAddress: string
  readonly containerPort: number
  readonly container?: string
  readonly state: 'ok' | 'degraded'
  /** Why it is degraded. */
  readonly reason?: string
}

export interface DiffRow {
  readonly op: 'create' | 'update' | 'recreate' | 'remove'
  /** Key of the record, or `host`; absent for what nobody wishes. */
  readonly owner?: string
  /** One line: `bridge wbk3fq7w2m4xa mtu 1500`. */
  readonly text: string
}

export interface Settled {
  readonly changes: readonly DiffRow[]
  readonly failed: readonly { readonly text: string; readonly error: string }[]
}
