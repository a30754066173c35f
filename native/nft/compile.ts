/**
 * Rule sets to programs, by the `nft` program and a look at what it made of them in the kernel. For development and the
 * check only: the daemon loads the programs that were checked in.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nftDocument, nftSets, type NftTable } from '../kernel/nftables.ts'
import type { Program, SetShape } from '../kernel/resource.ts'
import { message, type Message } from '../netlink/codec.ts'
import { nfgenmsg } from '../netlink/nfnetlink.ts'
import { NetlinkSocket, protocols } from '../netlink/socket.ts'
import { families, getChain, getElements, getRule, getSet, getTable, newElements, set, verbatim } from './messages.ts'

type Getter = Pick<Message<unknown, unknown>, 'name' | 'type' | 'reply'>

/** Attributes that a program keeps, by the type of the message that carries them. The others are the kernel's own. */
const kept: Readonly<Record<number, readonly number[]>> = {
  [reply(getTable)]: [1], // name
  [reply(getChain)]: [1, 3, 4, 5, 7], // table, name, hook, policy, type
  [reply(getSet)]: [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13], // table, name, flags, key, datum, policy, description, timeout, user data
  [reply(getRule)]: [1, 2, 4, 7], // table, chain, expressions, user data
  [newElements.type]: [1, 2, 3], // table, set, elements
}

/** Version of the `nft` program: `1.0.6`. Throws when there is none. */
export function nftVersion(): string {
  const text = execFileSync('nft', ['--version'], { encoding: 'utf8' })
  return /v(\d+(?:\.\d+)+)/.exec(text)?.[1] ?? text.trim()
}

/** SHA-256 in hex digits of what is given to `nft`: tells on any machine whether a program was made from these rules. */
export function sourceDigest(table: NftTable): string {
  return createHash('sha256')
    .update(nftSets(table))
    .update(JSON.stringify(nftDocument(table)))
    .digest('hex')
}

/** In the network namespace of this process, which must have no tables, and has none afterwards. */
export async function compileHere(table: NftTable): Promise<Program> {
  await using socket = new NetlinkSocket(protocols.netfilter)
  const tables = await socket.dump(getTable, {}, {}, { op: 'list', object: 'tables' })
  if (tables.length > 0) throw new Error('this network namespace has nftables tables: compile in an empty one')
  loadHere(table)
  const messages = await read(socket, table)
  execFileSync('nft', ['delete', 'table', table.family, table.name])
  return { messages, sets: Object.fromEntries(table.sets.map(item => shapeOf(item))) }
}

/** What `nft` makes of the table, in the network namespace of this process. */
export function loadHere(table: NftTable): void {
  // Files, because Node's pipes are sockets, which nft 1.0.6 cannot open as /dev/stdin.
  const folder = mkdtempSync(join(tmpdir(), 'weft-nft-'))
  try {
    writeFileSync(join(folder, 'sets.nft'), nftSets(table))
    writeFileSync(join(folder, 'rules.json'), JSON.stringify(nftDocument(table)))
    execFileSync('nft', ['-f', join(folder, 'sets.nft')])
    execFileSync('nft', ['-j', '-f', join(folder, 'rules.json')])
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** In an order in which everything that is referred to is there: jumps name chains, look-ups name sets. */
async function read(socket: NetlinkSocket, table: NftTable): Promise<Program['messages']> {
  const family = families[table.family]
  const dump = async (of: Getter, attrs: Uint8Array): Promise<Program['messages']> => {
    const as = message({ name: of.name, type: of.type, reply: reply(of), header: nfgenmsg, attrs: verbatim })
    const entries = await socket.dump(as, { family }, attrs, { op: 'read', object: `${of.name} ${table.name}` })
    return entries.map(entry => ({
      type: reply(of),
      family,
      attrs: Buffer.from(only(entry.attrs, kept[reply(of)] ?? [])).toString('base64'),
    }))
  }
  const none = new Uint8Array()
  const sets = (await dump(getSet, none)).map((item, index) => ({ ...item, attrs: identified(item.attrs, index + 1) }))
  const constants: Program['messages'][number][] = []
  for (const item of sets) {
    const { name } = set.decode(Buffer.from(item.attrs, 'base64'))
    // Only sets that nft made for a rule (`{ tcp, udp }`) have elements here.
    const found = await dump(getElements, getElements.attrs.encode({ table: table.name, set: name }))
    constants.push(...found.filter(({ attrs }) => elementsIn(attrs) > 0))
  }
  return [
    ...(await dump(getTable, none)),
    ...sets,
    ...constants,
    ...(await dump(getChain, none)),
    ...(await dump(getRule, none)),
  ]
}

function reply(of: Omit<Getter, 'name'>): number {
  return of.reply ?? of.type
}

function elementsIn(attrs: string): number {
  return newElements.attrs.decode(Buffer.from(attrs, 'base64')).elements?.length ?? 0
}

/** The kernel wants a number for every new set, and shows none. */
function identified(attrs: string, id: number): string {
  return Buffer.concat([Buffer.from(attrs, 'base64'), set.encode({ id })]).toString('base64')
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

function shapeOf({ name, type, map, flags = [] }: NftTable['sets'][number]): [string, SetShape] {
  const shape = {
    key: type,
    ...(map && { data: map }),
    ...(flags.includes('interval') && { interval: true }),
    ...(flags.includes('dynamic') && { learned: true }),
  }
  return [name, shape]
}
