/** Shapes of IpamDriver.* requests and answers, in the engine's spelling. See docs/protocol.md. */
import type { PoolId } from './ids.ts'
import { flag, formatted, id, map, object, optional, string, text } from './schema.ts'
import type { Parsed } from './schema.ts'

/** No `Pool`: choose one, another at each request. `SubPool` is `--ip-range`, `Options` are `--ipam-opt`. */
export const RequestPool = object({
  AddressSpace: optional(string()),
  Pool: optional(formatted('cidr')),
  SubPool: optional(formatted('cidr')),
  Options: map(text()),
  V6: flag(),
})
export type RequestPool = Parsed<typeof RequestPool>

export interface RequestPoolAnswer {
  /** Kept by the engine for the network's life and returned verbatim. */
  readonly PoolID: PoolId
  readonly Pool: string
  readonly Data?: Readonly<Record<string, string>>
}

/** Slashes are allowed here: the pool may have been another IPAM driver's, of the same name in its day. */
const pool = { PoolID: id<PoolId>('key') }

export const ReleasePool = object(pool)
export type ReleasePool = Parsed<typeof ReleasePool>

/** `Address` is plain; absent means "choose one". What it is for is told by options.ts: addressOptions. */
export const RequestAddress = object({ ...pool, Address: optional(formatted('ip')), Options: map(text()) })
export type RequestAddress = Parsed<typeof RequestAddress>

export interface RequestAddressAnswer {
  /** With the pool's prefix length: `10.88.0.2/16`. */
  readonly Address: string
  readonly Data?: Readonly<Record<string, string>>
}

/** May come for an address never granted, may come twice, may never come. */
export const ReleaseAddress = object({ ...pool, Address: formatted('ip') })
export type ReleaseAddress = Parsed<typeof ReleaseAddress>
