/** From wishes and what is there to changes. Pure; compares only the fields that a wish sets. */
import { isDeepStrictEqual } from 'node:util'
import type { Change, Removal } from './kernel.ts'
import { keyOf, standsOn, type Child, type Observed, type Resource } from './resource.ts'

export type Verdict = 'same' | 'update' | 'recreate'

/** Changes that turn `before` into `after`: creations and updates in order, then removals in reverse. */
export function diff(after: readonly Resource[], before: readonly Resource[]): readonly Change[] {
  const wished = new Set(after.map(keyOf))
  const have = leftOf(new Map(before.map(resource => [keyOf(resource), resource])), after)
  const growing = after.flatMap(want => changeFor(want, have.get(keyOf(want))))
  const vanishing = before.filter(resource => !wished.has(keyOf(resource))).reverse()
  return [...growing, ...vanishing.map((gone): Change => ({ op: 'remove', have: gone }))]
}

/** The change that one wish needs, if any. */
export function changeFor(want: Resource, have: Resource | undefined): readonly Change[] {
  // What was handed to a container and is gone went with the container: evidence drops its record.
  if (!have) return isHanded(want) || isAdopted(want) ? [] : [{ op: 'create', want }]
  const verdict = compare(want, have)
  return verdict === 'same' ? [] : [{ op: verdict, want, have }]
}

/** What is left of it when links have to be made anew: what stands on them goes with them. */
export function leftOf(
  have: ReadonlyMap<string, Resource>,
  wishes: readonly Resource[],
): ReadonlyMap<string, Resource> {
  const left = new Map(have)
  const fall = (link: string): void => {
    for (const [key, resource] of left) {
      if (!standsOn(resource, link)) continue
      left.delete(key)
      if (resource.type === 'child') fall(resource.name)
    }
  }
  for (const want of wishes) {
    const there = 'alias' in want ? left.get(keyOf(want)) : undefined
    if (there && 'alias' in want && compare(want, there) === 'recreate') fall(want.name)
  }
  return left
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
  route: 2,
  proxy: 2,
  address: 3,
  child: 4,
  veth: 4,
  dummy: 5,
  bridge: 5,
  sysctl: 6,
  accept: 7,
  ruleset: 8,
}

/** A wish is met when every field that it sets is there. */
export function compare(want: Resource, have: Resource): Verdict {
  if (want.type !== have.type) return 'recreate'
  switch (want.type) {
    case 'bridge':
      return want.adopted || (!isSpoilt(have) && sameFields(want, have, ['mac', 'mtu', 'alias'])) ? 'same' : 'update'
    case 'veth':
      // The peer may have left this namespace at any moment after it was promised; it is never taken back.
      return !isSpoilt(have) && sameFields(want, have, ['mac', 'mtu', 'master', 'isolated', 'alias'])
        ? 'same'
        : 'update'
    case 'child':
      return compareChild(want, have)
    case 'dummy':
      return !isDown(have) && sameFields(want, have, ['mac', 'mtu', 'alias']) ? 'same' : 'update'
    case 'route':
      return sameFields(want, have, ['link', 'source']) ? 'same' : 'update'
    case 'sysctl':
    case 'element':
      return sameFields(want, have, ['value']) ? 'same' : 'update'
    case 'ruleset':
      return sameFields(want, have, ['digest']) ? 'same' : 'update'
    case 'port':
      return isDeepStrictEqual(want.relay, 'relay' in have ? have.relay : undefined) ? 'same' : 'update'
    case 'accept':
      return 'misplaced' in have ? 'update' : 'same'
    case 'address':
    case 'proxy':
      return 'same'
  }
}

/** With what the kernel takes where a wish says nothing. */
function withDefaults(child: Child): Child {
  return child.kind === 'ipvlan' ? { flag: 'bridge', ...child } : child
}

function compareChild(want: Child, have: Resource): Verdict {
  // A container is about to get it: the engine may take it away at any moment.
  if (want.handed) return 'same'
  const fixed = ['kind', 'parent', 'mode', 'flag', 'id']
  if (have.type !== 'child' || !sameFields(withDefaults(want), withDefaults(have), fixed)) return 'recreate'
  const down = want.up !== false && isDown(have)
  return !down && sameFields(want, have, ['mac', 'mtu', 'alias']) ? 'same' : 'update'
}

function sameFields(want: Resource, have: Resource, names: readonly string[]): boolean {
  const wanted = want as unknown as Readonly<Record<string, unknown>>
  const there = have as unknown as Readonly<Record<string, unknown>>
  return names.every(name => wanted[name] === undefined || wanted[name] === there[name])
}

/** Of links. */
function isDown(have: Resource): boolean {
  return 'down' in have && have.down
}

/** By what weft never wishes: of bridges and pairs. */
function isSpoilt(have: Resource): boolean {
  return isDown(have) || ('snooping' in have && have.snooping) || ('bypass' in have && have.bypass)
}

function isHanded(resource: Resource): boolean {
  return (resource.type === 'veth' || resource.type === 'child') && resource.handed
}

function isAdopted(resource: Resource): boolean {
  return resource.type === 'bridge' && resource.adopted
}
