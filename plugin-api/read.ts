/**
 * Reads JSON by the shapes of schema.ts. The engine writes and reads JSON as Go does, and Go's rules live here only:
 * names match whatever their case (the exact one wins), unknown fields are ignored, null stands for an absent value, and
 * so does an empty string. One pass folds and checks; TypeBox's own checker would be a second one, and its messages do
 * not say what was found.
 */
import type { TSchema } from 'typebox'
import { badRequest } from './answer.ts'
import { formats } from './schema.ts'
import type { Parsed, Shape } from './schema.ts'

/** Nesting that is read in values of any shape. The engine's own goes to 3. */
const maxDepth = 16

type JsonObject = Readonly<Record<string, unknown>>

/**
 * Reads a JSON value as `shape` says. `subject` begins every message: the method's name, or the place of the value.
 * Throws UserError BAD_REQUEST: `CreateEndpoint: Interface.Address: expected a string, got a number`.
 */
export function parse<S extends TSchema>(subject: string, shape: S, json: unknown): Parsed<S> {
  return read(shape, json, [subject]) as Parsed<S>
}

type Path = readonly (string | number)[]

function read(shape: Shape, value: unknown, path: Path): unknown {
  switch (shape.type) {
    case 'object':
      if (!isObject(value)) throw unexpected(path, 'an object', value)
      return shape.properties ? readFields(shape, value, path) : readMap(shape, value, path)
    case 'array': {
      if (!Array.isArray(value)) throw unexpected(path, 'a list', value)
      const item = shape.items ?? {}
      return value.map((entry: unknown, index) => read(item, entry, [...path, index]))
    }
    case 'string':
      return readString(shape, value, path)
    case 'integer':
      if (typeof value !== 'number') throw unexpected(path, 'an integer', value)
      return readInteger(shape, value, path)
    case 'boolean':
      if (typeof value !== 'boolean') throw unexpected(path, 'true or false', value)
      return value
    case undefined:
      if (!isShallow(value, maxDepth)) throw badRequest(`${print(path)}: nested deeper than ${maxDepth}`)
      return value
  }
}

function readFields(shape: Shape, value: JsonObject, path: Path): JsonObject {
  const fields: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(shape.properties ?? {})) {
    const given = pick(value, name)
    const absent = given === undefined || given === null || (given === '' && field.type === 'string')
    if (!absent) fields[name] = read(field, given, [...path, name])
    else if ('default' in field) fields[name] = read(field, field.default, [...path, name])
    else if (shape.required?.includes(name)) throw unexpected([...path, name], nounOf(field), given)
  }
  return fields
}

/** Go takes the field of exactly this name, else one that differs only in case. */
function pick(value: JsonObject, name: string): unknown {
  if (Object.hasOwn(value, name)) return value[name]
  const folded = name.toLowerCase()
  const key = Object.keys(value).find(candidate => candidate.toLowerCase() === folded)
  return key === undefined ? undefined : value[key]
}

function readMap(shape: Shape, value: JsonObject, path: Path): JsonObject {
  const entries: Record<string, unknown> = {}
  const entryShape = Object.values(shape.patternProperties ?? {})[0] ?? {}
  for (const [key, entry] of Object.entries(value)) {
    // Assigning it would change the map's prototype instead of adding an entry.
    if (key === '__proto__') throw badRequest(`${print(path)}: __proto__ cannot be a key`)
    entries[key] = read(entryShape, entry === null && entryShape.type === 'string' ? '' : entry, [...path, key])
  }
  return entries
}

function readString(shape: Shape, value: unknown, path: Path): string {
  const given = shape.scalar && (typeof value === 'boolean' || typeof value === 'number') ? String(value) : value
  if (typeof given !== 'string') throw unexpected(path, 'a string', value)
  const limit = shape.maxLength ?? Infinity
  if (given.length > limit) {
    throw badRequest(`${print(path)}: expected at most ${limit} characters, got ${given.length}`)
  }
  const format = shape.format && formats[shape.format]
  if (format && !format.matches(given)) {
    const shown = JSON.stringify(given.length > 64 ? `${given.slice(0, 64)}...` : given)
    throw badRequest(`${print(path)}: expected ${format.like}, got ${shown}`)
  }
  return given
}

function readInteger(shape: Shape, value: number, path: Path): number {
  const { minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER } = shape
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    throw badRequest(`${print(path)}: expected an integer from ${minimum} to ${maximum}, got ${value}`)
  }
  return value
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return depth > 0 && Object.values(value).every(inner => isShallow(inner, depth - 1))
}

function nounOf(field: Shape): string {
  if (field.format) return formats[field.format].like
  const nouns = {
    object: 'an object',
    array: 'a list',
    string: 'a string',
    integer: 'an integer',
    boolean: 'true or false',
  }
  return field.type ? nouns[field.type] : 'a value'
}

function unexpected(path: Path, expected: string, got: unknown): Error {
  return badRequest(`${print(path)}: expected ${expected}, got ${gotten(got)}`)
}

/** Says what it was, not what it held: option values can be secret. */
function gotten(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === '') return 'an empty string'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`
}

/** `CreateNetwork: IPv4Data[0].Pool`; a key that is no plain word is quoted. */
function print([subject, ...rest]: Path): string {
  let place = ''
  for (const step of rest) {
    if (typeof step === 'number') place += `[${step}]`
    else if (/^\w{1,64}$/.test(step)) place += place === '' ? step : `.${step}`
    else place += `[${JSON.stringify(step.slice(0, 64))}]`
  }
  return place === '' ? String(subject) : `${String(subject)}: ${place}`
}
