/**
 * Builders for the shapes of requests. A shape is a TypeBox schema (JSON Schema), so the type of what is read is inferred
 * from it. It is read by read.ts, not by TypeBox's own checker: see there. Of TypeBox only the types are used: its own
 * builders make the same schemas, but loading them was a third of a start (130 ms, and 14 MB for good).
 */
import { isIP } from 'node:net'
import type {
  Static,
  TArray,
  TBoolean,
  TInteger,
  TObject,
  TOptional,
  TProperties,
  TRecord,
  TSchema,
  TString,
  TUnknown,
  TUnsafe,
} from 'typebox'

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
  id: { like: 'an id without slashes and control characters', matches: text => idPattern.test(text) },
  key: { like: 'a key without control characters', matches: text => !/[\0-\x1f\x7f-\x9f]/.test(text) },
  ip: { like: 'an address, like 10.0.0.2', matches: isAddress },
  cidr: { like: 'an address with a prefix length, like 10.0.0.2/16', matches: isCidr },
  mac: { like: 'a hardware address, like 02:42:ac:11:00:02', matches: text => macPattern.test(text) },
  path: { like: 'an absolute path', matches: text => /^\/[^\0-\x1f]*$/.test(text) },
} satisfies Readonly<Record<string, Format>>
/** Ids are in keys of the store, which are UTF-8: no half characters, nor the last of all, which ends a range of keys. */
const idPattern = /^[^\0-\x1f\x7f-\x9f/\ud800-\udfff\u{10ffff}]+$/u
const macPattern = /^[0-9a-f]{2}([:-])[0-9a-f]{2}(\1[0-9a-f]{2}){4}$/i

export function object<P extends TProperties>(properties: P): TObject<P> {
  const required = Object.keys(properties).filter(name => !Object.hasOwn(properties[name] ?? {}, '~optional'))
  return made('Object', { type: 'object', ...(required.length > 0 && { required }), properties }) as TObject<P>
}

/** May be absent, null or (of strings) empty. */
export function optional<S extends TSchema>(shape: S): TOptional<S> {
  const marks = Object.getOwnPropertyDescriptors(shape)
  return Object.defineProperties({}, { ...marks, '~optional': { value: true } }) as TOptional<S>
}

/** `whenAbsent` stands in for an absent or null value. */
export function defaulted<S extends TSchema>(shape: S, whenAbsent: unknown): S {
  return { ...shape, default: whenAbsent }
}

/** An absent list is an empty one. */
export function list<S extends TSchema>(items: S): TArray<S> {
  return made('Array', { type: 'array', items, default: [] }) as TArray<S>
}

/** String keys, which are case-sensitive as in Go's maps. An absent map is an empty one; an empty string is a value. */
export function map<S extends TSchema>(value: S): TRecord<'^.*$', S> {
  return made('Record', { type: 'object', patternProperties: { '^.*$': value }, default: {} }) as TRecord<'^.*$', S>
}

export function string(maxLength = 4096): TString {
  return made('String', { type: 'string', maxLength }) as TString
}

/** A string, or a boolean or number written as one. */
export function text(): TString {
  return made('String', { type: 'string', maxLength: 65_536, scalar: true }) as TString
}

export function formatted(format: keyof typeof formats, maxLength = 128): TString {
  return made('String', { type: 'string', maxLength, format }) as TString
}

/** At most 128 characters: an id is a key of the store. */
export function id<T extends string>(format: 'id' | 'key' = 'id'): TUnsafe<T> {
  return formatted(format) as TSchema as TUnsafe<T>
}

export function integer(minimum: number, maximum: number): TInteger {
  return made('Integer', { type: 'integer', minimum, maximum }) as TInteger
}

export function flag(): TBoolean {
  return made('Boolean', { type: 'boolean', default: false }) as TBoolean
}

/** Any JSON, of limited depth. */
export function anything(): TUnknown {
  return made('Unknown', {}) as TUnknown
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

/** TypeBox knows a schema of its own by a mark that is not seen in its JSON. */
function made(kind: string, keywords: Shape): TSchema {
  return Object.defineProperty({ ...keywords }, '~kind', { value: kind })
}

function isAddress(value: string): boolean {
  return isIP(value) !== 0 && !value.includes('%')
}

function isCidr(value: string): boolean {
  const [address = '', length = '', ...rest] = value.split('/')
  if (rest.length > 0 || !isAddress(address) || !/^(0|[1-9]\d{0,2})$/.test(length)) return false
  return Number(length) <= (isIP(address) === 4 ? 32 : 128)
}
