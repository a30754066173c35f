import { constants } from 'node:os'

/** Numbers that Node does not list. 512 and above are the kernel's own; netlink lets some of them through. */
const more: Readonly<Record<string, number>> = {
  EXFULL: 54,
  ERESTART: 85,
  EUSERS: 87,
  ESOCKTNOSUPPORT: 94,
  EPFNOSUPPORT: 96,
  ETOOMANYREFS: 109,
  EUCLEAN: 117,
  ENOTSUPP: 524,
}
const numbers: Readonly<Record<string, number>> = { ...constants.errno, ...more }
const names = new Map(Object.entries(numbers).map(([name, number]) => [number, name]))
// Two names stand for each of these numbers; the kernel's own are wanted.
names.set(11, 'EAGAIN').set(95, 'EOPNOTSUPP')

/** `EEXIST` for 17; `E1234` for a number without a name. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `E${errno}`
}

/** 17 for `EEXIST`; 0 for a name that is none. */
export function errnoNumber(name: string): number {
  return numbers[name] ?? 0
}

/** A system call failed. Fields as in Node's own errors. */
export class SystemError extends Error {
  readonly syscall: string
  readonly errno: number
  readonly code: string

  constructor(syscall: string, errno: number, text: string) {
    super(`${syscall}: ${text} (${errnoName(errno)})`)
    this.name = 'SystemError'
    this.syscall = syscall
    this.errno = errno
    this.code = errnoName(errno)
  }
}
