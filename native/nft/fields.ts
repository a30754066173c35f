/**
 * Fields of keys and values: text as nft prints it, and the kernel's bytes.
 * Source: include/uapi/linux/netfilter/nf_tables.h. In a concatenation every field is padded to 4 bytes.
 */
import type { FieldType } from '../kernel/resource.ts'
import { familyOf, ipFromBytes, ipToBytes, parseIp, type Family } from '../value/ip.ts'
import { macFromBytes, macToBytes, parseMac } from '../value/mac.ts'

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
  ether_addr: {
    size: 6,
    toBytes(text) {
      const mac = parseMac(text)
      return mac === undefined ? undefined : macToBytes(mac)
    },
    toText: macFromBytes,
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

/** Between two fields in text. */
export const joint = ' . '

/** Bytes of the texts of all fields. Throws RangeError that names the offending one. */
export function fieldsToBytes(types: readonly FieldType[], text: string): Uint8Array {
  const parts = text.split(joint)
  if (parts.length !== types.length) throw new RangeError(`"${text}": expected ${types.join(joint)}`)
  const encoded = types.map((type, index) => {
    const bytes = fields[type].toBytes(parts[index] ?? '')
    if (!bytes) throw new RangeError(`"${text}": "${parts[index] ?? ''}" is no ${type}`)
    return bytes
  })
  return types.length === 1 ? (encoded[0] ?? new Uint8Array()) : Buffer.concat(encoded.map(padded))
}

/** One text for each field. */
export function bytesToFields(types: readonly FieldType[], bytes: Uint8Array): readonly string[] {
  let at = 0
  return types.map(type => {
    const { size, toText } = fields[type]
    const part = toText(bytes.subarray(at, at + size))
    at += (size + 3) & ~3
    return part
  })
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
