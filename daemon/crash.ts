/** For tests only: `WEFT_CRASH_AT=n` kills the daemon at the n-th of the points before and after each change. */
import type { Store } from '../ipam/store.ts'

/** Counts points; at the n-th the process is gone, as by `kill -9`. */
export function crashPoints(env: Readonly<Record<string, string | undefined>>): () => void {
  const at = Number(env['WEFT_CRASH_AT'] ?? 0)
  if (!(at > 0)) return () => undefined
  let passed = 0
  return () => {
    passed += 1
    if (passed === at) process.kill(process.pid, 'SIGKILL')
  }
}

/** The store with a point before and after every commit. */
export function crashingStore(store: Store, point: () => void): Store {
  return {
    get: key => store.get(key),
    list: prefix => store.list(prefix),
    async commit(writes) {
      point()
      await store.commit(writes)
      point()
    },
  }
}
