/** No call waits longer than its caller should: an engine that has no answer holds up its users, and some of its locks. */
import { UserError } from './answer.ts'

export interface Watch {
  /** `NetworkDriver.Join` */
  readonly call: string
  readonly timeoutMs: number
  /** How work ended after the time-out: undefined, or what it failed with. */
  readonly onLate: (failure: unknown) => void
}

/**
 * The work's result, or after `timeoutMs` a UserError TIMED_OUT. The work goes on to its end; its signal tells it by then
 * that nobody waits for what it promises. Only a removal has to happen all the same.
 */
export async function inTime<T>(
  { call, timeoutMs, onLate }: Watch,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const running = work(controller.signal)
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    const cause = timedOut(call, timeoutMs)
    controller.abort(cause)
    reject(cause)
    running.then(() => {
      onLate(undefined)
    }, onLate)
  }, timeoutMs)
  try {
    return await Promise.race([running, late])
  } finally {
    clearTimeout(timer)
  }
}

function timedOut(call: string, timeoutMs: number): UserError {
  const what = `${call} was not done within ${timeoutMs / 1000} s: the kernel, or another request, holds it up`
  return new UserError('TIMED_OUT', what, { hint: 'try again; the log of weftd says how it ended' })
}
