/** Kernel switches. They carry no mark, so only those that are wished are looked at. */
import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { KernelError, asKernelError } from '../../netlink/errors.ts'
import type { Observed, Sysctl } from '../resource.ts'
import type { Kind } from './kind.ts'

export const sysctl: Kind<Sysctl> = {
  async observe(_machine, wishes) {
    return wishes.flatMap((wish): readonly Observed[] => {
      if (wish.type !== 'sysctl') return []
      const value = read(wish)
      return value === undefined ? [] : [{ resource: { ...wish, value }, foreign: true }]
    })
  },
  create: (_machine, want) => writeSysctl(want),
  update: (_machine, want) => writeSysctl(want),
  /** Its link takes it along; a switch of the whole host stays as it is, for others may rely on it by now. */
  async remove(_machine, { setBack, ...have }) {
    if (setBack === undefined) return
    try {
      await writeSysctl({ ...have, value: setBack })
    } catch (cause) {
      // The link went first.
      if (!(cause instanceof KernelError) || cause.errno !== 'ENOENT') throw cause
    }
  },
}

function read({ key, value }: Sysctl): string | undefined {
  try {
    return readFileSync(`/proc/sys/${key}`, 'utf8').trim()
  } catch (cause) {
    const error = asKernelError(cause, 'read', key)
    if (!(error instanceof KernelError) || error.errno !== 'ENOENT') throw error
    // A kernel that runs without IPv6 has nothing to switch off, and what is wished of it holds.
    return isMissingIpv6(key) ? value : undefined
  }
}

/** In the thread pool: some of these writes wait for the kernel's lock of all links. Rejects with KernelError. */
export async function writeSysctl({ key, value }: Pick<Sysctl, 'key' | 'value'>): Promise<void> {
  if (isMissingIpv6(key)) return
  try {
    await writeFile(`/proc/sys/${key}`, value)
  } catch (cause) {
    throw asKernelError(cause, 'set', key)
  }
}

/** Booted with ipv6.disable=1. */
function isMissingIpv6(key: string): boolean {
  return key.startsWith('net/ipv6/') && !existsSync('/proc/net/if_inet6')
}
