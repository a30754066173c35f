/** Parts of a batch: the messages of one operation, and what is to be done when the kernel refuses them. */
import type { AcceptRule, Element, Ruleset, SetShape, TableFamily } from '../kernel/resource.ts'
import { flags } from '../netlink/message.ts'
import { request, type Request } from '../netlink/socket.ts'
import { acceptComment, acceptExpressions } from './accept.ts'
import { toRaw, type TextElement } from './elements.ts'
import {
  delElements,
  delRule,
  delTable,
  destroyElements,
  destroyTable,
  elementFlags,
  families,
  newElements,
  newRule,
} from './messages.ts'
import { commentUserdata, replayFrames, type Hold } from './program.ts'

/** Messages that belong together, and what to send instead when one is refused with an errno: `[]` is nothing. */
export interface Member {
  readonly requests: readonly Request[]
  readonly instead?: Readonly<Record<string, () => readonly Member[]>>
}

/** So that an attribute of elements stays below 64 KB: the largest element of weft's sets takes 120 bytes. */
const elementsPerMessage = 500
const nothing = (): readonly Member[] => []

export function loading(ruleset: Ruleset, hold: Hold): Member {
  const about = { op: 'load', object: `ruleset ${ruleset.table}` }
  return {
    requests: replayFrames(ruleset, hold).map((bytes, index) => ({
      bytes,
      op: about.op,
      object: `${about.object} (message ${index + 1})`,
      attributeAt: () => undefined,
    })),
  }
}

export function droppingTable(family: TableFamily, name: string, hold: Hold): Member {
  const of = hold.destroy ? destroyTable : delTable
  return {
    requests: [request(of, { family: families[family] }, { name }, { op: 'delete', object: `table ${name}` })],
    instead: { ENOENT: nothing },
  }
}

export interface Place {
  readonly family: TableFamily
  readonly table: string
  readonly set: string
  readonly shape: SetShape
}

/** An element that is there already is no error; one of a map with another value is replaced. */
export function adding(place: Place, element: TextElement, hold: Hold): Member {
  const member: Member = { requests: [elementsRequest('add', newElements, place, [element], flags.create)] }
  // In a set of intervals it means that the prefix overlaps another one: that one has to go first.
  if (!place.shape.data) return member
  return { ...member, instead: { EEXIST: () => [removing(place, element.key, hold), member] } }
}

/** Many elements of one set that is known to be empty. */
export function filling(place: Place, elements: readonly TextElement[]): Member {
  const requests: Request[] = []
  for (let from = 0; from < elements.length; from += elementsPerMessage) {
    const part = elements.slice(from, from + elementsPerMessage)
    requests.push(elementsRequest('add', newElements, place, part, flags.create))
  }
  return { requests }
}

/** A missing element is no error. */
export function removing(place: Place, key: string, hold: Hold): Member {
  const of = hold.destroy ? destroyElements : delElements
  const bare = { ...place, shape: withoutData(place.shape) }
  return { requests: [elementsRequest('remove', of, bare, [{ key }], 0)], instead: { ENOENT: nothing } }
}

/** Before the rule with this handle, otherwise at the end. */
export function accepting(rule: AcceptRule, position: bigint | undefined): Member {
  const { family, chain, mark } = rule
  const userdata = commentUserdata(acceptComment)
  const attrs = { table: 'filter', chain, expressions: acceptExpressions(mark), position, userdata }
  const how = flags.create | (position === undefined ? flags.append : 0)
  const about = { op: 'insert', object: `accept rule in ${family} filter ${chain}`, flags: how }
  const requests = [request(newRule, { family: families[family] }, attrs, about)]
  // Somebody took that rule away meanwhile: weft's is put where it belongs once that is noticed.
  return { requests, ...(position !== undefined && { instead: { ENOENT: () => [accepting(rule, undefined)] } }) }
}

export function unaccepting({ family, chain }: AcceptRule, handle: bigint): Member {
  const about = { op: 'remove', object: `accept rule in ${family} filter ${chain}` }
  return {
    requests: [request(delRule, { family: families[family] }, { table: 'filter', chain, handle }, about)],
    instead: { ENOENT: nothing },
  }
}

export function textOf({ key, value }: Element): TextElement {
  return { key, ...(value !== undefined && { value }) }
}

function withoutData({ key, interval }: SetShape): SetShape {
  return { key, ...(interval !== undefined && { interval }) }
}

function elementsRequest(
  op: string,
  of: typeof newElements,
  { family, table, set, shape }: Place,
  elements: readonly TextElement[],
  more: number,
): Request {
  const raw = elements.flatMap(element => toRaw(shape, element))
  const [first] = elements
  const what = elements.length === 1 && first ? first.key : `(${elements.length} elements)`
  const attrs = {
    table,
    set,
    elements: raw.map(({ key, keyEnd, data, end }) => ({
      key: { value: key },
      ...(keyEnd && { keyEnd: { value: keyEnd } }),
      ...(data && { data: { value: data } }),
      ...(end && { flags: elementFlags.intervalEnd }),
    })),
  }
  return request(of, { family: families[family] }, attrs, { op, object: `element ${set} ${what}`, flags: more })
}
