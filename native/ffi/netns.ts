/**
 * Work in other network namespaces: the only file that moves a thread. A namespace belongs to a thread, so everything
 * here is strictly synchronous and ends where it began; if the way back fails, the process dies, because it would do
 * its work in somebody's container from then on. Threads are born in the namespace of their maker: libuv's pool is
 * made beforehand, and no Worker may be started inside.
 */
import { closeSync, mkdirSync, openSync, readFileSync, stat, unlinkSync, writeFileSync } from 'node:fs'
import * as libc from './libc.ts'
import { SystemError } from './errno.ts'

const CLONE_NEWNET = 0x40000000
const MS_BIND = 0x1000
const MS_REC = 0x4000
const MS_SHARED = 0x100000
const MNT_DETACH = 2
const EINVAL = 22
const current = '/proc/thread-self/ns/net'
const named = '/run/netns'

/** A path, or an open descriptor. */
export type Netns = string | number

let poolIsWarm = false
/** libuv makes all threads of its pool when the first job arrives, before `stat` returns. */
export function warmPool(): void {
  if (poolIsWarm) return
  stat('/', () => undefined)
  poolIsWarm = true
}

/** Runs `work` in a namespace. It must not return a promise: the rest of it would run at home. */
export function inNetns<T>(netns: Netns, work: () => T): T {
  const fd = typeof netns === 'string' ? openSync(netns, 'r') : netns
  try {
    return elsewhere(() => {
      libc.setns(fd, CLONE_NEWNET)
    }, work)
  } finally {
    if (typeof netns === 'string') closeSync(fd)
  }
}

/** Runs `work` in a new namespace, which vanishes unless something made in it is still open. */
export function inScratchNetns<T>(work: () => T): T {
  return elsewhere(() => {
    libc.unshare(CLONE_NEWNET)
  }, work)
}

/** A new namespace without name; it lives until the descriptor is closed. */
export function openScratchNetns(): number {
  return inScratchNetns(() => openSync(current, 'r'))
}

function elsewhere<T>(go: () => void, work: () => T): T {
  warmPool()
  const home = openSync(current, 'r')
  try {
    go()
    let result: T
    try {
      result = work()
    } finally {
      goHome(home)
    }
    if (result instanceof Promise) throw new TypeError('work in another namespace must be synchronous')
    return result
  } finally {
    closeSync(home)
  }
}

function goHome(home: number): void {
  try {
    libc.setns(home, CLONE_NEWNET)
  } catch {
    process.abort()
  }
}

export function netnsPath(name: string): string {
  return `${named}/${name}`
}

/** As `ip netns add`; throws Node's EEXIST error when the name is taken. Returns the path. */
export function createNetns(name: string): string {
  const path = netnsPath(name)
  shareNamed()
  closeSync(openSync(path, 'wx', 0))
  try {
    inScratchNetns(() => {
      libc.mount(current, path, 'none', MS_BIND)
    })
  } catch (error) {
    unlinkSync(path)
    throw error
  }
  return path
}

/** As `ip netns delete`: it vanishes when nothing in it is open any more. */
export function deleteNetns(name: string): void {
  const path = netnsPath(name)
  try {
    libc.umount(path, MNT_DETACH)
  } catch (error) {
    // Not mounted: the rest of a creation that was cut short.
    if (!(error instanceof SystemError) || error.errno !== EINVAL) throw error
  }
  unlinkSync(path)
}

/** Other mount namespaces shall see the names, and their end: the directory becomes a shared mount, as iproute2 does. */
function shareNamed(): void {
  mkdirSync(named, { recursive: true, mode: 0o755 })
  try {
    libc.mount('', named, 'none', MS_SHARED | MS_REC)
  } catch (error) {
    // Not a mount yet.
    if (!(error instanceof SystemError) || error.errno !== EINVAL) throw error
    libc.mount(named, named, 'none', MS_BIND | MS_REC)
    libc.mount('', named, 'none', MS_SHARED | MS_REC)
  }
}

/** `net.ipv4.ip_forward`. As in sysctl(8), a name with dots is written `net/ipv4/conf/eth0.1/forwarding`. */
function sysctlPath(key: string): string {
  const slashes = key.search(/[./]/) >= 0 && key[key.search(/[./]/)] === '/'
  return `/proc/sys/${slashes ? key : key.replace(/[./]/g, separator => (separator === '.' ? '/' : '.'))}`
}

/** Of the thread's namespace; undefined when there is no such switch. */
export function readSysctl(key: string): string | undefined {
  try {
    return readFileSync(sysctlPath(key), 'utf8').trim()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/** Throws Node's error: ENOENT when there is no such switch, EINVAL for a value that the kernel refuses. */
export function writeSysctl(key: string, value: string): void {
  writeFileSync(sysctlPath(key), value)
}
