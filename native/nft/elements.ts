/**
 * Elements of sets and maps: text as nft prints it, and the kernel's bytes.
 *
 * A prefix is always written with its length, a single address too (`10.0.0.1/32`): so a wish reads like what is listed.
 * The kernel holds the intervals of a set in one of two ways. Keys of one field are two elements, where it begins and
 * the first key after it; keys of several fields are one element with the first and the last key. There prefixes may
 * lie within each other, but one that comes after the wider one is refused as if it were there already.
 */
import type { SetShape } from '../kernel/resource.ts'
import {
  addressOf,
  cidrOf,
  familyOf,
  ipFromBigint,
  ipFromBytes,
  ipToBigint,
  ipToBytes,
  networkOf,
  overlaps,
  parseCidr,
  parseIp,
  rangeOf,
  type Cidr,
  type Family,
} from '../value/ip.ts'
import { bytesToFields, fieldsToBytes, joint } from './fields.ts'

/** One element as it travels. */
export interface RawElement {
  readonly key: Uint8Array
  /** Concatenated intervals only: the last key that belongs to it. */
  readonly keyEnd?: Uint8Array
  readonly data?: Uint8Array
  /** Intervals of one field only: this is the first key after one. */
  readonly end?: boolean
}

export interface TextElement {
  readonly key: string
  readonly value?: string
}

/** The elements that stand for a key of the set. Throws RangeError that names the offending field. */
export function toRaw(shape: SetShape, { key, value }: TextElement): readonly RawElement[] {
  const [first = { key: new Uint8Array() }, ...rest] = keysToRaw(shape, key)
  if (!shape.data) return [first, ...rest]
  if (value === undefined) throw new RangeError(`"${key}": a map needs a value`)
  return [{ ...first, data: fieldsToBytes(shape.data, value) }, ...rest]
}

/** A dump of a set as text, sorted by key bytes. A range that is no prefix reads `first-last`. */
export function toText(shape: SetShape, elements: readonly RawElement[]): readonly TextElement[] {
  const sorted = elements.toSorted((a, b) => Buffer.compare(a.key, b.key) || Number(b.end ?? 0) - Number(a.end ?? 0))
  if (shape.interval && shape.key.length === 1) return intervalsToText(shape, sorted)
  return sorted.map(element => ({ key: keyText(shape, element), ...valueText(shape, element) }))
}

/**
 * Those listed of a set of prefixes that overlap none of the others, in an order in which the kernel takes them: the
 * narrower first. Ranges are left out: weft writes none, and cannot.
 */
export function apartFrom(others: readonly TextElement[], listed: readonly TextElement[]): readonly TextElement[] {
  const prefixes = Map.groupBy(others.map(splitPrefix), ({ before }) => before)
  const apart = listed.filter(element => {
    const { before, cidr } = splitPrefix(element)
    const near = prefixes.get(before) ?? []
    return cidr && !near.some(other => other.cidr && overlaps(other.cidr, cidr))
  })
  // Listed by where they begin, which the wider one does first.
  return apart.toReversed()
}

/** Its last field, and those before. */
function splitPrefix({ key }: TextElement): { readonly before: string; readonly cidr: Cidr | undefined } {
  const parts = key.split(joint)
  const cidr = parseCidr(parts.pop() ?? '')
  return { before: parts.join(joint), cidr }
}

function keysToRaw(shape: SetShape, key: string): readonly RawElement[] {
  if (!shape.interval) return [{ key: fieldsToBytes(shape.key, key) }]
  const family = intervalFamily(shape)
  const parts = key.split(joint)
  const cidr = parseCidr(parts.pop() ?? '')
  if (cidr === undefined || familyOf(cidr) !== family) throw new RangeError(`"${key}" is no IPv${family} prefix`)
  if (shape.key.length === 1 && parts.length === 0) return intervalToRaw(cidr)
  const { first, last } = rangeOf(cidr)
  const bytesAt = (at: bigint): Uint8Array => fieldsToBytes(shape.key, [...parts, ipFromBigint(at, family)].join(joint))
  return [{ key: bytesAt(first), keyEnd: bytesAt(last) }]
}

/** One element for an interval that ends with the address space. */
function intervalToRaw(cidr: Cidr): readonly RawElement[] {
  const family = familyOf(cidr)
  const { last } = rangeOf(cidr)
  const start = { key: ipToBytes(addressOf(networkOf(cidr))) }
  if (last === lastOf(family)) return [start]
  return [start, { key: ipToBytes(ipFromBigint(last + 1n, family)), end: true }]
}

function keyText(shape: SetShape, { key, keyEnd }: RawElement): string {
  const firsts = bytesToFields(shape.key, key)
  if (!shape.interval) return firsts.join(joint)
  const lasts = bytesToFields(shape.key, keyEnd ?? key)
  return firsts
    .map((first, index) => {
      const last = lasts[index] ?? first
      const [from, to] = [parseIp(first), parseIp(last)]
      if (index === firsts.length - 1 && from && to) {
        return rangeText(ipToBigint(from), ipToBigint(to), intervalFamily(shape))
      }
      return first === last ? first : `${first}-${last}`
    })
    .join(joint)
}

function valueText(shape: SetShape, { data }: RawElement): { readonly value?: string } {
  return data && shape.data ? { value: bytesToFields(shape.data, data).join(joint) } : {}
}

/** An end may stand before any start: nft puts one at zero. */
function intervalsToText(shape: SetShape, sorted: readonly RawElement[]): readonly TextElement[] {
  const family = intervalFamily(shape)
  const found: TextElement[] = []
  let open: { readonly first: bigint; readonly element: RawElement } | undefined
  const close = (next: bigint): void => {
    if (open) found.push({ key: rangeText(open.first, next - 1n, family), ...valueText(shape, open.element) })
    open = undefined
  }
  for (const element of sorted) {
    const at = ipToBigint(ipFromBytes(element.key))
    close(at)
    if (!element.end) open = { first: at, element }
  }
  close(lastOf(family) + 1n)
  return found
}

function rangeText(first: bigint, last: bigint, family: Family): string {
  const size = last - first + 1n
  const start = ipFromBigint(first, family)
  const isPrefix = size > 0n && (size & (size - 1n)) === 0n && first % size === 0n
  if (!isPrefix) return `${start}-${ipFromBigint(last, family)}`
  return cidrOf(start, (family === 4 ? 33 : 129) - size.toString(2).length)
}

/** Only the last field is a prefix. */
function intervalFamily(shape: SetShape): Family {
  const type = shape.key.at(-1)
  if (type === 'ipv4_addr') return 4
  if (type === 'ipv6_addr') return 6
  throw new RangeError(`intervals of ${shape.key.join(joint)} are not supported`)
}

function lastOf(family: Family): bigint {
  return family === 4 ? 0xffffffffn : (1n << 128n) - 1n
}
