/** Payloads of attributes and fields of headers: how one value becomes bytes. Multi-byte values are unaligned-safe. */
import { ipFromBytes, ipToBytes, type Ip } from '../value/ip.ts'
import { macFromBytes, macToBytes, type Mac } from '../value/mac.ts'

/** The other attributes of the same level: for a field whose shape depends on one of them. */
export type Siblings = Readonly<Record<string, unknown>>

/** Methods, so that a field of something is a field of unknown. */
export interface Field<T> {
  readonly nested?: boolean
  /** True is an attribute without payload, false is no attribute. */
  readonly presence?: boolean
  /** Read after its siblings, because one of them decides about its shape. */
  readonly dispatched?: boolean
  write(to: Writer, value: T, siblings: Siblings): void
  /** undefined: nothing that the table knows. */
  read(view: DataView, at: number, length: number, siblings: Siblings): T | undefined
  /** `data.id`, what stands at an offset of the view inside this payload. */
  locate?(view: DataView, at: number, length: number, offset: number, siblings: Siblings): string | undefined
}

/** A field of known size may also stand in a header. */
export interface FixedField<T> extends Field<T> {
  get(view: DataView, at: number): T
  set(view: DataView, at: number, value: T): void
}

/** A growing buffer. `view` is replaced when it grows: take it after `grow`. */
export class Writer {
  #bytes = Buffer.alloc(256)
  view = viewOf(this.#bytes)
  length = 0

  /** Room for `size` zero bytes; returns where it begins. */
  grow(size: number): number {
    const at = this.length
    this.length += size
    if (this.length > this.#bytes.length) {
      const larger = Buffer.alloc(2 * this.length)
      larger.set(this.#bytes)
      this.#bytes = larger
      this.view = viewOf(larger)
    }
    return at
  }

  put(data: Uint8Array): void {
    const at = this.grow(data.length)
    this.#bytes.set(data, at)
  }

  /** To the next multiple of 4. */
  align(): void {
    this.grow(-this.length & 3)
  }

  done(): Uint8Array {
    return this.#bytes.subarray(0, this.length)
  }
}

export function viewOf(data: Uint8Array): DataView {
  return new DataView(data.buffer, data.byteOffset, data.length)
}

function bytesOf(view: DataView, at: number, length: number): Buffer {
  return Buffer.from(view.buffer, view.byteOffset + at, length)
}

function fixed<T>(size: number, codec: Pick<FixedField<T>, 'get' | 'set'>): FixedField<T> {
  return {
    ...codec,
    write(to, value) {
      const at = to.grow(size)
      codec.set(to.view, at, value)
    },
    read: (view, at) => codec.get(view, at),
  }
}

function variable<T>(toBytes: (value: T) => Uint8Array, fromBytes: (data: Buffer) => T): Field<T> {
  return {
    write(to, value) {
      to.put(toBytes(value))
    },
    read: (view, at, length) => fromBytes(bytesOf(view, at, length)),
  }
}

type Integer = 'Uint8' | 'Uint16' | 'Uint32' | 'Int32'
function integer(size: number, kind: Integer, littleEndian: boolean): FixedField<number> {
  const get = `get${kind}` as const
  const set = `set${kind}` as const
  return fixed<number>(size, {
    get: (view, at) => view[get](at, littleEndian),
    set(view, at, value) {
      view[set](at, value, littleEndian)
    },
  })
}

function wide(littleEndian: boolean): FixedField<bigint> {
  return fixed<bigint>(8, {
    get: (view, at) => view.getBigUint64(at, littleEndian),
    set(view, at, value) {
      view.setBigUint64(at, value, littleEndian)
    },
  })
}

export const u8 = integer(1, 'Uint8', true)
export const u16 = integer(2, 'Uint16', true)
export const u32 = integer(4, 'Uint32', true)
export const i32 = integer(4, 'Int32', true)
export const u64 = wide(true)
export const be16 = integer(2, 'Uint16', false)
export const be32 = integer(4, 'Uint32', false)
export const be64 = wide(false)

export const bool8 = fixed<boolean>(1, {
  get: (view, at) => view.getUint8(at) !== 0,
  set(view, at, value) {
    view.setUint8(at, value ? 1 : 0)
  },
})

/** A number that has a name. One that has none is undefined on reading. */
export function named<const Names extends Readonly<Record<string, number>>>(
  type: FixedField<number>,
  names: Names,
): Field<keyof Names & string> {
  const byNumber = new Map<number, string>(Object.entries(names).map(([name, number]) => [number, name]))
  return {
    write(to, value, siblings) {
      const number = names[value]
      if (number === undefined) throw new TypeError(`no number for ${value}`)
      type.write(to, number, siblings)
    },
    read(view, at) {
      return byNumber.get(type.get(view, at))
    },
  }
}

/** Bytes of a header, as they are. */
export function fixedBytes(size: number): FixedField<Uint8Array> {
  return fixed<Uint8Array>(size, {
    get: (view, at) => bytesOf(view, at, size),
    set(view, at, value) {
      new Uint8Array(view.buffer, view.byteOffset + at, size).set(value)
    },
  })
}

export const flag: Field<boolean> = { presence: true, write() {}, read: () => true }

/** NUL-terminated. */
export const str = variable<string>(
  value => Buffer.from(`${value}\0`),
  data => data.toString('utf8', 0, data.includes(0) ? data.indexOf(0) : data.length),
)

/** A view of the received message, not a copy. */
export const bytes = variable<Uint8Array>(
  value => value,
  data => data,
)

function address(sizes: readonly number[]): Field<Ip> {
  const check = (data: Uint8Array): Uint8Array => {
    if (sizes.includes(data.length)) return data
    throw new RangeError(`an address of ${data.length} bytes, expected ${sizes.join(' or ')}`)
  }
  return variable<Ip>(
    value => check(ipToBytes(value)),
    data => ipFromBytes(check(data)),
  )
}
export const ip4 = address([4])
export const ip6 = address([16])
/** Of either family, by length. */
export const ip = address([4, 16])

/** Links of other kinds than Ethernet have addresses of other lengths, printed alike. */
export const mac = variable<Mac>(macToBytes, macFromBytes)
