/**
 * The filter tables of the old iptables, which the kernel keeps apart from nf_tables. Changed by the host's own program
 * only: a table travels as a whole, in a form that belongs to it.
 */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import type { AcceptRule } from '../kernel/resource.ts'
import { KernelError } from '../netlink/errors.ts'
import { acceptComment } from './accept.ts'
import { isPlaced, placeIn, userChain, type Part } from './placing.ts'
import type { ForeignFilter } from './read.ts'

const families = ['ip', 'ip6'] as const
type Family = (typeof families)[number]

/** Tables in use; reading them does not load any. */
export const namesFile = { ip: '/proc/net/ip_tables_names', ip6: '/proc/net/ip6_tables_names' } as const
const programs = { ip: ['iptables-legacy', 'iptables'], ip6: ['ip6tables-legacy', 'ip6tables'] } as const
/** Another program may hold the lock of the tables. */
const lockSeconds = '5'
const timeoutMs = 10_000
/** iptables' exit status for "there is no such rule", "no such chain" and the like. */
const notThere = 1

export interface LegacyFilter extends ForeignFilter {
  /** All of the table, as `iptables -S` writes it. */
  readonly lines: readonly string[]
}

/** Families whose old `filter` table is in use, and what it does. Rejects with KernelError when it cannot be read. */
export async function legacyFilters(): Promise<readonly ForeignFilter[]> {
  return (await readLegacy()).map(({ family, drops, dockerUser }) => ({ family, drops, dockerUser }))
}

/** The same with all rules. */
export async function readLegacy(): Promise<readonly LegacyFilter[]> {
  const found: LegacyFilter[] = []
  for (const family of families) {
    if (!(await isInUse(family))) continue
    const { output } = await run(family, { op: 'list', object: `old ${family} filter table` }, ['-S'])
    const lines = output.split('\n')
    const [drops, dockerUser] = [lines.includes('-P FORWARD DROP'), lines.includes('-N DOCKER-USER')]
    found.push({ family, drops, dockerUser, lines })
  }
  return found
}

/** Accept rules of weft in a chain, whatever their bits. */
export function legacyAccepts({ family, lines }: LegacyFilter, chain: string): readonly AcceptRule[] {
  const rules = rulesIn(chain, lines)
  const parts = rules.map(partOf)
  const found = rules.flatMap((line, index) => {
    const mark = markOf(line)
    return mark === undefined ? [] : [{ mark, placed: isPlaced(chain, parts, index) }]
  })
  return [...Map.groupBy(found, ({ mark }) => mark)].map(([mark, all]) => {
    const misplaced = all.some(({ placed }) => !placed)
    return { type: 'accept', family, chain, backend: 'legacy', mark, ...(misplaced && { misplaced }) }
  })
}

export async function hasLegacyAccept(rule: AcceptRule): Promise<boolean> {
  const family = familyOf(rule)
  if (!(await isInUse(family))) return false
  const { status } = await run(family, about('check', rule), ['-C', ...specification(rule)], notThere)
  return status === 0
}

/** In its place, and nowhere else in its chain. Rejects with KernelError. */
export async function insertLegacyAccept(rule: AcceptRule): Promise<void> {
  const { chain, mark } = rule
  const rules = await listChain(rule)
  const parts = rules.map(partOf)
  const place = placeIn(chain, parts)
  const own = rules.flatMap((line, index) => (markOf(line) === mark ? [index] : []))
  const astray = own.filter(index => !isPlaced(chain, parts, index))
  // The program takes out the first one that is alike. What is never reached can go at once.
  const dead = astray.some(index => index >= place)
  if (dead) await removeLegacyAccept(rule)
  if (dead || own.length === astray.length) {
    const before = dead ? own.filter(index => index < place).length : 0
    const [name = '', ...condition] = specification(rule)
    await run(familyOf(rule), about('insert', rule), ['-I', name, String(place - before + 1), ...condition])
  }
  for (let left = dead ? 0 : astray.length; left > 0; left -= 1) await removeOne(rule)
}

/** All of them; none is no error. Rejects with KernelError. */
export async function removeLegacyAccept(rule: AcceptRule): Promise<void> {
  while (await hasLegacyAccept(rule)) {
    await removeOne(rule)
  }
}

async function removeOne(rule: AcceptRule): Promise<void> {
  await run(familyOf(rule), about('remove', rule), ['-D', ...specification(rule)], notThere)
}

/** As `iptables -S` writes them. None when there is no such chain. */
async function listChain(rule: AcceptRule): Promise<readonly string[]> {
  const family = familyOf(rule)
  if (!(await isInUse(family))) return []
  const { output } = await run(family, about('list', rule), ['-S', rule.chain], notThere)
  return rulesIn(rule.chain, output.split('\n'))
}

function rulesIn(chain: string, lines: readonly string[]): readonly string[] {
  return lines.filter(line => line.startsWith(`-A ${chain} `))
}

/** The bits of weft's rule. Undefined: it is another rule. */
function markOf(line: string): number | undefined {
  const [, chain = '', bits] = /^-A (\S+) .* --mark (0x[0-9a-f]+)/.exec(line) ?? []
  const mark = Number(bits)
  return line === `-A ${specification({ chain, mark }).join(' ')}` ? mark : undefined
}

function partOf(line: string): Part {
  if (markOf(line) !== undefined) return 'own'
  if (line.endsWith(` -j ${userChain}`)) return 'jump'
  return /^-A \S+( -m comment --comment ("[^"]*"|\S+))? -j RETURN$/.test(line) ? 'end' : 'other'
}

function specification({ chain, mark }: Pick<AcceptRule, 'chain' | 'mark'>): readonly string[] {
  const bits = `0x${mark.toString(16)}`
  const masked = mark === 0xffffffff ? bits : `${bits}/${bits}`
  // As `iptables -S` writes it.
  return [chain, '-m', 'mark', '--mark', masked, '-m', 'comment', '--comment', acceptComment, '-j', 'ACCEPT']
}

function familyOf({ family }: AcceptRule): Family {
  if (family === 'inet') throw new TypeError('the old iptables has no tables for both families')
  return family
}

interface About {
  readonly op: string
  readonly object: string
}

function about(op: string, { family, chain }: AcceptRule): About {
  return { op, object: `accept rule in old ${family} filter ${chain}` }
}

async function isInUse(family: Family): Promise<boolean> {
  try {
    return (await readFile(namesFile[family], 'utf8')).split('\n').includes('filter')
  } catch (error) {
    // The kernel was built without the old tables.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
}

interface Result {
  /** undefined: killed, or it could not be started. */
  readonly status: number | undefined
  readonly code: string | undefined
  readonly output: string
  readonly complaint: string
}

async function run(family: Family, what: About, words: readonly string[], tolerated?: number): Promise<Result> {
  const result = await spawn(await programOf(family, what), ['-w', lockSeconds, ...words])
  if (result.status === 0 || (tolerated !== undefined && result.status === tolerated)) return result
  const kernelText = result.complaint.trim() || `ended with ${result.status ?? 'a signal'}`
  throw new KernelError({ ...what, errno: result.code ?? 'EIO', kernelText }, '')
}

/** Programs that were found, and by their names cannot become the other kind. */
const known = new Set<string>()

/** `iptables` alone may be either kind; before 1.8 there was only this one, and it did not say so. */
async function programOf(family: Family, what: About): Promise<string> {
  for (const program of programs[family]) {
    if (known.has(program)) return program
    const { status, output } = await spawn(program, ['--version'])
    if (status !== 0 || output.includes('nf_tables')) continue
    if (program.endsWith('-legacy')) known.add(program)
    return program
  }
  const kernelText = `none of ${programs[family].join(', ')} is the old kind of iptables`
  throw new KernelError({ ...what, errno: 'ENOENT', kernelText }, '')
}

function spawn(program: string, words: readonly string[]): Promise<Result> {
  return new Promise(resolve => {
    execFile(program, words, { timeout: timeoutMs }, (error, output, complaint) => {
      const code = error?.code
      resolve({
        status: error ? (typeof code === 'number' ? code : undefined) : 0,
        code: typeof code === 'string' ? code : undefined,
        output,
        complaint,
      })
    })
  })
}
