/** What a table consists of, as the kernel shows it and a program keeps it. */
import type { Program } from '../kernel/resource.ts'
import { message, type Message } from '../netlink/codec.ts'
import { nfgenmsg } from '../netlink/nfnetlink.ts'
import type { NetlinkSocket } from '../netlink/socket.ts'
import { families, getChain, getRule, getSet, getTable, newElements, verbatim } from './messages.ts'

type Getter = Pick<Message<unknown, unknown>, 'name' | 'type' | 'reply'>
type Entry = Program['messages'][number]

/** Attributes that a program keeps, by the type of the message that carries them. The others are the kernel's own. */
const kept: Readonly<Record<number, readonly number[]>> = {
  [replyOf(getTable)]: [1], // name
  [replyOf(getChain)]: [1, 3, 4, 5, 7], // table, name, hook, policy, type
  [replyOf(getSet)]: [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13], // table, name, flags, key, datum, policy, description, timeout, user data
  [replyOf(getRule)]: [1, 2, 4, 7], // table, chain, expressions, user data
  [newElements.type]: [1, 2, 3], // table, set, elements
}

/** Everything of that sort in the table; `attrs`: what is asked for, encoded. */
export async function list(
  socket: Pick<NetlinkSocket, 'dump'>,
  of: Getter,
  family: keyof typeof families,
  attrs: Uint8Array = new Uint8Array(),
): Promise<readonly Entry[]> {
  const as = message({ name: of.name, type: of.type, reply: replyOf(of), header: nfgenmsg, attrs: verbatim })
  const number = families[family]
  const entries = await socket.dump(as, { family: number }, attrs, { op: 'list', object: of.name })
  return entries.map(entry => ({
    type: replyOf(of),
    family: number,
    attrs: Buffer.from(only(entry.attrs, kept[replyOf(of)] ?? [])).toString('base64'),
  }))
}

/** Chains and rules as one text: two that are alike do the same to every packet. */
export function contentsOf(messages: readonly Entry[]): string {
  const types = [replyOf(getChain), replyOf(getRule)]
  return types.flatMap(type => messages.filter(each => each.type === type).map(({ attrs }) => attrs)).join(' ')
}

function replyOf(of: Omit<Getter, 'name'>): number {
  return of.reply ?? of.type
}

/** The attributes of these numbers, in the order in which they came. */
function only(attrs: Uint8Array, numbers: readonly number[]): Uint8Array {
  const view = Buffer.from(attrs.buffer, attrs.byteOffset, attrs.length)
  const parts: Buffer[] = []
  for (let at = 0; at + 4 <= view.length;) {
    const padded = (view.readUInt16LE(at) + 3) & ~3
    if (numbers.includes(view.readUInt16LE(at + 2) & 0x3fff)) parts.push(view.subarray(at, at + padded))
    at += padded
  }
  return Buffer.concat(parts)
}
