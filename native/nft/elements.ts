/**
 * Keys and values of set elements: text as nft prints it, and the kernel's bytes.
 * Source: include/uapi/linux/netfilter/nf_tables.h. In a concatenation every field is padded to 4 bytes.
 */
import type { FieldType, SetShape } from '../kernel/resource.ts'
import {
  addressOf,
  cidrOf,
  familyOf,
  ipFromBigint,
  ipFromBytes,
  ipToBigint,
  ipToBytes,
  networkOf,
  parseCidr,
  parseIp,
  rangeOf,
  type Family,
} from '../value/ip.ts'

/** One element as it travels: an interval is two of them, `end` marking the first key after it. */
export interface RawElement {
  readonly key: Uint8Array
  readonly data?: Uint8Array
  readonly end?: boolean
}

export interface TextElement {
  readonly key: string
  readonly value?: string
}

interface FieldCodec {
  readonly size: number
  readonly toBytes: (text: string) => Uint8Array | undefined
  readonly toText: (bytes: Uint8Array) => string
}

const protocols = { icmp: 1, tcp: 6, udp: 17, 'ipv6-icmp': 58, sctp: 132 } as const
const families = { ipv4: 2, ipv6: 10 } as const

const fields: Readonly<Record<FieldType, FieldCodec>> = {
  ifname: {
    size: 16,
    toBytes(text) {
      const name = Buffer.from(text)
      if (name.length === 0 || name.length > 15) return undefined
      return Buffer.concat([name], 16)
    },
    toText: bytes => Buffer.from(bytes).toString('utf8', 0, bytes.includes(0) ? bytes.indexOf(0) : bytes.length),
  },
  ipv4_addr: ipField(4),
  ipv6_addr: ipField(6),
  inet_proto: named(protocols),
  nf_proto: named(families),
  inet_service: {
    size: 2,
    toBytes(text) {
      const port = wholeNumber(text, 65535)
      return port === undefined ? undefined : Uint8Array.of(port >> 8, port & 255)
    },
    toText: ([high = 0, low = 0]) => String(high * 256 + low),
  },
}

/** Bytes of ` . `-joined text. Throws RangeError that names the offending field. */
export function fieldsToBytes(types: readonly FieldType[], text: string): Uint8Array {
  const parts = text.split(' . ')
  if (parts.length !== types.length) throw new RangeError(`"${text}": expected ${types.join(' . ')}`)
  const encoded = types.map((type, index) => {
    const bytes = fields[type].toBytes(parts[index] ?? '')
    if (!bytes) throw new RangeError(`"${text}": "${parts[index] ?? ''}" is no ${type}`)
    return bytes
  })
  return types.length === 1 ? (encoded[0] ?? new Uint8Array()) : Buffer.concat(encoded.map(padded))
}

export function fieldsToText(types: readonly FieldType[], bytes: Uint8Array): string {
  let at = 0
  const parts = types.map(type => {
    const { size, toText } = fields[type]
    const part = toText(bytes.subarray(at, at + size))
    at += (size + 3) & ~3
    return part
  })
  return parts.join(' . ')
}

/** The elements that stand for a key of the set: two for an interval that does not end with the address space. */
export function toRaw(shape: SetShape, { key, value }: TextElement): readonly RawElement[] {
  if (shape.interval) return intervalToRaw(shape, key)
  const raw = { key: fieldsToBytes(shape.key, key) }
  if (!shape.data) return [raw]
  if (value === undefined) throw new RangeError(`"${key}": a map needs a value`)
  return [{ ...raw, data: fieldsToBytes(shape.data, value) }]
}

/** A dump of a set as text, sorted by key bytes. A range that is no prefix reads `first-last`. */
export function toText(shape: SetShape, elements: readonly RawElement[]): readonly TextElement[] {
  const sorted = elements.toSorted((a, b) => Buffer.compare(a.key, b.key) || Number(b.end ?? 0) - Number(a.end ?? 0))
  if (shape.interval) return intervalsToText(shape, sorted)
  return sorted.map(({ key, data }) => ({
    key: fieldsToText(shape.key, key),
    ...(data && shape.data && { value: fieldsToText(shape.data, data) }),
  }))
}

function intervalToRaw(shape: SetShape, key: string): readonly RawElement[] {
  const family = intervalFamily(shape)
  const cidr = parseCidr(key)
  if (cidr === undefined || familyOf(cidr) !== family) throw new RangeError(`"${key}" is no IPv${family} prefix`)
  const { last } = rangeOf(cidr)
  const start = { key: ipToBytes(addressOf(networkOf(cidr))) }
  if (last === lastOf(family)) return [start]
  return [start, { key: ipToBytes(ipFromBigint(last + 1n, family)), end: true }]
}

/** An end may stand before any start: nft puts one at zero. */
function intervalsToText(shape: SetShape, sorted: readonly RawElement[]): readonly TextElement[] {
  const family = intervalFamily(shape)
  const found: TextElement[] = []
  let first: bigint | undefined
  const close = (next: bigint): void => {
    if (first !== undefined) found.push({ key: rangeText(first, next - 1n, family) })
    first = undefined
  }
  for (const { key, end } of sorted) {
    const at = ipToBigint(ipFromBytes(key))
    close(at)
    if (!end) first = at
  }
  close(lastOf(family) + 1n)
  return found
}

function rangeText(first: bigint, last: bigint, family: Family): string {
  const start = ipFromBigint(first, family)
  const bits = family === 4 ? 32 : 128
  for (let length = 0; length <= bits; length += 1) {
    const range = rangeOf(cidrOf(start, length))
    if (range.first === first && range.last === last) return cidrOf(start, length)
  }
  return `${start}-${ipFromBigint(last, family)}`
}

function intervalFamily(shape: SetShape): Family {
  const [type] = shape.key
  if (shape.key.length === 1 && type === 'ipv4_addr') return 4
  if (shape.key.length === 1 && type === 'ipv6_addr') return 6
  throw new RangeError(`intervals of ${shape.key.join(' . ')} are not supported`)
}

function lastOf(family: Family): bigint {
  return family === 4 ? 0xffffffffn : (1n << 128n) - 1n
}

function ipField(family: Family): FieldCodec {
  return {
    size: family === 4 ? 4 : 16,
    toBytes(text) {
      const address = parseIp(text)
      return address !== undefined && familyOf(address) === family ? ipToBytes(address) : undefined
    },
    toText: ipFromBytes,
  }
}

/** One byte with a name; a number without one is printed as it is, like nft does. */
function named(names: Readonly<Record<string, number>>): FieldCodec {
  return {
    size: 1,
    toBytes(text) {
      const number = names[text] ?? wholeNumber(text, 255)
      return number === undefined ? undefined : Uint8Array.of(number)
    },
    toText: ([number = 0]) => Object.keys(names).find(name => names[name] === number) ?? String(number),
  }
}

function wholeNumber(text: string, limit: number): number | undefined {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= limit ? Number(text) : undefined
}

function padded(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes], (bytes.length + 3) & ~3)
}
