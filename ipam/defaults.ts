/** Pools that nobody named: cut from configured blocks, past everything that is taken. */
import type { Cidr, Family } from '../native/value/ip.ts'
import IPCIDR from 'ip-cidr'
import {
  cidrOf,
  familyOf,
  ipFromBigint,
  lengthOf,
  networkOf,
  overlaps,
  parseCidr,
  rangeOf,
} from '../native/value/ip.ts'
import { UserError } from '../plugin-api/answer.ts'

/** Networks with prefix length `size` are cut from `base`. */
export interface DefaultPool {
  readonly base: Cidr
  readonly size: number
}

/**
 * 8,192 networks of 254 addresses. Clear of 172.16/12 and 192.168/16 (the engine's own), 10.0/16 to 10.43 (clouds, k3s),
 * 10.96/12 and 10.244/16 (Kubernetes) and 10.128/9 (another cloud's default). IPv6: see `ulaPool`.
 */
export const standardPools = 'base=10.64.0.0/11,size=24'

/**
 * Reads `base=10.64.0.0/11,size=24 base=fd00:1::/48,size=64`: the pairs of the engine's `--default-address-pool`.
 * Throws UserError BAD_DEFAULT_POOLS that names the part.
 */
export function parseDefaultPools(text: string): readonly DefaultPool[] {
  const pools = text
    .split(/\s+/)
    .filter(part => part !== '')
    .map(parseDefaultPool)
  for (const [index, pool] of pools.entries()) {
    const other = pools.slice(0, index).find(one => overlaps(one.base, pool.base))
    if (other) throw bad(`base=${pool.base},size=${pool.size}`, `it overlaps ${other.base}`)
  }
  return pools
}

function parseDefaultPool(part: string): DefaultPool {
  const [, baseText = '', sizeText = ''] = /^base=([^,]+),size=(\d{1,3})$/.exec(part) ?? []
  if (baseText === '') throw bad(part, 'expected base=ADDRESS/LENGTH,size=LENGTH')
  const base = IPCIDR.isValidCIDR(baseText) ? parseCidr(baseText) : undefined
  if (base === undefined) throw bad(part, `${baseText} is not ADDRESS/LENGTH`)
  if (networkOf(base) !== base) throw bad(part, `base should be ${networkOf(base)}`)
  const size = Number(sizeText)
  if (lengthOf(base) === 0) throw bad(part, 'the whole address space is no pool')
  if (size < lengthOf(base) || size > maxLength(familyOf(base))) {
    throw bad(part, `size must be from ${lengthOf(base)} to ${maxLength(familyOf(base))}`)
  }
  return { base, size }
}

/** A unique local /48 in /64 networks (RFC 4193). `random`: the 40 bits that make it this machine's own. */
export function ulaPool(random: Uint8Array): DefaultPool {
  const id = [...random.subarray(0, 5)].reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0xfdn)
  return { base: cidrOf(ipFromBigint(id << 80n, 6), 48), size: 64 }
}

/** The pools to cut a network of this family from. `length`: the prefix length wished, instead of each pool's own. */
export function blocksFor(pools: readonly DefaultPool[], family: Family, length?: number): readonly DefaultPool[] {
  return pools
    .filter(({ base }) => familyOf(base) === family && (length === undefined || length >= lengthOf(base)))
    .map(({ base, size }) => ({ base, size: length ?? size }))
}

/** A default route, or one of the two halves that VPNs make of it: it leads to every network and claims none. */
export function leadsEverywhere(destination: Cidr): boolean {
  return lengthOf(destination) <= 1
}

/** The first block that meets nothing taken. */
export function cutBlock(pools: readonly DefaultPool[], taken: readonly Cidr[]): Cidr | undefined {
  for (const { base, size } of pools) {
    const family = familyOf(base)
    const { first, last } = rangeOf(base)
    const step = 1n << BigInt(maxLength(family) - size)
    let block = first
    for (const range of rangesInOrder(taken, family)) {
      if (range.first >= block + step) break
      // On to the next block of the grid, also behind something smaller than a block.
      if (range.last >= block) block += ((range.last - block) / step + 1n) * step
    }
    if (block + step - 1n <= last) return cidrOf(ipFromBigint(block, family), size)
  }
  return undefined
}

function rangesInOrder(taken: readonly Cidr[], family: Family): readonly ReturnType<typeof rangeOf>[] {
  return taken
    .filter(cidr => familyOf(cidr) === family && !leadsEverywhere(cidr))
    .map(rangeOf)
    .sort((one, other) => (one.first < other.first ? -1 : one.first > other.first ? 1 : 0))
}

function maxLength(family: Family): number {
  return family === 4 ? 32 : 128
}

function bad(part: string, why: string): UserError {
  return new UserError('BAD_DEFAULT_POOLS', `default pool "${part}": ${why}`, {
    hint: `for example ${standardPools}`,
  })
}
