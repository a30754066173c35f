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
import { NetlinkSocket, protocols } from '../netlink/socket.ts'
import { list } from './listing.ts'
import { getChain, getElements, getRule, getSet, getTable, newElements, set } from './messages.ts'

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
  const dump = (of: Parameters<typeof list>[1], attrs?: Uint8Array): Promise<Program['messages']> =>
    list(socket, of, table.family, attrs)
  const sets = (await dump(getSet)).map((item, index) => ({ ...item, attrs: identified(item.attrs, index + 1) }))
  const constants: Program['messages'][number][] = []
  for (const item of sets) {
    const { name } = set.decode(Buffer.from(item.attrs, 'base64'))
    // Only sets that nft made for a rule (`{ tcp, udp }`) have elements here.
    const found = await dump(getElements, getElements.attrs.encode({ table: table.name, set: name }))
    constants.push(...found.filter(({ attrs }) => elementsIn(attrs) > 0))
  }
  return [...(await dump(getTable)), ...sets, ...constants, ...(await dump(getChain)), ...(await dump(getRule))]
}

function elementsIn(attrs: string): number {
  return newElements.attrs.decode(Buffer.from(attrs, 'base64')).elements?.length ?? 0
}

/** The kernel wants a number for every new set, and shows none. */
function identified(attrs: string, id: number): string {
  return Buffer.concat([Buffer.from(attrs, 'base64'), set.encode({ id })]).toString('base64')
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
