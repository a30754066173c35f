/** Errors of the kernel in words that the engine's user can act on. Anything else is passed on as it is. */
import { KernelError } from '../native/netlink/errors.ts'
import { UserError } from '../plugin-api/answer.ts'
import { Claimed } from './reconcile.ts'

export async function explained<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (cause) {
    throw explain(cause)
  }
}

interface Row {
  readonly code: string
  readonly hint: string
}

/** By errno: what usually lies behind it here. */
const rows: Readonly<Record<string, Row>> = {
  EXFULL: {
    code: 'NETWORK_FULL',
    hint: "a bridge has at most 1,023 ports: use a second network, or remove stopped endpoints with 'weft settle'",
  },
  EPERM: {
    code: 'NOT_PERMITTED',
    hint: "weftd needs root with CAP_NET_ADMIN and CAP_SYS_ADMIN, and weft's nftables table must belong to no other running weftd",
  },
  EADDRNOTAVAIL: { code: 'HOST_ADDRESS_UNKNOWN', hint: 'no interface of this host has that address' },
  EADDRINUSE: { code: 'PORT_TAKEN', hint: 'another program has that port: stop it, or publish on another one' },
  EEXIST: {
    code: 'NAME_TAKEN',
    hint: "something of that name exists and is not weft's: remove it, or choose another name",
  },
  ENODEV: {
    code: 'PARENT_MISSING',
    hint: 'a link that it is to stand on is not there: nothing but the container needs to be started again when it is back',
  },
  EBUSY: {
    code: 'PARENT_BUSY',
    hint: 'the link below is a port of a bridge, or carries links of another kind than this one',
  },
  EOPNOTSUPP: {
    code: 'KERNEL_LACKS',
    hint: 'this kernel has no support for it: load the module, or use another driver',
  },
  ENOBUFS: { code: 'KERNEL_BUSY', hint: 'try again' },
  ENOMEM: { code: 'KERNEL_MEMORY', hint: 'the kernel has no memory for it' },
}

export function explain(cause: unknown): unknown {
  if (cause instanceof Claimed) {
    return new UserError('CLAIMED', `${cause.key} belongs to ${cause.holder} already`, {
      hint: 'two networks or endpoints cannot share it: remove the other one, or use another id',
      cause,
    })
  }
  if (!(cause instanceof KernelError)) return cause
  const row = rows[cause.errno] ?? {
    code: 'KERNEL_REFUSED',
    hint: "'weft diff' shows what is missing, weftd's log has the details",
  }
  return new UserError(row.code, cause.message, { hint: row.hint, cause })
}
