/** Ends of an exchange: NLMSG_ERROR (an ack is error 0) and NLMSG_DONE. Source: include/uapi/linux/netlink.h. */
import { attrs, str, u32 } from './codec.ts'
import type { Frame } from './message.ts'

const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const NLM_F_CAPPED = 0x100
const NLM_F_ACK_TLVS = 0x200

const extendedAck = attrs({
  /** The kernel's words, without an end of line. */
  text: [1, str],
  /** Of the offending attribute, from the beginning of the message that was sent. */
  offset: [2, u32],
})

export interface Outcome {
  /** 0 is success. */
  readonly errno: number
  readonly text?: string | undefined
  readonly offset?: number | undefined
}

/** undefined: the message is data. */
export function parseOutcome(answer: Frame): Outcome | undefined {
  if (answer.type !== NLMSG_ERROR && answer.type !== NLMSG_DONE) return undefined
  const payload = Buffer.from(answer.payload.buffer, answer.payload.byteOffset, answer.payload.length)
  // A DONE of the oldest families has no payload.
  const errno = payload.length >= 4 ? -payload.readInt32LE(0) : 0
  if (!(answer.flags & NLM_F_ACK_TLVS)) return { errno }
  return { errno, ...extendedAck.decode(payload.subarray(ackSize(answer, payload))) }
}

/** Where the attributes begin: after the number and, in an ERROR, the header or the whole of what was sent. */
function ackSize(answer: Frame, payload: Buffer): number {
  if (answer.type === NLMSG_DONE) return 4
  const headerSize = 16
  const echoed = answer.flags & NLM_F_CAPPED ? headerSize : (payload.readUInt32LE(4) + 3) & ~3
  return 4 + echoed
}
