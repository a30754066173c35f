/**
 * Sockets that hold a port: bound, so that nobody else gets it. As long as one does not listen, the kernel refuses a TCP
 * connection to it; a datagram is dropped before it is queued, for nobody would ever read it.
 */
import { familyOf, ipToBytes, type Ip } from '../value/ip.ts'
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

/**
 * A descriptor to be closed by `closeHeldPort`. In the namespace of the calling thread. Throws SystemError: EADDRINUSE
 * when another process has the port, EADDRNOTAVAIL when no link has the address, EPROTONOSUPPORT for SCTP when the
 * kernel has none.
 *
 * With SO_REUSEADDR it would hold nothing against the many programs that set it, too. With SO_REUSEPORT only sockets of
 * the same user that set it get in: this program's own above all, which has to tell them apart itself.
 */
export function holdPort(port: PortAddress): number {
  return openPort(port, 'hold')
}

/** The same for a socket that is going to serve: TCP to be listened on, UDP to be read by ffi/datagram.ts. */
export function openServedPort(port: PortAddress): number {
  return openPort(port, 'serve')
}

function openPort({ protocol, address, port }: PortAddress, purpose: 'hold' | 'serve'): number {
  const family = familyOf(address)
  const fd = libc.socket(
    family === 6 ? libc.AF_INET6 : libc.AF_INET,
    protocol === 'udp' ? libc.SOCK_DGRAM : libc.SOCK_STREAM,
    protocol === 'sctp' ? IPPROTO_SCTP : 0,
  )
  try {
    libc.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, 1)
    if (family === 6) libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)
    if (protocol === 'udp' && purpose === 'hold') libc.attachFilter(fd, dropAll)
    if (protocol === 'udp' && purpose === 'serve') {
      const { level, option } = tellsAddress[family]
      libc.setsockopt(fd, level, option, 1)
    }
    // Inherited by connections: clients that vanished without a word are noticed, as slowly as the host is set to.
    if (protocol === 'tcp' && purpose === 'serve') libc.setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
    libc.bind(fd, socketAddress(address, port))
    return fd
  } catch (error) {
    libc.close(fd)
    throw error
  }
}

/**
 * To be called once a TCP socket listens, and not before: connections inherit SO_REUSEADDR, so that those which linger
 * in TIME_WAIT do not keep the port from others after its release. The listening socket itself stays exclusive.
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
