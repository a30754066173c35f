/**
 * Deliberately damaged requests, made from recorded ones. The same seed makes the same mutants. About half of them stay
 * valid in form, so that they reach a handler; the others are broken in their types, their JSON or their bytes.
 */
import { breakBytes, breakFields, vary } from './mutations.ts'
import type { Json } from './mutations.ts'
import { pick, random } from './random.ts'
import type { Random } from './random.ts'
import type { Step } from './replay.ts'

export interface Mutant {
  readonly method: string
  /** Sent as it is, whatever it may be. */
  readonly body: Buffer
  /** Name of what was done, for the message of a failing test. */
  readonly how: string
}

/** `count` mutants of `recorded`, every method as often as any other. */
export function* mutants(seed: number, count: number, recorded: readonly Step[]): Iterable<Mutant> {
  const chance = random(seed)
  const byMethod = templates(recorded)
  const names = [...byMethod.keys()]
  for (let i = 0; i < count; i += 1) {
    const method = pick(chance, names)
    const body = structuredClone(pick(chance, byMethod.get(method) ?? []))
    yield { method, ...mutate(chance, body) }
  }
}

function mutate(chance: Random, body: Json): Omit<Mutant, 'method'> {
  const sort = chance()
  if (sort < 0.55) {
    const how = vary(chance, body)
    return { how: `valid: ${how}`, body: Buffer.from(JSON.stringify(body)) }
  }
  if (sort < 0.8) {
    const [how, text] = breakFields(chance, body)
    return { how: `fields: ${how}`, body: Buffer.from(text) }
  }
  const [how, bytes] = breakBytes(chance, Buffer.from(JSON.stringify(body)))
  return { how: `bytes: ${how}`, body: bytes }
}

/** Recorded bodies by method; methods that were never recorded get a body of their nearest relative. */
function templates(recorded: readonly Step[]): ReadonlyMap<string, readonly Json[]> {
  const byMethod = new Map<string, Json[]>()
  const add = (method: string, body: Json): void => {
    byMethod.set(method, [...(byMethod.get(method) ?? []), body])
  }
  const relatives: Readonly<Record<string, readonly [string, readonly string[]]>> = {
    'NetworkDriver.CreateNetwork': ['NetworkDriver.GwAllocCheck', ['Options']],
    'NetworkDriver.DiscoverNew': ['NetworkDriver.DiscoverDelete', ['DiscoveryType', 'DiscoveryData']],
  }
  for (const { method, request } of recorded) {
    if (request === null) continue
    add(method, { ...request })
    const relative = relatives[method]
    if (!relative) continue
    const [name, fields] = relative
    add(name, Object.fromEntries(fields.map(field => [field, request[field]])))
  }
  return byMethod
}
