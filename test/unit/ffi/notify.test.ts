import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as libc from '../../../native/ffi/libc.ts'
import { notify } from '../../../native/ffi/notify.ts'

/** A service manager's end: a datagram socket under a path or an abstract name. */
function manager(name: string): number {
  const fd = libc.socket(libc.AF_UNIX, libc.SOCK_DGRAM, 0)
  libc.bind(fd, Buffer.from([libc.AF_UNIX, 0, ...Buffer.from(name)]))
  return fd
}

function heard(fd: number): string | undefined {
  const buffer = Buffer.alloc(100)
  const length = libc.receive(fd, buffer)
  return length === undefined ? undefined : buffer.toString('utf8', 0, length)
}

test('notify: to a path', () => {
  const directory = mkdtempSync(join(tmpdir(), 'weft-notify-'))
  const path = join(directory, 'socket')
  const fd = manager(`${path}\0`)
  assert.is(notify('READY=1', path), true)
  assert.is(heard(fd), 'READY=1')
  libc.close(fd)
  assert.throws(() => notify('READY=1', path), /ECONNREFUSED/)
  rmSync(directory, { recursive: true })
})

test('notify: to an abstract name', () => {
  const name = `weft-notify-${process.pid}`
  const fd = manager(`\0${name}`)
  assert.is(notify('STOPPING=1\nSTATUS=x', `@${name}`), true)
  assert.is(heard(fd), 'STOPPING=1\nSTATUS=x')
  assert.is(heard(fd), undefined)
  libc.close(fd)
})

test('notify: without a manager nothing happens', () => {
  assert.is(notify('READY=1', ''), false)
})

test.run()
