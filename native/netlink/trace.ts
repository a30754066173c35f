/** A message for people, in the words of its table: `newlink flags=1 change=1 ifname=wv1 linkinfo.kind=veth`. */
import { parse, walk, type Message } from './message.ts'

/** Of one frame as it is sent. Fields of the header that are 0 are left out. */
export function printMessage<H, A>(of: Message<H, A>, bytes: Uint8Array): string {
  const [frame] = walk(bytes)
  if (!frame) return of.name
  const { header, attrs } = parse(of, frame.payload)
  const head = words(header, '').filter(word => !word.endsWith('=0'))
  return [of.name, ...head, ...words(attrs, '')].join(' ')
}

function words(value: unknown, path: string): readonly string[] {
  if (value instanceof Uint8Array) return [`${path}=0x${Buffer.from(value).toString('hex')}`]
  if (typeof value !== 'object' || value === null) return [`${path}=${String(value)}`]
  return Object.entries(value).flatMap(([name, item]) => words(item, path === '' ? name : `${path}.${name}`))
}
