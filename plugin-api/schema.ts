/**
 * Builders for the shapes of requests. A shape is a TypeBox schema (JSON Schema), so the type of what is read is inferred
 * from it. It is read by read.ts, not by TypeBox's own checker: see there.
 */
import { isIP } from 'node:net'
import Type from 'typebox'
import type { Static, TOptional, TProperties, TSchema } from 'typebox'

/** What a shape reads: as TypeBox infers it, and readonly all the way down. */
export type Parsed<S extends TSchema> = Frozen<Static<S>>
type Frozen<T> = unknown extends T
  ? unknown
  : T extends string | number | boolean
    ? T
    : T extends readonly (infer Item)[]
      ? readonly Frozen<Item>[]
      : { readonly [Key in keyof T]: Frozen<T[Key]> }

/** What a string has to be; `like` ends the sentence "expected ...". */
export interface Format {
  readonly like: string
  readonly matches: (text: string) => boolean
}
export const formats = {
  id: { like: 'an id without slashes and control characters', matches: text => /^[^\0-\x1f\x7f-\x9f/]+$/.test(text) },
  key: { like: 'a key without control characters', matches: text => !/[\0-\x1f\x7f-\x9f]/.test(text) },
  ip: { like: 'an address, like 10.0.0.2', matches: isAddress },
  cidr: { like: 'an address with a prefix length, like 10.0.0.2/16', matches: isCidr },
  mac: { like: 'a hardware address, like 02:42:ac:11:00:02', matches: text => macPattern.test(text) },
  path: { like: 'an absolute path', matches: text => /^\/[^\0-\x1f]*$/.test(text) },
} satisfies Readonly<Record<string, Format>>
const macPattern = /^[0-9a-f]{2}([:-])[0-9a-f]{2}(\1[0-9a-f]{2}){4}$/i

export function object<P extends TProperties>(properties: P): ReturnType<typeof Type.Object<P>> {
  return Type.Object(properties)
}

/** May be absent, null or (of strings) empty. */
export function optional<S extends TSchema>(shape: S): TOptional<S> {
  return Type.Optional(shape) as TOptional<S>
}

/** `whenAbsent` stands in for an absent or null value. */
export function defaulted<S extends TSchema>(shape: S, whenAbsent: unknown): S {
  return { ...shape, default: whenAbsent }
}

/** An absent list is an empty one. */
export function list<S extends TSchema>(item: S): ReturnType<typeof Type.Array<S>> {
  return Type.Array(item, { default: [] })
}

/** String keys, which are case-sensitive as in Go's maps. An absent map is an empty one; an empty string is a value. */
export function map<S extends TSchema>(value: S): ReturnType<typeof Type.Record<ReturnType<typeof Type.String>, S>> {
  return Type.Record(Type.String(), value, { default: {} })
}

export function string(maxLength = 4096): ReturnType<typeof Type.String> {
  return Type.String({ maxLength })
}

/** A string, or a boolean or number written as one. */
export function text(): ReturnType<typeof Type.String> {
  return Type.String({ maxLength: 65_536, scalar: true })
}

export function formatted(format: keyof typeof formats, maxLength = 128): ReturnType<typeof Type.String> {
  return Type.String({ maxLength, format })
}

/** At most 128 characters: an id is a key of the store. */
export function id<T extends string>(format: 'id' | 'key' = 'id'): ReturnType<typeof Type.Unsafe<T>> {
  return Type.Unsafe<T>(formatted(format))
}

export function integer(minimum: number, maximum: number): ReturnType<typeof Type.Integer> {
  return Type.Integer({ minimum, maximum })
}

export function flag(): ReturnType<typeof Type.Boolean> {
  return Type.Boolean({ default: false })
}

/** Any JSON, of limited depth. */
export function anything(): ReturnType<typeof Type.Unknown> {
  return Type.Unknown()
}

/** The keywords of JSON Schema that the builders above use. */
export interface Shape {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'boolean'
  readonly properties?: Readonly<Record<string, Shape>>
  readonly required?: readonly string[]
  readonly patternProperties?: Readonly<Record<string, Shape>>
  readonly items?: Shape
  readonly default?: unknown
  readonly maxLength?: number
  readonly format?: keyof typeof formats
  readonly scalar?: boolean
  readonly minimum?: number
  readonly maximum?: number
}

function isAddress(value: string): boolean {
  return isIP(value) !== 0 && !value.includes('%')
}

function isCidr(value: string): boolean {
  const [address = '', length = '', ...rest] = value.split('/')
  if (rest.length > 0 || !isAddress(address) || !/^(0|[1-9]\d{0,2})$/.test(length)) return false
  return Number(length) <= (isIP(address) === 4 ? 32 : 128)
}
