import { lstat, readdir, readFile, rm, rmdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { UserError } from '../../plugin-api/answer.ts'
import { defaultFile, type Config } from '../config.ts'
import { unitName, unitPath, wantedBy } from '../unit.ts'
import type { Status } from '../view.ts'
import type { Admin, Command } from './command.ts'
import { wantsLink } from './install.ts'
import { locate } from './locate.ts'
import { inside, stepwise, thisMachine, type Machine } from './machine.ts'
import { count } from './print.ts'
import { placeSpecs } from './specs.ts'
import { tolerating } from './tolerate.ts'

/** A line for each thing that was removed. */
export type SweepKernel = () => Promise<readonly string[]>

export interface Removal {
  readonly force: boolean
  readonly config: Pick<Config, 'stateDir' | 'runDir' | 'pluginDir'>
  readonly admin: Admin
  /** Removes what carries weft's mark in the kernel; called only when everything else has agreed. */
  readonly sweepKernel: SweepKernel
}

export function uninstallWith(sweepKernel: SweepKernel): Command {
  return {
    run: (context, options) =>
      stepwise(context, say => {
        const machine = thisMachine(options, say)
        const config = locate(options, process.env)
        const force = options.force ?? false
        return uninstallAll(machine, { force, config, admin: context.admin, sweepKernel })
      }),
  }
}

/** Asks nothing and may be repeated; what is gone already is passed over. The settings file stays: it is not weft's. */
export async function uninstallAll(machine: Machine, removal: Removal): Promise<void> {
  const running = machine.live ? await statusOf(removal.admin) : undefined
  if (!removal.force) await refuseInUse(machine, running)
  await removeService(machine)
  await refuseRunning(machine, removal)

  if (machine.live) await sweep(machine, removal)
  await removePluginSockets(machine, removal.config.pluginDir)
  await placeSpecs(machine, [])
  await removeTree(machine, removal.config.runDir)
  await removeTree(machine, removal.config.stateDir)
  if (running !== undefined && running.counts.networks > 0) {
    machine.say(`the engine still lists ${count(running.counts.networks, 'network')} of weft: nothing serves them now`)
  }
  if (await exists(inside(machine, defaultFile))) machine.say(`kept ${defaultFile}`)
}

/** The links of containers say it also when the daemon is stopped. */
async function refuseInUse(machine: Machine, running: Status | undefined): Promise<void> {
  const used = Math.max(running?.counts.endpoints ?? 0, await countLinks(machine))
  if (used === 0) return
  throw new UserError('IN_USE', `${count(used, 'endpoint')} of weft would lose the network`, {
    hint: 'remove the containers first, or use --force',
  })
}

async function countLinks(machine: Machine): Promise<number> {
  const links = inside(machine, '/sys/class/net')
  let used = 0
  for (const name of (await tolerating(['ENOENT'], () => readdir(links))) ?? []) {
    // Links come and go while the list is read.
    const alias = await tolerating(['ENOENT', 'ENOTDIR', 'EINVAL'], () =>
      readFile(join(links, name, 'ifalias'), 'utf8'),
    )
    if (alias?.startsWith('weft endpoint ')) used += 1
  }
  return used
}

async function removeService(machine: Machine): Promise<void> {
  const there = await exists(inside(machine, unitPath))
  if (there && machine.systemctl) {
    machine.systemctl('disable', '--now', unitName)
    machine.say(`stopped and disabled ${unitName}`)
  }
  for (const unit of wantedBy) {
    await remove(machine, wantsLink(unit))
    await tolerating(['ENOENT', 'ENOTEMPTY'], () => rmdir(inside(machine, dirname(wantsLink(unit)))))
  }
  await remove(machine, unitPath)
  if (there) machine.systemctl?.('daemon-reload')
}

/** A daemon would make again what is removed under it. */
async function refuseRunning(machine: Machine, { admin }: Removal): Promise<void> {
  const running = machine.live ? await statusOf(admin) : undefined
  if (!running) return
  throw new UserError('STILL_RUNNING', `weftd runs as process ${running.pid}, and systemd did not start it`, {
    hint: `end it with 'kill ${running.pid}', or 'docker plugin disable' for a managed plugin, then repeat`,
  })
}

async function statusOf(admin: Admin): Promise<Status | undefined> {
  try {
    return await admin.get('/v1/status')
  } catch (cause) {
    if (cause instanceof UserError && cause.code === 'NOT_RUNNING') return undefined
    throw cause
  }
}

async function sweep(machine: Machine, { sweepKernel }: Removal): Promise<void> {
  for (const line of await sweepKernel()) machine.say(line)
}

async function removePluginSockets(machine: Machine, pluginDir: string): Promise<void> {
  for (const name of (await tolerating(['ENOENT'], () => readdir(inside(machine, pluginDir)))) ?? []) {
    const path = join(pluginDir, name)
    const socket = (await lstat(inside(machine, path))).isSocket()
    if (socket && /^\.?weft-/.test(name)) await remove(machine, path)
  }
}

/** Only directories whose name says that they are weft's: a setting may name one that is shared. */
async function removeTree(machine: Machine, path: string): Promise<void> {
  if (!(await exists(inside(machine, path)))) return
  if (!basename(path).includes('weft')) {
    machine.say(`kept ${path}: its name does not say that it is only weft's; remove it by hand`)
    return
  }
  const place = inside(machine, path)
  // What is in it first: nothing is removed by rm where the directory is a mount, or a link.
  for (const name of (await tolerating(['ENOTDIR'], () => readdir(place))) ?? []) {
    await rm(join(place, name), { recursive: true, force: true })
  }
  const removed = await tolerating(['EBUSY'], () => rm(place, { recursive: true, force: true }).then(() => true))
  machine.say(removed ? `removed ${path}` : `emptied ${path}: something is mounted on it`)
}

async function remove(machine: Machine, path: string): Promise<void> {
  if (!(await exists(inside(machine, path)))) return
  await rm(inside(machine, path), { force: true })
  machine.say(`removed ${path}`)
}

async function exists(path: string): Promise<boolean> {
  return (await tolerating(['ENOENT', 'ENOTDIR'], () => lstat(path))) !== undefined
}
