import { setTimeout as sleep } from 'node:timers/promises'

export interface Patience {
  readonly timeoutMs?: number
  readonly pauseMs?: number
}

/**
 * Asks again until the probe neither throws nor answers `false` or `undefined`, and returns its answer. Errors: after
 * `timeoutMs` (10 s) one that says what was awaited, with the last refusal as its cause.
 */
export async function eventually<T>(
  what: string,
  probe: () => T | Promise<T>,
  { timeoutMs = 10_000, pauseMs = 25 }: Patience = {},
): Promise<Exclude<T, false | undefined>> {
  const end = Date.now() + timeoutMs
  for (;;) {
    let cause: unknown
    try {
      const answer = await probe()
      if (answer !== false && answer !== undefined) return answer as Exclude<T, false | undefined>
    } catch (refusal) {
      cause = refusal
    }
    if (Date.now() > end) {
      const last = cause instanceof Error ? `: ${cause.message}` : ''
      throw new Error(`not within ${timeoutMs} ms: ${what}${last}`, { cause })
    }
    await sleep(pauseMs)
  }
}
