/**
 * Sockets that hold a port: bound, so that nobody else gets it. As long as one does not listen, the kernel refuses a TCP
 * connection to it; a datagram is dropped before it is queued, for nobody would ever read it.
 */
import { familyOf, ipToBytes, type Ip } from '../value/ip.ts'
import { errnoNumber, SystemError } from './errno.ts'
import * as libc from './libc.ts'

export interface PortAddress {
  readonly protocol: 'tcp' | 'udp' | 'sctp'
  /** `0.0.0.0` and `::` are every address of their family: `::` does not take the port of IPv4. */
  readonly address: Ip
  /** 0: the kernel chooses one, see `portOf`. */
  readonly port: number
}

const IPPROTO_SCTP = 132
const IPPROTO_IPV6 = 41
const IPV6_V6ONLY = 26
const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const SO_KEEPALIVE = 9
const SO_REUSEPORT = 15
/** IP_PKTINFO and IPV6_RECVPKTINFO. */
const tellsAddress = { 4: { level: 0, option: 8 }, 6: { level: IPPROTO_IPV6, option: 49 } } as const
/** struct sock_filter: BPF_RET | BPF_K, keep 0 bytes. */
const dropAll = Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0)

/** What may be on the port already. Else a bind is refused by whatever is there, whatever options that has. */
export interface Beside {
  /** Sockets of this process, see `shareHeldPort`. Those of other programs of root that are shared are not noticed. */
  readonly own?: boolean
  /** Connections of TCP that linger, and had SO_REUSEADDR. Whoever calls has seen that no program has any of them. */
  readonly lingering?: boolean
}

/**
 * A descriptor to be closed by `closeHeldPort`. In the namespace of the calling thread. Throws SystemError: EADDRINUSE
 * when another process has the port, EADDRNOTAVAIL when no link has the address, EPROTONOSUPPORT for SCTP when the
 * kernel has none. Nobody gets in beside it, with SO_REUSEADDR or SO_REUSEPORT or both.
 */
export function holdPort(port: PortAddress, beside: Beside = {}): number {
  return openPort(port, 'hold', beside)
}

/**
 * The same for a socket that is going to serve: TCP to be listened on, UDP to be read by ffi/datagram.ts. It is shared
 * from the start: its connections inherit that, and would keep the port from the socket that takes its place.
 */
export function openServedPort(port: PortAddress, beside: Beside = {}): number {
  return openPort(port, 'serve', beside)
}

function openPort(port: PortAddress, purpose: 'hold' | 'serve', { own = false, lingering = false }: Beside): number {
  const { protocol } = port
  const fd = openSocket(port)
  try {
    if (protocol === 'udp' && purpose === 'hold') libc.attachFilter(fd, dropAll)
    if (protocol === 'udp' && purpose === 'serve') {
      const { level, option } = tellsAddress[familyOf(port.address)]
      libc.setsockopt(fd, level, option, 1)
    }
    // Inherited by connections: clients that vanished without a word are noticed, as slowly as the host is set to.
    if (protocol === 'tcp' && purpose === 'serve') libc.setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
    if (own) shareHeldPort(fd)
    if (lingering) libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    bind(fd, port)
    if (lingering) {
      libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 0)
      checkExclusive(port)
    }
    // Not before: a bind with it does not see listeners that the same user's programs have with it.
    if (purpose === 'serve') shareHeldPort(fd)
    return fd
  } catch (error) {
    libc.close(fd)
    throw error
  }
}

function openSocket({ protocol, address }: PortAddress): number {
  return libc.socket(
    familyOf(address) === 6 ? libc.AF_INET6 : libc.AF_INET,
    protocol === 'udp' ? libc.SOCK_DGRAM : libc.SOCK_STREAM,
    protocol === 'sctp' ? IPPROTO_SCTP : 0,
  )
}

function bind(fd: number, { address, port }: PortAddress): void {
  if (familyOf(address) === 6) libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)
  libc.bind(fd, socketAddress(address, port))
}

/**
 * Where all that is on a port was bound with SO_REUSEADDR, and none of it ever listened, kernels may remember that and let
 * others with SO_REUSEADDR in without a look at the sockets: what was bound there in between would hold nothing.
 */
function checkExclusive(port: PortAddress): void {
  const fd = openSocket(port)
  try {
    libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    bind(fd, port)
  } catch (error) {
    if (isInUse(error)) return
    throw error
  } finally {
    libc.close(fd)
  }
  const errno = errnoNumber('EADDRINUSE')
  throw new SystemError('bind', errno, libc.errnoText(errno))
}

export function isInUse(error: unknown): boolean {
  return error instanceof SystemError && error.code === 'EADDRINUSE'
}

/** From now on, sockets of the same user that set SO_REUSEPORT get in: this process's own, and other programs of root. */
export function shareHeldPort(fd: number): void {
  libc.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, 1)
}

/**
 * To be called before a TCP socket listens, in one go with that: connections inherit SO_REUSEADDR, so that those which
 * linger in TIME_WAIT do not keep the port from others after its release, and those of before do not keep it from
 * listening. The listening socket itself stays exclusive.
 */
export function letConnectionsLinger(fd: number): void {
  libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1)
}

export function closeHeldPort(fd: number): void {
  libc.close(fd)
}

/** The number of a held port. */
export function portOf(fd: number): number {
  return Buffer.from(libc.getsockname(fd)).readUInt16BE(2)
}

/** struct sockaddr_in or sockaddr_in6. */
export function socketAddress(address: Ip, port: number): Uint8Array {
  const v6 = familyOf(address) === 6
  const bytes = Buffer.alloc(v6 ? 28 : 16)
  bytes.writeUInt16LE(v6 ? libc.AF_INET6 : libc.AF_INET, 0)
  bytes.writeUInt16BE(port, 2)
  bytes.set(ipToBytes(address), v6 ? 8 : 4)
  return bytes
}
