/**
 * Many new TCP connections, one after the other, with as little beside them as can be: system calls without an event
 * loop, so that what is measured is the kernel's path of a connection's first packets. Run by bridge-connections.ts:
 *
 *   node bridge-connector.ts accept PORT...    takes connections of these ports, until it is killed
 *   node bridge-connector.ts connect JSON      { targets, slices, ms }; prints connections/s as JSON, rates[target][slice]
 */
import koffi from 'koffi'
import { SystemError } from '../../native/ffi/errno.ts'
import * as libc from '../../native/ffi/libc.ts'

export interface Target {
  /** IPv4. */
  readonly address: string
  /** Taken in turn. */
  readonly ports: readonly number[]
}

export interface Order {
  readonly targets: readonly Target[]
  /** How often each target has its turn. */
  readonly slices: number
  /** Length of a turn. */
  readonly ms: number
}

const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const SO_LINGER = 13
const SO_SNDTIMEO = 21
const POLLIN = 1
/** The most that the kernel allows by default: net.core.somaxconn. */
const backlog = 4096

const library = koffi.load(null)
const calls = {
  connect: library.func('int connect(int, void *, uint32_t)') as (fd: number, to: Uint8Array, length: number) => number,
  listen: library.func('int listen(int, int)') as (fd: number, backlog: number) => number,
  accept4: library.func('int accept4(int, void *, void *, int)') as (
    fd: number,
    from: null,
    length: null,
    flags: number,
  ) => number,
  poll: library.func('int poll(void *, unsigned long, int)') as (fds: Uint8Array, count: number, ms: number) => number,
}

/** struct sockaddr_in */
function socketAddress(address: string, port: number): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.writeUInt16LE(libc.AF_INET, 0)
  bytes.writeUInt16BE(port, 2)
  bytes.set(address.split('.').map(Number), 4)
  return bytes
}

function refuse(result: number, name: string): number {
  if (result >= 0) return result
  const errno = koffi.errno()
  throw new SystemError(name, errno, libc.errnoText(errno))
}

/** struct linger: a reset ends the connection at once, so that neither side is left with a port in TIME_WAIT. */
const resetOnClose = new Uint8Array(new Int32Array([1, 0]).buffer)
/** struct timeval: 5 s for a connection, then it is an error. */
const patience = new Uint8Array(new BigInt64Array([5n, 0n]).buffer)

function connectAndReset(to: Uint8Array): void {
  const fd = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0)
  libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, resetOnClose)
  libc.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, patience)
  refuse(calls.connect(fd, to, to.length), 'connect')
  libc.close(fd)
}

/** Connections/s. The clock is read once in sixteen, which is once in half a millisecond. */
function slice(addresses: readonly Uint8Array[], ms: number): number {
  const started = performance.now()
  let made = 0
  let spent = 0
  while (spent < ms) {
    for (let i = 0; i < 16; i += 1, made += 1) connectAndReset(addresses[made % addresses.length] as Uint8Array)
    spent = performance.now() - started
  }
  return (made * 1000) / spent
}

/** A B, then B A, so that a drift of the machine hits all alike. */
function connect({ targets, slices, ms }: Order): readonly (readonly number[])[] {
  const all = targets.map(({ address, ports }) => ({
    addresses: ports.map(port => socketAddress(address, port)),
    rates: [] as number[],
  }))
  for (const { addresses } of all) slice(addresses, Math.min(ms, 200))
  for (let i = 0; i < slices; i += 1) {
    for (const { addresses, rates } of i % 2 === 0 ? all : all.toReversed()) rates.push(slice(addresses, ms))
  }
  return all.map(({ rates }) => rates)
}

function accept(ports: readonly number[]): never {
  const fds = ports.map(port => {
    const fd = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0)
    libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    libc.bind(fd, socketAddress('0.0.0.0', port))
    refuse(calls.listen(fd, backlog), 'listen')
    return fd
  })
  // struct pollfd: fd, events, revents.
  const polled = Buffer.alloc(8 * fds.length)
  for (const [i, fd] of fds.entries()) {
    polled.writeInt32LE(fd, 8 * i)
    polled.writeInt16LE(POLLIN, 8 * i + 4)
  }
  console.log('ready')
  for (;;) {
    refuse(calls.poll(polled, fds.length, -1), 'poll')
    for (const [i, fd] of fds.entries()) {
      if (polled.readInt16LE(8 * i + 6) === 0) continue
      libc.close(refuse(calls.accept4(fd, null, null, 0), 'accept4'))
    }
  }
}

if (import.meta.main) {
  const [role, ...rest] = process.argv.slice(2)
  if (role === 'accept') accept(rest.map(Number))
  else console.log(JSON.stringify(connect(JSON.parse(rest[0] ?? '') as Order)))
}
