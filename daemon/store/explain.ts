/** What SQLite reports, for a person. Result codes: https://sqlite.org/rescode.html; the primary one is the low byte. */
import { UserError } from '../../plugin-api/answer.ts'

const busy = 5
const readOnly = 8
const ioError = 10
const corrupted = 11
const full = 13
const cannotOpen = 14
const notADatabase = 26

/** An error that is none of SQLite's own, or that nobody can act on, comes back as it is. */
export function explainSqlite(path: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || !('errcode' in cause) || typeof cause.errcode !== 'number') return cause
  switch (cause.errcode & 0xff) {
    case busy:
      return new UserError('STATE_LOCKED', `${path} is in use by another process`, {
        hint: 'a weftd runs already with this state directory; stop it or choose another one with --state-dir',
        cause,
      })
    case corrupted:
    case notADatabase:
      return corrupt(path, cause.message, cause)
    case full:
      return unusable(path, 'the disk is full', 'make room and start weftd again', cause)
    case readOnly:
    case ioError:
    case cannotOpen:
      return unusable(path, cause.message, 'check the disk and the rights of the file and its directory', cause)
    default:
      return cause
  }
}

export function corrupt(path: string, what: string, cause?: unknown): UserError {
  return new UserError('STATE_CORRUPT', `${path} cannot be read (${what}); nothing was changed`, {
    hint: 'restore it, with its -wal file, from a backup; or move both away, start weftd, and create the networks again',
    cause,
  })
}

export function unusable(path: string, what: string, hint: string, cause: unknown): UserError {
  return new UserError('STATE_UNUSABLE', `${path} cannot be used: ${what}`, { hint, cause })
}
