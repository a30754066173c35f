/**
 * Sockets that have a port of a namespace, by which another bind may be refused. Source: include/uapi/linux/inet_diag.h.
 * The kernel tells of TCP sockets that are bound and neither listen nor are connected from 6.8 on.
 */
import { attrs, be16, bool8, bytes, fixedBytes, message, struct, u32, u8, type Infer } from '../netlink/codec.ts'
import { KernelError } from '../netlink/errors.ts'
import { NetlinkSocket, protocols, type Entry } from '../netlink/socket.ts'
import { familyOf, ipFromBytes, isUnspecified, type Ip } from '../value/ip.ts'

export interface BoundSocket {
  /** `0.0.0.0` and `::` are every address. */
  readonly address: Ip
  readonly port: number
  /** Without it, a socket on `::` has the port of IPv4 too. Always false for IPv4. */
  readonly v6Only: boolean
  readonly state: 'listening' | 'closing' | 'other'
  /** A program has it. Else it is the kernel's alone: what is left of a connection, or one that waits to be accepted. */
  readonly owned: boolean
}

type Protocol = keyof typeof numbers
const numbers = { tcp: 6, udp: 17, sctp: 132 } as const

const AF_INET = 2
const AF_INET6 = 10
/** TCP_LISTEN; FIN_WAIT1, FIN_WAIT2, TIME_WAIT, LAST_ACK and CLOSING of TCP. */
const LISTEN = 10
const closing = [4, 5, 6, 9, 11]
/** Up to TCP_BOUND_INACTIVE, 13. */
const everyState = (1 << 14) - 1

const question = message({
  name: 'sock_diag',
  type: 20,
  header: struct(56, { family: [0, u8], protocol: [1, u8], states: [4, u32] }),
  attrs: attrs({ filter: [1, bytes] }),
})
const answer = message({
  name: 'sock_diag',
  type: 20,
  header: struct(72, {
    family: [0, u8],
    state: [1, u8],
    port: [4, be16],
    address: [8, fixedBytes(16)],
    inode: [68, u32],
  }),
  attrs: attrs({ v6Only: [11, bool8] }),
})

/**
 * Those with a number from `from` to `to`; none of a protocol that the kernel does not have, or cannot list. In the
 * namespace of the calling thread at the time of the call. The kernel looks at every socket there is, in the thread pool.
 */
export async function boundSockets(protocol: Protocol, from: number, to = from): Promise<readonly BoundSocket[]> {
  await using socket = new NetlinkSocket(protocols.sockDiag)
  const found: BoundSocket[] = []
  for (const family of [AF_INET, AF_INET6]) {
    const header = { family, protocol: numbers[protocol], states: everyState }
    const about = { op: 'list', object: `${protocol} sockets`, reply: answer }
    const filter = between(from, to)
    try {
      found.push(...(await socket.dump(question, header, { filter }, about)).map(socketOf))
    } catch (error) {
      if (!(error instanceof KernelError && error.errno === 'ENOENT')) throw error
    }
  }
  return found
}

/** Whether such a socket is in the way of a bind to this address, which for IPv6 leaves IPv4 alone. */
export function excludes(
  { address: theirs, port: their, v6Only }: BoundSocket,
  { address, port }: { readonly address: Ip; readonly port: number },
): boolean {
  if (their !== port) return false
  if (familyOf(theirs) !== familyOf(address)) return theirs === '::' && !v6Only
  return theirs === address || isUnspecified(theirs) || isUnspecified(address)
}

/** What is left of a connection of TCP. */
export function isLingering({ owned, state }: BoundSocket): boolean {
  return !owned && state === 'closing'
}

type Answer = Entry<Infer<typeof answer.header>, Infer<typeof answer.attrs>>
function socketOf({ header, attrs: more }: Answer): BoundSocket {
  const { port, state, inode } = header
  return {
    ...{ address: addressOf(header), port, v6Only: more.v6Only ?? false },
    state: state === LISTEN ? 'listening' : closing.includes(state) ? 'closing' : 'other',
    owned: inode !== 0,
  }
}

/** A connection of IPv4 that an IPv6 socket has is in the way of IPv4. */
function addressOf({ family, address }: Answer['header']): Ip {
  if (family === AF_INET) return ipFromBytes(address.subarray(0, 4))
  const text = ipFromBytes(address)
  return text.startsWith('::ffff:') && text.includes('.') ? ipFromBytes(address.subarray(12)) : text
}

/** struct inet_diag_bc_op[]: what to do, how far it is to the next if it is so, and if not: past the end. */
function between(from: number, to: number): Uint8Array {
  const [S_GE, S_LE] = [2, 3]
  const filter = Buffer.alloc(16)
  for (const [at, what, number] of [
    [0, S_GE, from],
    [8, S_LE, to],
  ] as const) {
    filter.writeUInt8(what, at)
    filter.writeUInt8(8, at + 1)
    filter.writeUInt16LE(filter.length - at + 4, at + 2)
    filter.writeUInt16LE(number, at + 6)
  }
  return filter
}
