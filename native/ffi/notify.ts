/** sd_notify(3): tells the service manager how we are. Node has no datagram sockets of the unix family. */
import * as libc from './libc.ts'

/**
 * Sends `READY=1`, `STOPPING=1`, ... to the socket that systemd names in NOTIFY_SOCKET; a name that begins with `@` is
 * abstract. Returns false, and does nothing, when there is none. Throws SystemError when nobody listens there.
 */
export function notify(state: string, path = process.env['NOTIFY_SOCKET']): boolean {
  if (path === undefined || path === '') return false
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`)
  const address = Buffer.alloc(2 + name.length)
  address.writeUInt16LE(libc.AF_UNIX, 0)
  address.set(name, 2)
  const fd = libc.socket(libc.AF_UNIX, libc.SOCK_DGRAM, 0)
  try {
    libc.send(fd, Buffer.from(state), address)
    return true
  } finally {
    libc.close(fd)
  }
}
