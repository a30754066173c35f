/**
 * Frames out at their times, frames in all the while. All talks share one waiting thread; between them there is none.
 */
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { errnoNumber, SystemError } from '../ffi/errno.ts'
import { errnoText, receive, trySend } from '../ffi/libc.ts'
import { closePacketSocket, hearFor, openPacketSocket } from '../ffi/packet.ts'
import { Poll } from '../relay/poll.ts'
import { macToBytes, type Mac } from '../value/mac.ts'
import type { Schedule } from './timing.ts'

export interface Talk {
  /** Runs work in the namespace of the link. */
  readonly place: <T>(work: () => T) => T
  readonly linkIndex: number
  readonly filter: Uint8Array
  /** Who frames may be for, beside the link itself. */
  readonly hearing: readonly Mac[]
  /** One round of questions. */
  readonly frames: readonly Uint8Array[]
  readonly schedule: Schedule
  /** Must not throw. The frame is a view that is good until the next one. */
  readonly onFrame: (frame: Uint8Array) => void
  /** Ends it before its time. */
  readonly enough: AbortSignal
}

/** Frames read, or sent, before other work of the program gets its turn. */
const perTurn = 16
/** As many as a socket has room for. */
const lastReads = 1000
const frameBytes = 2048
/** A frame waits for room in the link's queue. */
const roomMs = 5
const roomTries = 20

const poll = new Poll()

/** Resolves when the time is over or somebody said `enough`; the socket is closed then. Rejects with SystemError. */
export async function talk({ place, linkIndex, filter, hearing, ...rest }: Talk): Promise<void> {
  const fd = place(() => openPacketSocket(linkIndex, filter))
  try {
    await hearFor(fd, linkIndex, hearing.map(macToBytes))
    await converse(fd, rest)
  } finally {
    await closePacketSocket(fd)
  }
}

type Conversation = Pick<Talk, 'frames' | 'schedule' | 'onFrame' | 'enough'>

async function converse(fd: number, { frames, schedule, onFrame, enough }: Conversation): Promise<void> {
  const failed = new AbortController()
  const over = AbortSignal.any([enough, failed.signal])
  poll.add(fd, () => {
    try {
      read(fd, onFrame, perTurn)
    } catch (error) {
      failed.abort(error)
    }
  })
  try {
    for (const pauseMs of schedule.pausesMs) {
      await sleep(pauseMs, undefined, { signal: over })
      await sendAll(fd, frames, over)
    }
    await sleep(schedule.listenMs, undefined, { signal: over })
  } catch (error) {
    if (!over.aborted) throw error
  } finally {
    poll.remove(fd)
  }
  failed.signal.throwIfAborted()
  // A busy program is late: what came in time is still waiting.
  read(fd, onFrame, lastReads)
}

function read(fd: number, onFrame: (frame: Uint8Array) => void, most: number): void {
  const buffer = new Uint8Array(frameBytes)
  for (let reads = 0; reads < most; reads += 1) {
    const length = receive(fd, buffer)
    if (length === undefined) return
    if (length <= buffer.length) onFrame(buffer.subarray(0, length))
  }
}

async function sendAll(fd: number, frames: readonly Uint8Array[], over: AbortSignal): Promise<void> {
  for (const [i, frame] of frames.entries()) {
    for (let tries = 0; !trySend(fd, frame); tries += 1) {
      const errno = errnoNumber('ENOBUFS')
      if (tries === roomTries) throw new SystemError('sendto', errno, errnoText(errno))
      await sleep(roomMs, undefined, { signal: over })
    }
    if (i % perTurn === perTurn - 1) await setImmediate(undefined, { signal: over })
  }
}
