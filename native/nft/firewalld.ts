/**
 * firewalld rejects what is forwarded between links that no zone or policy of its own joins, in a table that from 2.3 on
 * only it can change: no accept rule could stand there. So weft's bridges are a zone of their own, as those of the engine
 * are, with a policy that lets traffic in; what weft does not want has been dropped by its own rules before. Both are
 * files of firewalld's, and outlast every reload. Changed by the host's own program only.
 */
import { execFile } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AcceptRule } from '../kernel/resource.ts'
import { KernelError } from '../netlink/errors.ts'
import { NetlinkSocket, protocols } from '../netlink/socket.ts'
import { families, getRule, getTable, type Expression } from './messages.ts'
import { absentIsEmpty } from './read.ts'

const table = 'firewalld'
const zone = 'weft'
/** Every link that weft names itself; firewalld's own way to say so. */
export const ownBridges = 'wb+'

const files: Readonly<Record<string, string>> = {
  [`/etc/firewalld/zones/${zone}.xml`]: `<?xml version="1.0" encoding="utf-8"?>
<zone target="ACCEPT">
  <short>${zone}</short>
  <description>Networks of containers. Written by weft, which decides what leaves them.</description>
  <interface name="${ownBridges}"/>
</zone>
`,
  [`/etc/firewalld/policies/${zone}-forwarding.xml`]: `<?xml version="1.0" encoding="utf-8"?>
<policy target="ACCEPT">
  <short>${zone}-forwarding</short>
  <description>Into networks of containers. Written by weft, which decides what enters them.</description>
  <ingress-zone name="ANY"/>
  <egress-zone name="${zone}"/>
</policy>
`,
}

const inet = { family: families.inet }
const metaIifname = 6
const cmpEqual = 0

/**
 * Links in weft's zone, as the rules in the kernel say: `wb+`, `lan0`. Undefined: firewalld does not run, or not with
 * nftables. In the network namespace of the calling thread.
 */
export async function zoneLinks(): Promise<readonly string[] | undefined> {
  await using socket = new NetlinkSocket(protocols.netfilter)
  const about = { op: 'list', object: `rules of table ${table}`, absent: ['ENOENT'] }
  if (!socket.requestSync(getTable, inet, { name: table }, about)) return undefined
  const rules = await absentIsEmpty(socket.dump(getRule, inet, { table }, about))
  return [...new Set(rules.flatMap(({ attrs }) => linkOf(attrs.expressions ?? []) ?? []))]
}

/** The link of a rule that sends what it brings into the zone: `iifname "wb*" jump filter_FWD_weft...`. */
export function linkOf(expressions: readonly Expression[]): string | undefined {
  const [meta, cmp, ...rest] = expressions
  if (meta?.name !== 'meta' || meta.data?.metaKey !== metaIifname) return undefined
  if (cmp?.name !== 'cmp' || cmp.data?.operator !== cmpEqual) return undefined
  const last = rest.at(-1)
  const target = last?.name === 'immediate' ? last.data?.data?.verdict?.chain : undefined
  if (target !== `filter_FWD_${zone}` && !target?.startsWith(`filter_FWD_${zone}_`)) return undefined
  const name = Buffer.from(cmp.data.data?.value ?? [])
  const end = name.indexOf(0)
  return end < 0 ? `${name.toString()}+` : name.toString('utf8', 0, end)
}

/** Rejects with KernelError. Loading the zone for the first time reloads firewalld, which takes seconds. */
export async function joinZone(link: string): Promise<void> {
  const about = { op: 'add', object: `${link} to firewalld's zone ${zone}` }
  for (const [path, text] of Object.entries(files)) await writeUnlessThere(path, text)
  await answers()
  // It may have loaded the zone by itself meanwhile.
  const listed = await ask(about, [`--zone=${zone}`, '--list-interfaces'], [invalidZone])
  if (listed === undefined) await ask(about, ['--reload'])
  if (link === ownBridges || listed?.split(/\s+/).includes(link)) return
  await ask(about, [`--zone=${zone}`, `--add-interface=${link}`], [alreadyThere, alreadySet])
}

/** Its rules are there before it can be asked, when it starts. */
async function answers(): Promise<void> {
  const about = { op: 'ask', object: 'firewalld' }
  for (
    let attempt = 1;
    attempt < attempts && (await ask(about, ['--state'], [notRunning])) === undefined;
    attempt += 1
  ) {
    await sleep(attemptPauseMs)
  }
}

/** Those of weft's own naming stay for the next network. A firewalld that does not run has forgotten the others. */
export async function leaveZone(link: string): Promise<void> {
  if (link === ownBridges || !(await zoneLinks())?.includes(link)) return
  const about = { op: 'remove', object: `${link} from firewalld's zone ${zone}` }
  await ask(
    about,
    [`--zone=${zone}`, `--remove-interface=${link}`],
    [notEnabled, unknownInterface, invalidZone, notRunning],
  )
}

/** For `weft uninstall`: the zone goes with its files. A line for each that was removed; none where there was none. */
export async function removeZone(): Promise<readonly string[]> {
  const removed: string[] = []
  for (const path of Object.keys(files)) {
    if ((await contentOf(path)) === undefined) continue
    await rm(path, { force: true })
    removed.push(`removed ${path}`)
  }
  if (removed.length > 0 && (await zoneLinks())) {
    await ask({ op: 'remove', object: `firewalld's zone ${zone}` }, ['--reload'], [notRunning])
  }
  return removed
}

/** Whoever administers the host may have changed it. */
async function writeUnlessThere(path: string, text: string): Promise<void> {
  if ((await contentOf(path)) !== undefined) return
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text, { mode: 0o644 })
}

async function contentOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw cause
  }
}

/** Exit statuses of firewall-cmd. Source: firewalld, src/firewall/errors.py. */
const alreadyThere = 11
const alreadySet = 16
const notEnabled = 12
const unknownInterface = 17
const invalidZone = 112
const notRunning = 252
/** A reload of a large configuration on a busy host. */
const timeoutMs = 60_000
const attempts = 60
const attemptPauseMs = 500

/** What it printed; undefined: it ended with a status that is tolerated. */
function ask(
  about: { readonly op: string; readonly object: string },
  words: readonly string[],
  tolerated: readonly number[] = [],
): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    execFile('firewall-cmd', words, { timeout: timeoutMs }, (error, output, complaint) => {
      const code = error?.code
      if (!error) resolve(output)
      else if (typeof code === 'number' && tolerated.includes(code)) resolve(undefined)
      else {
        const kernelText = complaint.trim() || error.message
        reject(new KernelError({ ...about, errno: typeof code === 'string' ? code : 'EIO', kernelText }, ''))
      }
    })
  })
}

/**
 * Changes of the zone, one after the other, for which nobody waits: firewalld may take its time, and may hang. What is
 * under way is taken to be there; a failure is told at the next try.
 */
export class Zone {
  readonly #underWay = new Set<string>()
  readonly #failures = new Map<string, Error>()
  #last: Promise<void> = Promise.resolve()

  isUnderWay(link: string): boolean {
    return this.#underWay.has(link)
  }

  /** Tries it, and throws what went wrong with this link the last time. */
  join({ chain: link }: AcceptRule): void {
    if (this.#underWay.has(link)) return
    const failure = this.#failures.get(link)
    this.#begin(link, joinZone)
    if (failure) throw failure
  }

  leave({ chain: link }: AcceptRule): void {
    this.#begin(link, leaveZone)
  }

  #begin(link: string, work: (link: string) => Promise<void>): void {
    this.#failures.delete(link)
    this.#underWay.add(link)
    this.#last = this.#last.then(async () => {
      try {
        await work(link)
      } catch (cause) {
        this.#failures.set(link, cause instanceof Error ? cause : new Error(String(cause)))
      } finally {
        this.#underWay.delete(link)
      }
    })
  }
}
