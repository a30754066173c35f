/** Namespaces and the machine's own tools, for lab tests of native/. */
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync } from 'node:fs'
import { inNetns, openScratchNetns } from '../../native/ffi/netns.ts'
import type { LinkInfo } from '../../native/rtnl/link.ts'
import { Rtnl } from '../../native/rtnl/rtnl.ts'
import type { VethSpec } from '../../native/rtnl/requests.ts'
import type { Mac } from '../../native/value/mac.ts'

/** Runs the test file again in a network namespace of its own, and ends with its status. */
export function enterOwnNetns(file: string): void {
  if (process.env['WEFT_TEST_NETNS']) return
  const env = { ...process.env, WEFT_TEST_NETNS: '1', UV_THREADPOOL_SIZE: '16' }
  process.exit(spawnSync('unshare', ['--net', process.execPath, file], { env, stdio: 'inherit' }).status ?? 1)
}

export interface Place extends AsyncDisposable {
  readonly fd: number
  readonly path: string
  readonly rtnl: Rtnl
  in<T>(work: () => T): T
  /** Standard output of a command in this namespace; throws with its standard error. */
  run(command: string, input?: string): string
}

export function place(): Place {
  const fd = openScratchNetns()
  const path = `/proc/${process.pid}/fd/${fd}`
  const rtnl = inNetns(fd, () => new Rtnl())
  return {
    fd,
    path,
    rtnl,
    in: work => inNetns(fd, work),
    run(command, input = '') {
      const words = [`--net=${path}`, '--', ...command.split(' ')]
      return execFileSync('nsenter', words, { encoding: 'utf8', stdio: 'pipe', input })
    },
    async [Symbol.asyncDispose]() {
      await rtnl[Symbol.asyncDispose]()
      closeSync(fd)
    },
  }
}

/** Undefined: no such link there. */
export async function linkOf({ rtnl }: Place, name: string): Promise<LinkInfo | undefined> {
  const [link] = await rtnl.findLinks(name)
  return link
}

export function macOf(number: number): Mac {
  const hex = number.toString(16).padStart(6, '0')
  return `02:00:00:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}` as Mac
}

export function vethSpec(number: number, more: Partial<VethSpec> = {}): VethSpec {
  return {
    name: `wv${number}`,
    mac: macOf(number),
    master: 'wb0',
    isolated: false,
    hairpin: true,
    alias: `weft test ${number}`,
    peer: { name: `wp${number}`, mac: macOf(number + 0x10000) },
    ...more,
  }
}

/** Longest time that the event loop was away while `work` went on, in milliseconds. */
export async function lagDuring(work: () => Promise<unknown>): Promise<number> {
  let lag = 0
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    lag = Math.max(lag, now - last - 1)
    last = now
  }, 1)
  await work()
  clearInterval(timer)
  return lag
}
