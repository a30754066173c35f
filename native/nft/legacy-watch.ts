/** Nothing tells when the old iptables change a table. Where one is in use it is looked at, again and again. */
import { readFileSync } from 'node:fs'
import { SystemError } from '../ffi/errno.ts'
import { readOldTable } from '../ffi/xtables.ts'
import { namesFile } from './legacy.ts'

const periodMs = 250
const families = ['ip', 'ip6'] as const
type Family = (typeof families)[number]

/** Bytes; the errno of what cannot be read now; undefined: the table is not in use. */
type Look = Uint8Array | string | undefined

/** `onChange`: somebody, perhaps weft itself, changed a `filter` table. Until it is disposed. */
export function watchLegacy(onChange: () => void): Disposable {
  const seen = new Map(families.map(family => [family, lookAt(family)]))
  const timer = setInterval(() => {
    for (const family of families) {
      const look = lookAt(family)
      if (isSame(look, seen.get(family))) continue
      seen.set(family, look)
      onChange()
    }
  }, periodMs)
  timer.unref()
  return {
    [Symbol.dispose]() {
      clearInterval(timer)
    },
  }
}

function lookAt(family: Family): Look {
  try {
    if (!readFileSync(namesFile[family], 'utf8').split('\n').includes('filter')) return undefined
    return readOldTable(family, 'filter') ?? 'changing'
  } catch (error) {
    // Whoever compares the rules says what is wrong.
    if (error instanceof SystemError) return error.code
    // The kernel was built without the old tables.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function isSame(one: Look, other: Look): boolean {
  if (one instanceof Uint8Array && other instanceof Uint8Array) return Buffer.compare(one, other) === 0
  return one === other
}
