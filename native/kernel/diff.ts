/** From wishes and what is there to changes. Pure; compares only the fields that a wish sets. */
import { isDeepStrictEqual } from 'node:util'
import type { Change, Removal } from './kernel.ts'
import { keyOf, type Observed, type Resource } from './resource.ts'

export type Verdict = 'same' | 'update' | 'recreate'

/** Changes that turn `before` into `after`: creations and updates in order, then removals in reverse. */
export function diff(after: readonly Resource[], before: readonly Resource[]): readonly Change[] {
  const wished = new Set(after.map(keyOf))
  const have = new Map(before.map(resource => [keyOf(resource), resource]))
  const growing = after.flatMap(want => changeFor(want, have.get(keyOf(want))))
  const vanishing = before.filter(resource => !wished.has(keyOf(resource))).reverse()
  return [...growing, ...vanishing.map((gone): Change => ({ op: 'remove', have: gone }))]
}

/** The change that one wish needs, if any. */
export function changeFor(want: Resource, have: Resource | undefined): readonly Change[] {
  // A pair that was handed to a container and is gone went with the container: evidence drops its record.
  if (!have) return (want.type === 'veth' && want.handed) || isAdopted(want) ? [] : [{ op: 'create', want }]
  const verdict = compare(want, have)
  return verdict === 'same' ? [] : [{ op: verdict, want, have }]
}

/** What is there and nobody wishes, in the order in which it should go: what depends on others first. */
export function surplus(have: readonly Observed[], wished: (key: string) => boolean): readonly Removal[] {
  return have
    .filter(({ resource, foreign }) => !foreign && !wished(keyOf(resource)))
    .map(({ resource }) => resource)
    .sort((a, b) => rank[a.type] - rank[b.type])
    .map(gone => ({ op: 'remove', have: gone }))
}

const rank: Readonly<Record<Resource['type'], number>> = {
  element: 0,
  port: 1,
  address: 2,
  veth: 3,
  bridge: 4,
  sysctl: 5,
  accept: 6,
  ruleset: 7,
}

/** A wish is met when every field that it sets is there. */
export function compare(want: Resource, have: Resource): Verdict {
  if (want.type !== have.type) return 'recreate'
  switch (want.type) {
    case 'bridge':
      return want.adopted || (!isDown(have) && sameFields(want, have, ['mac', 'mtu', 'alias'])) ? 'same' : 'update'
    case 'veth':
      // The peer may have left this namespace at any moment after it was promised; it is never taken back.
      return !isDown(have) && sameFields(want, have, ['mac', 'mtu', 'master', 'isolated', 'alias']) ? 'same' : 'update'
    case 'sysctl':
    case 'element':
      return sameFields(want, have, ['value']) ? 'same' : 'update'
    case 'ruleset':
      return sameFields(want, have, ['digest']) ? 'same' : 'update'
    case 'port':
      return isDeepStrictEqual(want.relay, 'relay' in have ? have.relay : undefined) ? 'same' : 'update'
    case 'address':
    case 'accept':
      return 'same'
  }
}

function sameFields(want: Resource, have: Resource, names: readonly string[]): boolean {
  const wanted = want as unknown as Readonly<Record<string, unknown>>
  const there = have as unknown as Readonly<Record<string, unknown>>
  return names.every(name => wanted[name] === undefined || wanted[name] === there[name])
}

/** Every link is wished to be up. */
function isDown(have: Resource): boolean {
  return 'down' in have && have.down
}

function isAdopted(resource: Resource): boolean {
  return resource.type === 'bridge' && resource.adopted
}
