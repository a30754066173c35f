/**
 * Addresses and prefixes. Both are canonical text (RFC 5952), so that records, plans and logs hold them as they are and
 * `===` compares them. Arithmetic goes through bigint; allocation keeps its own numbers (ipam/bitmap.ts).
 */
declare const brand: unique symbol

export type Family = 4 | 6
export type Ip = string & { readonly [brand]: 'Ip' }
/** An address with a prefix length; host bits are kept: `10.0.0.1/24`. */
export type Cidr = string & { readonly [brand]: 'Cidr' }

const bitsOf = { 4: 32, 6: 128 } as const

/** Canonical address, or undefined. Zones (`fe80::1%eth0`), leading zeros and prefixes are not addresses. */
export function parseIp(text: string): Ip | undefined {
  const parsed = toNumber(text)
  return parsed && ipFromBigint(parsed.value, parsed.family)
}

/** Canonical `address/length`, or undefined. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/')
  if (slash < 0 || !/^(0|[1-9]\d{0,2})$/.test(text.slice(slash + 1))) return undefined
  const address = parseIp(text.slice(0, slash))
  const length = Number(text.slice(slash + 1))
  if (address === undefined || length > bitsOf[familyOf(address)]) return undefined
  return cidrOf(address, length)
}

export function familyOf(value: Ip | Cidr): Family {
  return value.includes(':') ? 6 : 4
}

export function cidrOf(address: Ip, length: number): Cidr {
  return `${address}/${length}` as Cidr
}

/** A single address as a prefix: /32 or /128. */
export function hostCidr(address: Ip): Cidr {
  return cidrOf(address, bitsOf[familyOf(address)])
}

export function addressOf(cidr: Cidr): Ip {
  return cidr.slice(0, cidr.indexOf('/')) as Ip
}

export function lengthOf(cidr: Cidr): number {
  return Number(cidr.slice(cidr.indexOf('/') + 1))
}

/** The prefix with its host bits cleared. */
export function networkOf(cidr: Cidr): Cidr {
  return cidrOf(ipFromBigint(firstOf(cidr), familyOf(cidr)), lengthOf(cidr))
}

/** First and last address of a prefix, as numbers. */
export function rangeOf(cidr: Cidr): { readonly first: bigint; readonly last: bigint } {
  const first = firstOf(cidr)
  return { first, last: first + (1n << BigInt(bitsOf[familyOf(cidr)] - lengthOf(cidr))) - 1n }
}

/** Does the prefix hold the whole of `inner`? Families never hold each other. */
export function contains(outer: Cidr, inner: Ip | Cidr): boolean {
  if (familyOf(outer) !== familyOf(inner)) return false
  const a = rangeOf(outer)
  const b = rangeOf(inner.includes('/') ? (inner as Cidr) : hostCidr(inner as Ip))
  return a.first <= b.first && b.last <= a.last
}

export function overlaps(one: Cidr, other: Cidr): boolean {
  return contains(networkOf(one), networkOf(other)) || contains(networkOf(other), networkOf(one))
}

export function isUnspecified(address: Ip): boolean {
  return address === '0.0.0.0' || address === '::'
}

/** 127.0.0.0/8 and ::1: nobody but the host itself reaches it. */
export function isLoopback(address: Ip): boolean {
  return address === '::1' || (familyOf(address) === 4 && address.startsWith('127.'))
}

/** 4 or 16 bytes in network order. */
export function ipToBytes(address: Ip): Uint8Array {
  const size = bitsOf[familyOf(address)] / 8
  const bytes = new Uint8Array(size)
  let rest = ipToBigint(address)
  for (let i = size - 1; i >= 0; i -= 1, rest >>= 8n) bytes[i] = Number(rest & 0xffn)
  return bytes
}

export function ipFromBytes(bytes: Uint8Array): Ip {
  let value = 0n
  for (const byte of bytes) value = (value << 8n) | BigInt(byte)
  return ipFromBigint(value, bytes.length === 4 ? 4 : 6)
}

export function ipToBigint(address: Ip): bigint {
  const parsed = toNumber(address)
  if (!parsed) throw new TypeError(`not an address: ${address}`)
  return parsed.value
}

export function ipFromBigint(value: bigint, family: Family): Ip {
  if (family === 4) {
    const n = Number(value)
    return `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}` as Ip
  }
  const groups = Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(112 - 16 * i)) & 0xffffn))
  if (value >> 32n === 0xffffn) return `::ffff:${ipFromBigint(value & 0xffffffffn, 4)}` as Ip
  const run = longestZeroRun(groups)
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map(group => group.toString(16))
      .join(':')
  return (run ? `${hex(0, run.from)}::${hex(run.to, 8)}` : hex(0, 8)) as Ip
}

/** The run of at least two zero groups that `::` stands for: the longest, and the first of equals. */
function longestZeroRun(groups: readonly number[]): { readonly from: number; readonly to: number } | undefined {
  let best: { from: number; to: number } | undefined
  for (let from = 0; from < 8; from += 1) {
    let to = from
    while (groups[to] === 0) to += 1
    if (to - from >= 2 && (!best || to - from > best.to - best.from)) best = { from, to }
  }
  return best
}

function firstOf(cidr: Cidr): bigint {
  const host = BigInt(bitsOf[familyOf(cidr)] - lengthOf(cidr))
  return (ipToBigint(addressOf(cidr)) >> host) << host
}

function toNumber(text: string): { readonly value: bigint; readonly family: Family } | undefined {
  if (!text.includes(':')) {
    const value = dotted(text)
    return value === undefined ? undefined : { value, family: 4 }
  }
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const left = groupsOf(halves[0] ?? '', halves.length === 1)
  const right = groupsOf(halves[1] ?? '', true)
  if (!left || !right) return undefined
  const missing = 8 - left.length - right.length
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined
  const groups = [...left, ...Array<number>(missing).fill(0), ...right]
  return { value: groups.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n), family: 6 }
}

/** 16-bit groups of one half of an IPv6 address; a dotted quad may end the address. */
function groupsOf(half: string, atEnd: boolean): readonly number[] | undefined {
  if (half === '') return []
  const parts = half.split(':')
  const groups: number[] = []
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(parseInt(part, 16))
    else {
      const quad = atEnd && index === parts.length - 1 ? dotted(part) : undefined
      if (quad === undefined) return undefined
      groups.push(Number(quad >> 16n), Number(quad & 0xffffn))
    }
  }
  return groups
}

function dotted(text: string): bigint | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  let value = 0
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined
    value = value * 256 + Number(part)
  }
  return BigInt(value)
}
