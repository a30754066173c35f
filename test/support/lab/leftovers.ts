/** Proof that a lab is gone, and the removal of what the kernel does not remove by itself. */
import { readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'

/** Every process of a lab carries its name in this variable, so it is found whatever namespaces it has. */
export const labVariable = 'LAB_NAME'

/** The machine's processes that belong to a lab: `pid command`. */
export function processesOf(lab: string): readonly string[] {
  const wanted = `\0${labVariable}=${lab}\0`
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .filter(pid => `\0${readProc(pid, 'environ')}\0`.includes(wanted))
    .map(pid => `${pid} ${readProc(pid, 'cmdline').replaceAll('\0', ' ').trim()}`)
}

/** Mounts of the machine whose path names the lab. */
export function mountsOf(lab: string): readonly string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(line => line.includes(`${lab}/`))
}

/** The lab's cgroups in every hierarchy, children before parents. */
export function cgroupsOf(lab: string): readonly string[] {
  const base = '/sys/fs/cgroup'
  const hierarchies = [base, ...directoriesIn(base)]
  const tops = hierarchies.flatMap(path => directoriesIn(path).filter(child => child.endsWith(`/${lab}`)))
  return [...new Set(tops.flatMap(top => [...descendants(top), top]))]
}

/** Links of the machine's own network namespace. */
export function machineLinks(): readonly string[] {
  return readdirSync('/sys/class/net').sort()
}

/** Removes the lab's cgroups; EBUSY says that the kernel has not let go of a process yet, and is thrown. */
export function removeCgroups(lab: string): void {
  for (const path of cgroupsOf(lab)) {
    try {
      rmdirSync(path)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
    }
  }
}

function directoriesIn(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter(entry => entry.isDirectory())
      .map(entry => join(path, entry.name))
  } catch (cause) {
    // A hierarchy lists directories of others, which come and go.
    if (['ENOENT', 'ENODEV'].includes((cause as NodeJS.ErrnoException).code ?? '')) return []
    throw cause
  }
}

function descendants(path: string): string[] {
  return directoriesIn(path).flatMap(child => [...descendants(child), child])
}

/** A file of a process; empty when the process is gone. */
function readProc(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch (cause) {
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((cause as NodeJS.ErrnoException).code ?? '')) return ''
    throw cause
  }
}
