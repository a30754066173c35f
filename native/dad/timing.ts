/** When to ask, and how long to listen. */

/**
 * `fast`: three times within 600 ms, for a wired segment. `rfc5227`: three times and an end in 4 to 7 s, for neighbours
 * that sleep and switches that are slow to forward after a link came up.
 */
export type Timing = 'fast' | 'rfc5227'

export interface Schedule {
  /** Before each question, in milliseconds. */
  readonly pausesMs: readonly number[]
  /** After the last one. */
  readonly listenMs: number
}

/** What is left of the 600 ms is for opening and closing the sockets. */
const fast: Schedule = { pausesMs: [0, 180, 180], listenMs: 180 }

/** `random`: from 0 to 1. RFC 5227 1.1: PROBE_WAIT, PROBE_NUM, PROBE_MIN, PROBE_MAX, ANNOUNCE_WAIT. */
export function scheduleOf(timing: Timing, random: () => number = Math.random): Schedule {
  if (timing === 'fast') return fast
  return { pausesMs: [1000 * random(), 1000 * (1 + random()), 1000 * (1 + random())], listenMs: 2000 }
}
