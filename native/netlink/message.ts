/** Messages in their frames. Source: include/uapi/linux/netlink.h, struct nlmsghdr. */
import type { AttrTable, Struct } from './codec.ts'
import { viewOf } from './field.ts'

const headerSize = 16

export const flags = {
  request: 0x1,
  multi: 0x2,
  ack: 0x4,
  dumpInterrupted: 0x10,
  /** Of GET requests: NLM_F_ROOT | NLM_F_MATCH. */
  dump: 0x300,
  /** Of NEW requests. */
  replace: 0x100,
  excl: 0x200,
  create: 0x400,
  append: 0x800,
  /** Of DEL requests: all that match. */
  bulk: 0x200,
} as const

export interface Message<H, A> {
  /** For errors and traces: `newlink`. */
  readonly name: string
  readonly type: number
  /** Type of the answer to a GET; `type` itself when absent. */
  readonly reply?: number
  readonly header: Struct<H>
  readonly attrs: AttrTable<A>
}

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly seq: number
  /** Port id of the sender; 0 is the kernel. */
  readonly pid: number
  /** Header and attributes; a view of the buffer. */
  readonly payload: Uint8Array
}

export function message<H, A>(definition: Message<H, A>): Message<H, A> {
  return definition
}

/** One message. NLM_F_REQUEST is always set. */
export function frame<H, A>(
  of: Message<H, A>,
  header: Partial<H>,
  attrs: A,
  more: { readonly flags?: number; readonly seq?: number } = {},
): Uint8Array {
  const head = of.header.encode(header)
  const tail = of.attrs.encode(attrs)
  const bytes = new Uint8Array(headerSize + head.length + tail.length)
  bytes.set(head, headerSize)
  bytes.set(tail, headerSize + head.length)
  const view = viewOf(bytes)
  view.setUint32(0, bytes.length, true)
  view.setUint16(4, of.type, true)
  view.setUint16(6, (more.flags ?? 0) | flags.request, true)
  view.setUint32(8, more.seq ?? 0, true)
  return bytes
}

/** The messages of a buffer. Throws RangeError when one runs past the end. */
export function* walk(buffer: Uint8Array): Iterable<Frame> {
  const view = viewOf(buffer)
  for (let at = 0; at + headerSize <= buffer.length;) {
    const length = view.getUint32(at, true)
    if (length < headerSize || at + length > buffer.length) throw new RangeError('a message runs past its buffer')
    yield {
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      seq: view.getUint32(at + 8, true),
      pid: view.getUint32(at + 12, true),
      payload: buffer.subarray(at + headerSize, at + length),
    }
    at += (length + 3) & ~3
  }
}

export function parse<H, A>(of: Message<H, A>, payload: Uint8Array): { readonly header: H; readonly attrs: A } {
  return { header: of.header.decode(payload), attrs: of.attrs.decode(payload.subarray(of.header.size)) }
}

/** Name of the attribute at an offset of the whole message, as extended acks report it: `linkinfo.data.id`. */
export function attributeAt<H, A>(of: Message<H, A>, sent: Uint8Array, offset: number): string | undefined {
  const begin = headerSize + of.header.size
  if (offset < begin) return undefined
  return of.attrs.locate?.(viewOf(sent), begin, sent.length - begin, offset, {})
}
