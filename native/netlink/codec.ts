/**
 * Netlink messages from tables. A table of attributes (`attrs`), a fixed header (`struct`) and a message type make a
 * `Message`; encoder, decoder, TypeScript type and the name of an offending attribute all come from the table.
 * Source: include/uapi/linux/netlink.h. Host order is little endian on both platforms that weft runs on.
 */
import { viewOf, Writer, type Field, type FixedField, type Siblings } from './field.ts'

export * from './field.ts'
export * from './message.ts'

const NLA_F_NESTED = 0x8000
/** Takes NLA_F_NESTED and NLA_F_NET_BYTEORDER off an attribute's type. */
const NLA_TYPE_MASK = 0x3fff
const attributeHeader = 4

type Fields = Readonly<Record<string, readonly [number, Field<unknown>]>>
type ValueOf<F extends Fields> = {
  readonly [K in keyof F]?: (F[K] extends readonly [number, Field<infer T>] ? T : never) | undefined
}
type Layout = Readonly<Record<string, readonly [number, FixedField<unknown>]>>
type StructOf<L extends Layout> = {
  readonly [K in keyof L]: L[K] extends readonly [number, FixedField<infer T>] ? T : never
}
type KeysOf<U> = U extends unknown ? keyof U : never
/** All keys of a union of tables, each optional. */
type Merged<U> = { readonly [K in KeysOf<U>]?: U extends { readonly [P in K]?: infer V } ? V : never }

/** Attributes by name; itself a nested field. Unknown attributes are skipped on reading, undefined ones on writing. */
export interface AttrTable<T> extends Field<T> {
  /** Attributes in the order of the value's keys, each padded to 4 bytes. */
  encode(value: T): Uint8Array
  /** Throws RangeError on an attribute that runs past the end. */
  decode(bytes: Uint8Array): T
  /** Attribute number to name. */
  readonly names: ReadonlyMap<number, string>
}
export interface Struct<T> {
  readonly size: number
  /** Fields left out are 0. */
  encode(value: Partial<T>): Uint8Array
  decode(bytes: Uint8Array): T
  write(to: Writer, value: Partial<T>): void
}
export type Infer<Table> =
  Table extends AttrTable<infer T> ? T : Table extends Struct<infer T> ? T : Table extends Field<infer T> ? T : never

/** `{ name: [attribute number, type] }` */
export function attrs<const F extends Fields>(fields: F): AttrTable<ValueOf<F>> {
  type T = ValueOf<F>
  const names = new Map(Object.entries(fields).map(([name, [number]]) => [number, name]))

  function write(to: Writer, value: T): void {
    for (const [name, item] of Object.entries(value)) {
      const [number, type] = fields[name] ?? []
      if (number === undefined || type === undefined) throw new TypeError(`no attribute ${name} in this table`)
      if (item === undefined || (type.presence && item === false)) continue
      writeAttribute(to, number, type, item, value)
    }
  }

  function read(view: DataView, at: number, length: number): T {
    const value: Record<string, unknown> = {}
    const later: [string, Field<unknown>, number, number][] = []
    for (const { number, start, size } of attributes(view, at, length)) {
      const name = names.get(number)
      const type = name === undefined ? undefined : fields[name]?.[1]
      if (name === undefined || type === undefined) continue
      if (type.dispatched) later.push([name, type, start, size])
      else value[name] = type.read(view, start, size, value)
    }
    for (const [name, type, start, size] of later) {
      const item = type.read(view, start, size, value)
      if (item !== undefined) value[name] = item
    }
    return value as T
  }

  function locate(view: DataView, at: number, length: number, offset: number): string | undefined {
    for (const { number, start, size } of attributes(view, at, length)) {
      if (offset >= start + size) continue
      const name = names.get(number) ?? `#${number}`
      const type = offset >= start ? fields[name]?.[1] : undefined
      const below = type?.locate?.(view, start, size, offset, read(view, at, length))
      return below === undefined ? name : `${name}.${below}`
    }
    return undefined
  }

  function encode(value: T): Uint8Array {
    const to = new Writer()
    write(to, value)
    return to.done()
  }
  return { nested: true, names, write, read, locate, encode, decode: data => read(viewOf(data), 0, data.length) }
}

function writeAttribute(to: Writer, number: number, type: Field<unknown>, item: unknown, siblings: Siblings): void {
  const at = to.grow(attributeHeader)
  type.write(to, item, siblings)
  to.view.setUint16(at, to.length - at, true)
  to.view.setUint16(at + 2, type.nested ? number | NLA_F_NESTED : number, true)
  to.align()
}

function* attributes(view: DataView, at: number, length: number): Iterable<Attribute> {
  const end = at + length
  for (let next = at; next + attributeHeader <= end;) {
    const size = view.getUint16(next, true)
    if (size < attributeHeader || next + size > end) throw new RangeError('an attribute runs past its message')
    const number = view.getUint16(next + 2, true) & NLA_TYPE_MASK
    yield { number, start: next + attributeHeader, size: size - attributeHeader }
    next += (size + 3) & ~3
  }
}
interface Attribute {
  readonly number: number
  /** Of the payload. */
  readonly start: number
  readonly size: number
}

/** Attributes below an attribute. The same as naming the table itself. */
export function nested<T>(table: AttrTable<T>): Field<T> {
  return table
}

/** Items in a row below one attribute, each under the same number, as NFTA_LIST_ELEM. */
export function list<T>(item: number, type: Field<T>): Field<readonly T[]> {
  return {
    nested: true,
    write(to, values) {
      for (const value of values) writeAttribute(to, item, type, value, {})
    },
    read(view, at, length) {
      const values: T[] = []
      for (const { start, size } of attributes(view, at, length)) {
        const value = type.read(view, start, size, {})
        if (value !== undefined) values.push(value)
      }
      return values
    },
  }
}

/**
 * A nested table that the sibling attribute `by` chooses: IFLA_INFO_DATA by kind, NFTA_EXPR_DATA by name. A value that
 * names no table is skipped on reading and a TypeError on writing.
 */
export function dispatch<const Tables extends Readonly<Record<string, AttrTable<unknown>>>>(
  by: string,
  tables: Tables,
): Field<Merged<Infer<Tables[keyof Tables]>>> {
  type T = Merged<Infer<Tables[keyof Tables]>>
  const choose = (siblings: Siblings): AttrTable<unknown> | undefined => tables[String(siblings[by])]
  return {
    nested: true,
    dispatched: true,
    write(to, value, siblings) {
      const table = choose(siblings)
      if (!table) throw new TypeError(`no table for ${by} ${String(siblings[by])}`)
      table.write(to, value, {})
    },
    read: (view, at, length, siblings) => choose(siblings)?.read(view, at, length, {}) as T | undefined,
    locate: (view, at, length, offset, siblings) => choose(siblings)?.locate?.(view, at, length, offset, {}),
  }
}

/** A fixed header: `struct(16, { name: [offset, type] })`. */
export function struct<const L extends Layout>(size: number, layout: L): Struct<StructOf<L>> {
  type T = StructOf<L>
  function write(to: Writer, value: Partial<T>): void {
    const at = to.grow(size)
    for (const [name, item] of Object.entries(value)) {
      const [offset, type] = layout[name] ?? []
      if (offset === undefined || type === undefined) throw new TypeError(`no field ${name} in this header`)
      if (item !== undefined) type.set(to.view, at + offset, item)
    }
  }
  return {
    size,
    write,
    encode(value) {
      const to = new Writer()
      write(to, value)
      return to.done()
    },
    decode(data) {
      if (data.length < size) throw new RangeError(`a header of ${size} bytes, got ${data.length}`)
      const view = viewOf(data)
      return Object.fromEntries(Object.entries(layout).map(([name, [at, type]]) => [name, type.get(view, at)])) as T
    },
  }
}

/** A header and attributes inside one attribute, as VETH_INFO_PEER. */
export function prefixed<H, A>(
  header: Struct<H>,
  table: AttrTable<A>,
): Field<{ readonly header: Partial<H>; readonly attrs: A }> {
  return {
    write(to, value) {
      header.write(to, value.header)
      table.write(to, value.attrs, {})
    },
    read: (view, at, length) => ({
      header: header.decode(new Uint8Array(view.buffer, view.byteOffset + at, length)),
      attrs: table.decode(new Uint8Array(view.buffer, view.byteOffset + at + header.size, length - header.size)),
    }),
    locate: (view, at, length, offset) => table.locate?.(view, at + header.size, length - header.size, offset, {}),
  }
}
