import { createHash } from 'node:crypto'
import type { IfName, TableFamily } from '../native/kernel/resource.ts'
import { macFromBytes, type Mac } from '../native/value/mac.ts'

/** wb bridge, wv host end of a pair, wc what goes to the container, wd parent that leads nowhere, ws the host's place. */
export type Role = 'wb' | 'wv' | 'wc' | 'wd' | 'ws'

/** weft's nftables table, one for all drivers: what is routed and translated. */
export const tableName = 'weft'
/** The other one: what may enter a bridge from the port of a container. */
export const portsTableName = 'weft_ports'

export const ownTables: readonly { readonly family: TableFamily; readonly table: string }[] = [
  { family: 'inet', table: tableName },
  { family: 'bridge', table: portsTableName },
]

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'

/**
 * Interface name for an object: a two-letter role and 11 base-32 characters of SHA-256(id).
 * 13 bytes of the 15 that IFNAMSIZ leaves. Ids are 64 hex digits or 25 base-36 ones: both are only hashed.
 */
export function ifName(role: Role, id: string): IfName {
  const digest = createHash('sha256').update(id).digest()
  let name: string = role
  for (let i = 0; i < 11; i += 1) name += alphabet[(digest[i] ?? 0) % 32] ?? ''
  return name as IfName
}

/** A name that `ifName` may make for something else one day. */
export function isMadeName(name: string): boolean {
  return /^w[bcdvs][a-z2-7]{11}$/.test(name)
}

/**
 * A locally administered MAC from an id, so that a link keeps its address whoever makes it again and no host manager
 * has a reason to change it. Not from an IP address alone: two hosts may have equal ones on one L2.
 */
export function macOf(id: string): Mac {
  const bytes = createHash('sha256').update(`mac ${id}`).digest().subarray(0, 6)
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02
  return macFromBytes(bytes)
}
