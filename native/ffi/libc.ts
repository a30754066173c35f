/**
 * The system calls that Node has no function for, bound with koffi. Moves bytes, knows no message. A failing call throws
 * SystemError. The `Async` ones run on libuv's thread pool, where waiting does not hold up the program.
 */
import koffi from 'koffi'
import { SystemError } from './errno.ts'

export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10
export const AF_NETLINK = 16
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const SOCK_RAW = 3
const SOCK_CLOEXEC = 0o2000000
const MSG_DONTWAIT = 0x40
const MSG_TRUNC = 0x20
const EINTR = 4
const EAGAIN = 11
const ENODEV = 19
const ENOBUFS = 105

// The program's own symbols: the same line serves glibc and musl.
const library = koffi.load(null)

type Argument = number | string | null | Uint8Array | object
interface Call {
  (...args: readonly Argument[]): number
  async(...args: readonly (Argument | ((error: unknown, result: number) => void))[]): void
}
const declare_ = (definition: string): Call => library.func(definition) as Call

const calls = {
  socket: declare_('int socket(int, int, int)'),
  bind: declare_('int bind(int, void *, uint32_t)'),
  connect: declare_('int connect(int, void *, uint32_t)'),
  getsockname: declare_('int getsockname(int, void *, void *)'),
  setsockopt: declare_('int setsockopt(int, int, int, void *, uint32_t)'),
  sendto: declare_('long sendto(int, void *, size_t, int, void *, uint32_t)'),
  recv: declare_('long recv(int, void *, size_t, int)'),
  sendmsg: declare_('long sendmsg(int, void *, int)'),
  recvmsg: declare_('long recvmsg(int, void *, int)'),
  ioctl: declare_('int ioctl(int, unsigned long, void *)'),
  close: declare_('int close(int)'),
  setns: declare_('int setns(int, int)'),
  unshare: declare_('int unshare(int)'),
  mount: declare_('int mount(str, str, str, unsigned long, void *)'),
  umount2: declare_('int umount2(str, int)'),
  epoll_create1: declare_('int epoll_create1(int)'),
  epoll_ctl: declare_('int epoll_ctl(int, int, int, void *)'),
  epoll_wait: declare_('int epoll_wait(int, void *, int, int)'),
  eventfd: declare_('int eventfd(unsigned int, int)'),
} as const
type Name = keyof typeof calls
const strerror = library.func('str strerror(int)') as (errno: number) => string

/** The C library's words for an errno: `File exists`. */
export function errnoText(errno: number): string {
  return strerror(errno)
}

function failure(name: Name, errno: number): SystemError {
  return new SystemError(name, errno, errnoText(errno))
}

function call(name: Name, ...args: readonly Argument[]): number {
  const result = calls[name](...args)
  if (result < 0) throw failure(name, koffi.errno())
  return result
}

/** koffi keeps the bare addresses of buffers only: the closure is what keeps `args` alive until the call is over. */
function callAsync(name: Name, ...args: readonly Argument[]): Promise<number> {
  return new Promise((resolve, reject) => {
    calls[name].async(...args, (error: unknown, result: number) => {
      const errno = koffi.errno()
      if (error) reject(new Error(`${name} could not be started`, { cause: [error, args] }))
      else if (result < 0) reject(failure(name, errno))
      else resolve(result)
    })
  })
}

/** Closed when a program is executed. */
export function socket(domain: number, type: number, protocol: number): number {
  return call('socket', domain, type | SOCK_CLOEXEC, protocol)
}

export function bind(fd: number, address: Uint8Array): void {
  call('bind', fd, address, address.length)
}

/** Names the peer of a datagram socket, at once. */
export function connect(fd: number, address: Uint8Array): void {
  call('connect', fd, address, address.length)
}

/** The socket's own address, struct sockaddr_*. */
export function getsockname(fd: number): Uint8Array {
  const address = new Uint8Array(128)
  const length = new Uint32Array([address.length])
  call('getsockname', fd, address, length)
  return address.subarray(0, length[0])
}

export function setsockopt(fd: number, level: number, option: number, value: number | Uint8Array): void {
  const bytes = typeof value === 'number' ? new Uint32Array([value]) : value
  call('setsockopt', fd, level, option, bytes, bytes.byteLength)
}

/** In the thread pool: some options wait for the lock of all links. */
export async function setsockoptAsync(fd: number, level: number, option: number, value: Uint8Array): Promise<void> {
  await callAsync('setsockopt', fd, level, option, value, value.byteLength)
}

const sockFprog = koffi.struct({ length: 'uint16_t', filter: 'void *' })
const attach = library.func('setsockopt', 'int', ['int', 'int', 'int', koffi.pointer(sockFprog), 'uint32_t']) as Call

/** SO_ATTACH_FILTER; `filter` is an array of struct sock_filter, 8 bytes each. */
export function attachFilter(fd: number, filter: Uint8Array): void {
  const program = { length: filter.length / 8, filter }
  if (attach(fd, 1, 26, program, koffi.sizeof(sockFprog)) < 0) throw failure('setsockopt', koffi.errno())
}

const SIOCGIFINDEX = 0x8933

/** Index of a link in the namespace of a socket, of whatever sort; undefined: no such link. Waits for no lock. */
export function interfaceIndex(fd: number, name: string): number | undefined {
  // struct ifreq: the name in 16 bytes, then a union
  const question = Buffer.alloc(40)
  if (question.write(name) > 15) return undefined
  if (calls.ioctl(fd, SIOCGIFINDEX, question) >= 0) return question.readInt32LE(16)
  const errno = koffi.errno()
  if (errno === ENODEV) return undefined
  throw failure('ioctl', errno)
}

export function send(fd: number, data: Uint8Array, to?: Uint8Array): void {
  call('sendto', fd, data, data.length, 0, to ?? null, to?.length ?? 0)
}

/** Does not wait. False: there is no room at the moment. */
export function trySend(fd: number, data: Uint8Array): boolean {
  if (calls.sendto(fd, data, data.length, MSG_DONTWAIT, null, 0) >= 0) return true
  const errno = koffi.errno()
  if (errno === EAGAIN || errno === ENOBUFS) return false
  throw failure('sendto', errno)
}

export async function sendAsync(fd: number, data: Uint8Array): Promise<void> {
  await callAsync('sendto', fd, data, data.length, 0, null, 0)
}

/** Real length of the next message, which may exceed the buffer's; undefined when none waits. */
export function receive(fd: number, into: Uint8Array): number | undefined {
  const length = calls.recv(fd, into, into.length, MSG_DONTWAIT | MSG_TRUNC)
  if (length >= 0) return length
  const errno = koffi.errno()
  if (errno === EAGAIN) return undefined
  throw failure('recv', errno)
}

export async function receiveAsync(fd: number, into: Uint8Array): Promise<number | undefined> {
  try {
    return await callAsync('recv', fd, into, into.length, MSG_DONTWAIT | MSG_TRUNC)
  } catch (error) {
    if (error instanceof SystemError && error.errno === EAGAIN) return undefined
    throw error
  }
}

/** The address of a buffer that lies outside of the heap of JavaScript: made from an ArrayBuffer of its own. */
export function addressOfBuffer(buffer: Uint8Array): bigint {
  return koffi.address(buffer)
}

/** `header`: struct msghdr. False: there is no room at the moment. */
export function sendMessage(fd: number, header: Uint8Array): boolean {
  if (calls.sendmsg(fd, header, MSG_DONTWAIT) >= 0) return true
  const errno = koffi.errno()
  if (errno === EAGAIN || errno === ENOBUFS) return false
  throw failure('sendmsg', errno)
}

/** Fills in `header`, struct msghdr. The real length, which may exceed the buffer's; undefined when none waits. */
export function receiveMessage(fd: number, header: Uint8Array): number | undefined {
  const length = calls.recvmsg(fd, header, MSG_DONTWAIT | MSG_TRUNC)
  if (length >= 0) return length
  const errno = koffi.errno()
  if (errno === EAGAIN) return undefined
  throw failure('recvmsg', errno)
}

/** Messages were lost because the receive buffer was full. The socket goes on. */
export function isOverrun(error: unknown): boolean {
  return error instanceof SystemError && error.errno === ENOBUFS
}

export function close(fd: number): void {
  call('close', fd)
}

/** Moves the calling thread. Only ffi/netns.ts may call it. */
export function setns(fd: number, type: number): void {
  call('setns', fd, type)
}

/** Moves the calling thread. Only ffi/netns.ts may call it. */
export function unshare(what: number): void {
  call('unshare', what)
}

export function mount(source: string, target: string, type: string, what: number): void {
  call('mount', source, target, type, what, null)
}

export function umount(target: string, how: number): void {
  call('umount2', target, how)
}

export const EPOLLIN = 1
const EPOLL_CTL_ADD = 1
const EPOLL_CTL_DEL = 2
// struct epoll_event is packed on x86-64 only.
const [eventSize, dataAt] = process.arch === 'x64' ? [12, 4] : [16, 8]
const maxEvents = 32

export function epollCreate(): number {
  return call('epoll_create1', 0o2000000)
}

export function epollAdd(epoll: number, fd: number): void {
  const event = new DataView(new ArrayBuffer(eventSize))
  event.setUint32(0, EPOLLIN, true)
  event.setInt32(dataAt, fd, true)
  call('epoll_ctl', epoll, EPOLL_CTL_ADD, fd, new Uint8Array(event.buffer))
}

export function epollRemove(epoll: number, fd: number): void {
  call('epoll_ctl', epoll, EPOLL_CTL_DEL, fd, null)
}

/** Waits in the thread pool, without end, for readable or failed descriptors. */
export async function epollWait(epoll: number): Promise<readonly number[]> {
  const events = new Uint8Array(maxEvents * eventSize)
  const view = new DataView(events.buffer)
  for (;;) {
    try {
      const count = await callAsync('epoll_wait', epoll, events, maxEvents, -1)
      return Array.from({ length: count }, (_, i) => view.getInt32(i * eventSize + dataAt, true))
    } catch (error) {
      if (!(error instanceof SystemError) || error.errno !== EINTR) throw error
    }
  }
}

/** A counter that is readable when it is not 0; written by `fs.writeSync` of 8 bytes. */
export function eventfd(): number {
  return call('eventfd', 0, 0o2000000)
}
