import { errnoName, errnoNumber, SystemError } from '../ffi/errno.ts'
import { errnoText } from '../ffi/libc.ts'

export interface KernelErrorDetails {
  /** What was tried: `create`. */
  readonly op: string
  /** On what: `veth wv123`. */
  readonly object: string
  /** `EEXIST` */
  readonly errno: string
  /** The kernel's own words; often there are none. */
  readonly kernelText?: string | undefined
  /** The attribute that the kernel complains about: `linkinfo.data.id`. */
  readonly attribute?: string | undefined
  readonly cause?: unknown
}

/** The kernel refused. Reads `create veth wv123: File exists (EEXIST)`. */
export class KernelError extends Error {
  readonly op: string
  readonly object: string
  readonly errno: string
  readonly kernelText: string | undefined
  readonly attribute: string | undefined

  constructor(details: KernelErrorDetails, text: string) {
    const words = details.kernelText ?? text
    const where = details.attribute === undefined ? '' : ` at ${details.attribute}`
    const options = details.cause === undefined ? undefined : { cause: details.cause }
    super(`${details.op} ${details.object}: ${words}${where} (${details.errno})`, options)
    this.name = 'KernelError'
    this.op = details.op
    this.object = details.object
    this.errno = details.errno
    this.kernelText = details.kernelText
    this.attribute = details.attribute
  }
}

/** From a name, or the number of an answer whose sign does not matter. */
export function kernelError(errno: number | string, details: Omit<KernelErrorDetails, 'errno'>): KernelError {
  const number = typeof errno === 'number' ? Math.abs(errno) : errnoNumber(errno)
  return new KernelError({ ...details, errno: errnoName(number) }, errnoText(number))
}

/** A failed system call, ours or one of Node's, as a KernelError; anything else is a bug and is returned as it is. */
export function asKernelError(error: unknown, op: string, object: string): unknown {
  if (error instanceof SystemError) return kernelError(error.errno, { op, object, cause: error })
  if (error instanceof Error && 'errno' in error && typeof error.errno === 'number') {
    return kernelError(error.errno, { op, object, cause: error })
  }
  return error
}
