/** Compiled rule sets: mark bits filled in, identified, and turned into the messages that load them. */
import { createHash } from 'node:crypto'
import type { Program, Ruleset } from '../kernel/resource.ts'
import { flags, frame, message } from '../netlink/codec.ts'
import { nfgenmsg } from '../netlink/nfnetlink.ts'
import { delTable, destroyTable, newTable, tableFlags, verbatim } from './messages.ts'

export interface Marks {
  readonly allowed: number
  readonly hairpin: number
  /** Packets of which the bits in `acceptMask` have `acceptValue` are let in; a mask of 0 means none. */
  readonly acceptValue: number
  readonly acceptMask: number
}

/** Stand in for the configured bits in a compiled program. Their bytes and those of their complements are all unlike. */
export const placeholders: Marks = {
  allowed: 0x5a17c0de,
  hairpin: 0x3c96e4b1,
  acceptValue: 0x2e71d98c,
  acceptMask: 0x74a35f1b,
}
const names = ['allowed', 'hairpin', 'acceptValue', 'acceptMask'] as const

/** NFTA_DATA_VALUE of 4 bytes: what comes before a mark in any expression. */
const valueHeader = Buffer.from([8, 0, 1, 0])

/** The program with the bits of the configuration. Every place is a whole register value or its complement. */
export function fillMarks(program: Program, marks: Marks): Program {
  // Under an empty mask every packet would have the value 0, and none has another one.
  const wanted: Marks = marks.acceptMask ? marks : { ...marks, acceptMask: 0, acceptValue: 1 }
  const pairs = names.flatMap(name => [
    [registerValue(placeholders[name]), registerValue(wanted[name])] as const,
    [registerValue(~placeholders[name]), registerValue(~wanted[name])] as const,
  ])
  return {
    ...program,
    messages: program.messages.map(message => {
      const compiled = Buffer.from(message.attrs, 'base64')
      const filled = Buffer.from(compiled)
      for (const [from, to] of pairs) {
        for (let at = compiled.indexOf(from); at >= 0; at = compiled.indexOf(from, at + 1)) filled.set(to, at)
      }
      return { ...message, attrs: filled.toString('base64') }
    }),
  }
}

function registerValue(mark: number): Buffer {
  const value = Buffer.alloc(8)
  value.set(valueHeader)
  value.writeInt32LE(mark | 0, 4)
  return value
}

/** SHA-256 in hex digits of all that the program loads. */
export function digestOf(program: Program): string {
  return createHash('sha256')
    .update(JSON.stringify([program.messages, program.sets]))
    .digest('hex')
}

/** How a table is taken and held; `owned` needs the kernel's `flags owner, persist` (6.9). */
export interface Hold {
  readonly owned: boolean
  /** Has the kernel messages that delete and forgive what is missing (6.3)? Every one that has owners does. */
  readonly destroy: boolean
}

/** Messages, in order, that put the rule set in the place of whatever the table was. Without elements. */
export function replayFrames(ruleset: Ruleset, hold: Hold): readonly Uint8Array[] {
  const [head, ...rest] = ruleset.program.messages
  if (head?.type !== newTable.type) throw new TypeError('a program begins with its table')
  const header = { family: head.family }
  const name = { name: ruleset.table }
  const fresh = {
    ...name,
    ...(hold.owned && { flags: tableFlags.owner | tableFlags.persist }),
    userdata: commentUserdata(commentOf(ruleset.digest)),
  }
  const clear = hold.destroy
    ? [frame(destroyTable, header, name)]
    : [frame(newTable, header, name, { flags: flags.create }), frame(delTable, header, name)]
  return [...clear, frame(newTable, header, fresh, { flags: flags.create }), ...rest.map(replayed)]
}

function replayed({ type, family, attrs }: Program['messages'][number]): Uint8Array {
  const as = message({ name: 'replay', type, header: nfgenmsg, attrs: verbatim })
  return frame(as, { family }, Buffer.from(attrs, 'base64'), { flags: flags.create | flags.append })
}

/** What `nft list` shows as the table's comment, and readTable gives back. */
export function commentOf(digest: string): string {
  return `weft ${digest}`
}

export function digestInComment(comment: string): string | undefined {
  return /^weft ([0-9a-f]{64})$/.exec(comment)?.[1]
}

/** One entry of libnftnl's user data: type 0 is a comment, NUL-terminated. */
export function commentUserdata(comment: string): Uint8Array {
  const text = Buffer.from(`${comment}\0`)
  return Buffer.concat([Uint8Array.of(0, text.length), text])
}

export function commentInUserdata(userdata: Uint8Array): string | undefined {
  for (let at = 0; at + 2 <= userdata.length;) {
    const [type = 0, length = 0] = userdata.subarray(at, at + 2)
    if (type === 0) return Buffer.from(userdata).toString('utf8', at + 2, at + 2 + Math.max(0, length - 1))
    at += 2 + length
  }
  return undefined
}
