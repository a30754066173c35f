/** One run of QEMU with the guest's kernel. */
import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { GuestKit } from '../../../scripts/guest.ts'

/** Directories of the machine that the guest may mount, by tag. */
export type Shares = Readonly<Record<string, { readonly path: string; readonly writable?: boolean }>>

export interface MachineOptions {
  readonly kit: GuestKit
  readonly accelerator: Accelerator
  /** Words on the kernel's command line. */
  readonly append?: readonly string[]
  readonly shares: Shares
  /** File that the guest's console is written to. */
  readonly console: string
  readonly timeoutSeconds: number
  /** Default 1. */
  readonly processors?: number
}

export type Accelerator = 'kvm' | 'tcg'

const megabytes = 3072
/** Kernel options: what is of no use in a machine that is thrown away, and costs time at each call or page. */
const lighter = ['mitigations=off', 'init_on_alloc=0', 'apparmor=0', 'audit=0']

/**
 * Runs until the guest switches itself off; answers false when it had to be killed. It is killed as well when this
 * process ends in whatever way: nothing else would end it.
 */
export async function runMachine(options: MachineOptions): Promise<boolean> {
  const { kit, accelerator, append = [], shares, timeoutSeconds, processors = 1 } = options
  const drives = Object.entries(shares).flatMap(([tag, { path, writable = false }]) => {
    const readonly = writable ? '' : ',readonly=on'
    return [
      '-virtfs',
      `local,path=${path.replaceAll(',', ',,')},mount_tag=${tag},security_model=passthrough${readonly},multidevs=remap`,
    ]
  })
  // What an emulated processor can beyond a plain one, the kernel uses, and pays for.
  const [accel, cpu] = accelerator === 'tcg' ? ['tcg,thread=multi', 'Nehalem'] : ['kvm', 'host']
  const argv = [
    ...['--pdeathsig', 'KILL', ...kit.qemu, '-nodefaults', '-display', 'none', '-nic', 'none', '-no-reboot'],
    ...['-accel', accel, '-cpu', cpu, '-smp', String(processors), '-m', String(megabytes)],
    ...['-serial', `file:${options.console}`, '-kernel', kit.kernel, '-initrd', kit.initrd],
    ...['-append', ['console=ttyS0', 'quiet', 'panic=-1', ...lighter, ...append].join(' '), ...drives],
  ]
  const qemu = spawn('setpriv', argv, { env: { ...process.env, ...kit.env }, stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  qemu.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  const late = { yes: false }
  const timer = setTimeout(() => {
    late.yes = true
    qemu.kill('SIGKILL')
  }, timeoutSeconds * 1000)
  const status = await ended(qemu)
  clearTimeout(timer)
  if (!late.yes && status !== 0) throw new Error(`QEMU: exit ${String(status)}: ${complaint.trim()}`)
  return !late.yes
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
}

/** KVM only where a kernel has just booted on it: it may be there and yet hang for ever. */
export async function accelerator(kit: GuestKit, directory: string): Promise<Accelerator> {
  if (!offersKvm()) return 'tcg'
  const console = join(directory, 'probe')
  const probe = { kit, accelerator: 'kvm', append: ['weft.probe'], shares: {}, console, timeoutSeconds: 10 } as const
  try {
    if ((await runMachine(probe)) && readFileSync(console, 'utf8').includes('this accelerator boots')) return 'kvm'
  } catch {
    // Refused: the other one needs nothing.
  }
  return 'tcg'
}

function offersKvm(): boolean {
  if (!/^flags\s*:.* (vmx|svm)( |$)/m.test(readFileSync('/proc/cpuinfo', 'utf8'))) return false
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}
