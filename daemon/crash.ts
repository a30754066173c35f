/**
 * For tests only: `WEFT_CRASH_AT=n` kills the daemon at the n-th of the points before and after each change.
 * `WEFT_CRASH_AT=n,SIGUSR2` counts from that signal on, so that the points of a start, whose number depends on what was
 * left for it to mend, come before.
 */
import type { Store } from '../ipam/store.ts'

/** Counts points; at the n-th the process is gone, as by `kill -9`. */
export function crashPoints(env: Readonly<Record<string, string | undefined>>): () => void {
  const [at = '', from] = (env['WEFT_CRASH_AT'] ?? '').split(',')
  let left = Number(at)
  if (!(left > 0)) return () => undefined
  let counting = from === undefined
  if (!counting) process.once(from as NodeJS.Signals, () => (counting = true))
  return () => {
    if (!counting) return
    left -= 1
    if (left === 0) process.kill(process.pid, 'SIGKILL')
  }
}

/** The store with a point before and after every commit. */
export function crashingStore(store: Store, point: () => void): Store {
  return {
    get: key => store.get(key),
    list: prefix => store.list(prefix),
    async commit(writes, options) {
      point()
      await store.commit(writes, options)
      point()
    },
  }
}
