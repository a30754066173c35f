/** Runs test files inside the guest, all in one boot, and brings back what they reported. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { cacheDirectory, engineRoot, imageTar } from '../../../scripts/engines.ts'
import { guestKit } from '../../../scripts/guest.ts'
import { accelerator, runMachine } from './machine.ts'
import { guestVariable, type Outcome } from './outcome.ts'
import { initText, shares, startText } from './script.ts'

export interface GuestRun {
  /** For scripts/test.ts: the layer's name, or files. */
  readonly what: readonly string[]
  readonly timeoutSeconds: number
  /** Of the guest. Those of a busy machine wait for each other, and so do two of the guest: longer than one takes. */
  readonly processors: number
  /** Called with a line of the report at a time, and of progress. */
  readonly print: (line: string) => void
}

const exec = promisify(execFile)
const prefix = 'weft-guest-'
const checkout = dirname(dirname(dirname(import.meta.dirname)))
/**
 * What the engine asks for, in one go: one by one as it does it they take five times as long. weft's own are left to the
 * kernel, which loads them when the rules arrive. A test that needs more runs `modprobe`.
 */
const modules = (
  'bridge br_netfilter nf_conntrack_netlink nft_chain_nat nft_compat veth xfrm_user ' +
  'xt_MASQUERADE xt_addrtype xt_conntrack xt_mark xt_nat xt_tcpudp'
).split(' ')
/** What programs and tests of the guest bring in; none of it does anything when it is imported. */
const later = ['daemon/run.ts', 'daemon/commands/index.ts', 'test/support/guest/place.ts', 'test/support/scene.ts']
const summary = /^(\d+) passed, (\d+) failed$/

/** A guest that does not boot, hangs or dies is one failure, told with the last lines of its console. */
export async function runInGuest(run: GuestRun): Promise<Outcome> {
  const { print } = run
  await imageTar(print)
  const [kit, root, cache] = [await guestKit(print), await engineRoot('20.10', print), cacheDirectory()]
  await sweep()
  const directory = await mkdtemp(join(tmpdir(), `${prefix}${process.pid}-`))
  try {
    const started = Date.now()
    const [out, console] = [join(directory, 'out'), join(directory, 'console')]
    await mkdir(out)
    const command = ['scripts/node', 'scripts/test.ts', ...run.what]
    const script = { ...run, kit: kit.root, modules, checkout, cache, env: variables(), command }
    await compileHere()
    await writeFile(join(out, 'init'), initText(script))
    await writeFile(join(out, 'start'), startText(script))

    const accel = await accelerator(kit, directory)
    const report = follow(join(out, 'report'), print)
    const watch = setInterval(() => {
      report.look()
    }, 500)
    const ended = await runMachine({
      ...{ kit, accelerator: accel, console, processors: run.processors },
      shares: {
        [shares.root]: { path: root },
        [shares.checkout]: { path: checkout },
        [shares.cache]: { path: cache },
        [shares.out]: { path: out, writable: true },
      },
      // The guest ends itself first: what it says is more than silence.
      timeoutSeconds: run.timeoutSeconds + 30,
    }).finally(() => {
      clearInterval(watch)
    })
    report.look()
    const seconds = ((Date.now() - started) / 1000).toFixed(1)
    const where = `guest: Linux ${textOf(join(out, 'up')).trim() || '?'} by ${accel}`
    const [, passed, failed] = summary.exec(report.last()) ?? []
    if (ended && passed !== undefined && failed !== undefined && textOf(join(out, 'status')) !== '') {
      print(`${where}: booted, tested and switched off in ${seconds} s`)
      return { passed: Number(passed), failed: Number(failed) }
    }
    print(
      `FAILED  ${where}: ${ended ? 'ended without a result' : 'hung'} after ${seconds} s; its console's last lines:`,
    )
    print(textOf(console).trimEnd().split('\n').slice(-25).join('\n'))
    return { passed: 0, failed: 1 }
  } finally {
    const logs = process.env['WEFT_LAB_LOGS']
    if (logs) await cp(directory, join(logs, basename(directory)), { recursive: true })
    await rm(directory, { recursive: true, force: true })
  }
}

/** What the tests and the lab read: the same as outside. */
function variables(): Readonly<Record<string, string>> {
  const ours = Object.entries(process.env).filter(([name]) => name.startsWith('WEFT_'))
  return { ...Object.fromEntries(ours.map(([name, value]) => [name, value ?? ''])), [guestVariable]: '1' }
}

/** Prints whole lines as they come. The last one is the sum, and not printed. */
function follow(path: string, print: (line: string) => void): { look: () => void; last: () => string } {
  let shown = 0
  let last = ''
  return {
    look() {
      for (const line of textOf(path).split('\n').slice(shown, -1)) {
        shown += 1
        last = line
        if (!summary.test(line)) print(line)
      }
    },
    last: () => last,
  }
}

/** A file's text; empty when it is not there. */
function textOf(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}

/**
 * Node keeps compiled sources in the checkout, also for the guest: there each file costs seventeen times what it costs
 * here. Main programs are only asked for their version; what they bring in later is imported by name.
 */
async function compileHere(): Promise<void> {
  const script = later.map(path => `await import(${JSON.stringify(join(checkout, path))})`).join('\n')
  await Promise.all([
    exec(join(checkout, 'scripts/node'), ['--input-type=module', '-e', `${script}\nprocess.exit()`]),
    exec(join(checkout, 'bin/weftd'), ['--version']),
    exec(join(checkout, 'bin/weft'), ['--version']),
  ])
}

/** Removes what killed runs left; QEMU ended with them. */
async function sweep(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = name.startsWith(prefix) ? name.slice(prefix.length).split('-')[0] : undefined
    if (pid && !existsSync(`/proc/${pid}`)) await rm(join(tmpdir(), name), { recursive: true, force: true })
  }
}
