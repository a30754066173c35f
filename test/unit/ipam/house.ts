/** An Ipam for tests: over a memory store, with a clock that stands still and short calls for what tests ask most. */
import type { Store, Versioned, Write } from '../../../ipam/store.ts'
import type { IpamOptions } from '../../../ipam/ipam.ts'
import type { PoolEntry } from '../../../ipam/records.ts'
import type { PoolWish } from '../../../ipam/wish.ts'
import type { Cidr } from '../../../native/value/ip.ts'
import type { Mac } from '../../../native/value/mac.ts'
import type { PoolId } from '../../../plugin-api/ids.ts'
import * as assert from 'uvu/assert'
import { MemoryStore } from '../../../daemon/store/memory.ts'
import { parseDefaultPools, standardPools } from '../../../ipam/defaults.ts'
import { Ipam } from '../../../ipam/ipam.ts'
import { UserError } from '../../../plugin-api/answer.ts'

export const client = 'weft-bridge'

/** Fails the commit with this number; the first is 0. */
export class FailingStore extends MemoryStore {
  failAt = Number.POSITIVE_INFINITY
  commits = 0

  override async commit(writes: readonly Write[]): Promise<void> {
    const number = this.commits
    this.commits += 1
    if (number === this.failAt) throw new Error(`commit ${number} fails`)
    await super.commit(writes)
  }
}

export async function ipamOver(store: Store, more: Partial<IpamOptions> = {}): Promise<Ipam> {
  const defaultPools = parseDefaultPools(standardPools)
  return Ipam.restore({ store, defaultPools, now: () => 1_700_000_000_000, ...more })
}

export function wish(pool?: string, more: Partial<PoolWish> = {}): PoolWish {
  return { client, family: 4, ...(pool === undefined ? {} : { pool }), ...more }
}

export async function poolWithGateway(ipam: Ipam, pool?: string, more: Partial<PoolWish> = {}): Promise<PoolEntry> {
  const entry = await ipam.requestPool(wish(pool, more))
  await ipam.requestAddress(entry.id, { purpose: 'gateway' })
  return entry
}

/** What the engine asks for an endpoint that starts. The MAC is made from the number. */
export function endpointAddress(ipam: Ipam, pool: PoolId, number: number, address?: string): Promise<Cidr> {
  return ipam.requestAddress(pool, {
    purpose: 'endpoint',
    mac: macOf(number),
    ...(address === undefined ? {} : { address }),
  })
}

export function macOf(number: number): Mac {
  return `02:42:00:00:${(number >> 8).toString(16).padStart(2, '0')}:${(number & 255).toString(16).padStart(2, '0')}` as Mac
}

/** The promise must be refused with this code; gives what the engine's user reads. */
export async function refused(promise: Promise<unknown>, code: string): Promise<string> {
  try {
    await promise
  } catch (cause) {
    if (!(cause instanceof UserError)) throw cause
    assert.is(cause.code, code, cause.text)
    return cause.text
  }
  throw new Error(`was granted, not refused with ${code}`)
}

export async function records(store: Store, prefix = ''): Promise<Readonly<Record<string, unknown>>> {
  return Object.fromEntries((await store.list(prefix)).map(({ key, value }: Versioned) => [key, value]))
}
