import { writeSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { SystemError } from '../../../native/ffi/errno.ts'
import * as libc from '../../../native/ffi/libc.ts'

test('libc: a failing call says which, and why', () => {
  try {
    libc.close(-1)
    assert.unreachable()
  } catch (error) {
    assert.instance(error, SystemError)
    assert.is((error as SystemError).message, 'close: Bad file descriptor (EBADF)')
    assert.equal([(error as SystemError).errno, (error as SystemError).code], [9, 'EBADF'])
  }
})

test('libc: errors of the thread pool arrive, each its own', async () => {
  const udp = libc.socket(libc.AF_INET, libc.SOCK_DGRAM, 0)
  const buffer = new Uint8Array(10)
  const results = await Promise.allSettled(
    Array.from({ length: 50 }, (_, i) => libc.receiveAsync(i % 2 ? -1 : udp, buffer)),
  )
  for (const [i, result] of results.entries()) {
    if (i % 2) assert.match(String((result as PromiseRejectedResult).reason), /recv: .*EBADF/)
    else assert.equal(result, { status: 'fulfilled', value: undefined })
  }
  libc.close(udp)
})

test('epoll: waits in the pool, tells which descriptor it is', async () => {
  const [epoll, one, two] = [libc.epollCreate(), libc.eventfd(), libc.eventfd()]
  libc.epollAdd(epoll, one)
  libc.epollAdd(epoll, two)
  const ready = libc.epollWait(epoll)
  writeSync(two, new BigUint64Array([1n]))
  assert.equal(await ready, [two])
  writeSync(one, new BigUint64Array([1n]))
  libc.epollRemove(epoll, two)
  assert.equal(await libc.epollWait(epoll), [one])
  for (const fd of [epoll, one, two]) libc.close(fd)
})

test.run()
