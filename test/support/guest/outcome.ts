/** What the machine and the guest agree on. */

/** Numbers of tests. */
export interface Outcome {
  readonly passed: number
  readonly failed: number
}

/** In the guest, and nowhere else, this variable is set. */
export const guestVariable = 'WEFT_GUEST'
/** The directory that the guest shares with the machine, in the guest. */
export const guestOut = '/run/guest'
