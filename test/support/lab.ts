/**
 * Hosts for tests: namespaces on an underlay of their own, each with a real engine if wanted. The machine's network,
 * engine and settings are never touched, and nothing survives the test: disposal fails when anything is left over.
 *
 *   await using net = await lab({ hosts: 2 })
 *   const [server, client] = net.hosts
 *   await server.startEngine()
 */
import { existsSync } from 'node:fs'
import { cp, mkdir, readdir, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type Engine, engineNamed, engineRoot, imageTar, type Report } from '../../scripts/engines.ts'
import { eventually } from './lab/eventually.ts'
import { Host } from './lab/host.ts'
import { cgroupsOf, labVariable, machineLinks, mountsOf, processesOf, removeCgroups } from './lab/leftovers.ts'
import { startNamespace } from './lab/namespace.ts'
import { signalTo } from './lab/process.ts'
import { Underlay } from './lab/underlay.ts'

export { eventually } from './lab/eventually.ts'
export type { Host } from './lab/host.ts'
export { http, inside, serve, tcp, udp, type Place } from './lab/probe.ts'
export type { Daemon } from './lab/process.ts'
export { difference, type Snapshot } from './lab/snapshot.ts'

interface Hosts {
  1: readonly [Host]
  2: readonly [Host, Host]
  3: readonly [Host, Host, Host]
}

export interface LabOptions<N extends keyof Hosts> {
  readonly hosts: N
  /** Default: `$WEFT_LAB_ENGINE`, else 20.10. */
  readonly engine?: Engine
  /** The hosts' net.ipv4.ip_forward before anything starts. Default 0: an engine that finds 1 hides errors. */
  readonly forward?: 0 | 1
  /** The lab outlives this process. */
  readonly keep?: boolean
  readonly report?: Report
}

export interface Lab<N extends keyof Hosts = 1> extends AsyncDisposable {
  readonly name: string
  readonly hosts: Hosts[N]
  readonly underlay: Underlay
  /** Logs of all daemons. `$WEFT_LAB_LOGS` names a directory to which disposal copies them. */
  readonly directory: string
  /** The project, at the same path on the machine and in every host. */
  readonly checkout: string
  /** What is still there of this lab, one line each: all of it while it runs, nothing once it is disposed. */
  leftovers(): readonly string[]
}

const checkout = dirname(dirname(import.meta.dirname))
const prefix = 'weft-lab-'
let made = 0

/** Brings up hosts h1, h2, ... with 192.0.2.11, fd00:2::11 and so on, and their default route, on eth0. */
export async function lab<N extends keyof Hosts>(options: LabOptions<N>): Promise<Lab<N>> {
  const { hosts: count, forward = 0, keep = false, report = console.error } = options
  const engine = options.engine ?? engineNamed(process.env['WEFT_LAB_ENGINE'] ?? '20.10')
  const [lower, tar] = [await engineRoot(engine, report), await imageTar(report)]
  await sweep()
  const name = `${prefix}${process.pid}-${++made}`
  const directory = join(tmpdir(), name)
  await mkdir(directory)
  const env = {
    [labVariable]: name,
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/root',
    LANG: 'C.UTF-8',
    TERM: process.env['TERM'] ?? 'dumb',
  }
  const linksBefore = machineLinks()
  const overlayable = await canHoldLayers(directory)
  const boot = async (host: string, last: number, joins?: Underlay): Promise<Host> => {
    const [mount, data] = [join(directory, host, 'mount'), join(directory, host, 'data')]
    for (const path of [mount, join(data, 'docker'), join(data, 'weft')]) await mkdir(path, { recursive: true })
    const [ip4, ip6] = [`192.0.2.${last}`, `fd00:2::${last}`]
    return Host.boot({
      ...{ name: host, ip4, ip6, directory, checkout, imageTar: tar, env, cgroup: `/${name}/${host}` },
      async boot() {
        const namespace = await startNamespace({
          ...{ name: host, mount, lower, checkout, env, keep, data: overlayable ? data : undefined },
        })
        try {
          await joins?.connect({ name: host, pid: namespace.pid, ip4, ip6, forward })
        } catch (cause) {
          await namespace.end()
          throw cause
        }
        return namespace
      },
    })
  }
  const up: Host[] = []
  const end = async (): Promise<void> => {
    await Promise.all(up.map(host => host.end()))
    await eventually('the last process of the lab ends', () => processesOf(name).length === 0)
    await eventually('the cgroups of the lab are removed', () => {
      removeCgroups(name)
      return true
    })
    const logs = process.env['WEFT_LAB_LOGS']
    if (logs) await cp(directory, join(logs, name), { recursive: true, filter: path => !path.includes('/data') })
    await rm(directory, { recursive: true, force: true })
  }
  const leftovers = (): readonly string[] => [
    ...processesOf(name).map(line => `process ${line}`),
    ...mountsOf(name).map(line => `mount ${line}`),
    ...cgroupsOf(name).map(path => `cgroup ${path}`),
    ...(existsSync(directory) ? [`directory ${directory}`] : []),
  ]
  try {
    const outside = await boot('ul', 1)
    up.push(outside)
    const underlay = await Underlay.start(outside)
    const booted = await Promise.allSettled(
      Array.from({ length: count }, async (_, index) => boot(`h${index + 1}`, 11 + index, underlay)),
    )
    for (const outcome of booted) if (outcome.status === 'fulfilled') up.push(outcome.value)
    for (const outcome of booted) if (outcome.status === 'rejected') throw outcome.reason
    return {
      name,
      hosts: up.slice(1) as unknown as Hosts[N],
      underlay,
      directory,
      checkout,
      leftovers,
      async [Symbol.asyncDispose]() {
        await end()
        const left = [...leftovers(), ...newLinks(linksBefore)]
        if (left.length > 0) throw new Error(`the lab left over:\n${left.join('\n')}`)
      },
    }
  } catch (cause) {
    await end()
    throw cause
  }
}

function newLinks(before: readonly string[]): readonly string[] {
  return machineLinks()
    .filter(link => !before.includes(link))
    .map(link => `link ${link} in the machine's own namespace`)
}

/** overlayfs refuses a writable layer on itself and on 9p; then the hosts keep their data in memory. */
async function canHoldLayers(path: string): Promise<boolean> {
  const { type } = await statfs(path)
  return ![0x794c7630, 0x01021997].includes(type)
}

/** Ends the labs that were kept by processes which have ended; answers their names. */
export async function endKept(): Promise<readonly string[]> {
  const kept = (await orphans()).filter(name => processesOf(name).length > 0)
  for (const name of kept) {
    for (const line of processesOf(name)) signalTo(Number.parseInt(line, 10), 'SIGKILL')
    await eventually(`the last process of ${name} ends`, () => processesOf(name).length === 0)
  }
  await sweep()
  return kept
}

/** Removes what labs of killed processes left on the disk; their hosts ended with them, unless they are kept. */
async function sweep(): Promise<void> {
  for (const name of await orphans()) {
    if (processesOf(name).length > 0) continue
    removeCgroups(name)
    await rm(join(tmpdir(), name), { recursive: true, force: true })
  }
}

/** Labs whose owner, a process, is gone. */
async function orphans(): Promise<readonly string[]> {
  const names = (await readdir(tmpdir())).filter(name => name.startsWith(prefix))
  return names.filter(name => !existsSync(`/proc/${name.slice(prefix.length).split('-')[0] ?? ''}`))
}
