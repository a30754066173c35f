/**
 * Sockets that hold a port: bound, so that nobody else gets it, and never listening. The kernel refuses a TCP
 * connection to one; a datagram is dropped before it is queued, for nobody would ever read it.
 */
import { familyOf, ipToBytes, type Ip } from '../value/ip.ts'
import * as libc from './libc.ts'

export interface PortAddress {
  readonly protocol: 'tcp' | 'udp'
  /** `0.0.0.0` and `::` are every address of their family: `::` does not take the port of IPv4. */
  readonly address: Ip
  /** 0: the kernel chooses one, see `portOf`. */
  readonly port: number
}

const IPPROTO_IPV6 = 41
const IPV6_V6ONLY = 26
/** struct sock_filter: BPF_RET | BPF_K, keep 0 bytes. */
const dropAll = Uint8Array.of(6, 0, 0, 0, 0, 0, 0, 0)

/**
 * A descriptor to be closed by `closeHeldPort`. In the namespace of the calling thread. Throws SystemError: EADDRINUSE
 * when any process has the port, EADDRNOTAVAIL when no link has the address.
 */
export function holdPort({ protocol, address, port }: PortAddress): number {
  const v6 = familyOf(address) === 6
  const fd = libc.socket(v6 ? libc.AF_INET6 : libc.AF_INET, protocol === 'tcp' ? libc.SOCK_STREAM : libc.SOCK_DGRAM, 0)
  try {
    if (v6) libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)
    if (protocol === 'udp') libc.attachFilter(fd, dropAll)
    libc.bind(fd, v6 ? sockaddrIn6(address, port) : sockaddrIn(address, port))
    return fd
  } catch (error) {
    libc.close(fd)
    throw error
  }
}

export function closeHeldPort(fd: number): void {
  libc.close(fd)
}

/** The number of a held port. */
export function portOf(fd: number): number {
  return Buffer.from(libc.getsockname(fd)).readUInt16BE(2)
}

function sockaddrIn(address: Ip, port: number): Uint8Array {
  const bytes = Buffer.alloc(16)
  bytes.writeUInt16LE(libc.AF_INET, 0)
  bytes.writeUInt16BE(port, 2)
  bytes.set(ipToBytes(address), 4)
  return bytes
}

function sockaddrIn6(address: Ip, port: number): Uint8Array {
  const bytes = Buffer.alloc(28)
  bytes.writeUInt16LE(libc.AF_INET6, 0)
  bytes.writeUInt16BE(port, 2)
  bytes.set(ipToBytes(address), 8)
  return bytes
}
