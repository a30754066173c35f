import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { errnoName, errnoNumber, SystemError } from '../../../native/ffi/errno.ts'
import { asKernelError, kernelError, KernelError } from '../../../native/netlink/errors.ts'

const about = { op: 'create', object: 'veth wv123' }

test('kernel error: what, on what, why', () => {
  const error = kernelError(-17, about)
  assert.is(error.message, 'create veth wv123: File exists (EEXIST)')
  assert.is(error.errno, 'EEXIST')
  assert.is(error.op, 'create')
  assert.is(error.object, 'veth wv123')
})

test("kernel error: the kernel's own words come first, and the attribute is named", () => {
  const error = kernelError('ERANGE', { ...about, kernelText: 'MTU is too small', attribute: 'mtu' })
  assert.is(error.message, 'create veth wv123: MTU is too small at mtu (ERANGE)')
})

test('kernel error: made of a failed system call, ours and of Node', () => {
  const ours = asKernelError(new SystemError('bind', 98, 'Address already in use'), 'hold', 'port tcp 80')
  assert.instance(ours, KernelError)
  assert.is((ours as KernelError).message, 'hold port tcp 80: Address already in use (EADDRINUSE)')
  try {
    readFileSync('/nonexistent')
    assert.unreachable()
  } catch (error) {
    assert.is(
      (asKernelError(error, 'read', 'it') as KernelError).message,
      'read it: No such file or directory (ENOENT)',
    )
  }
})

test('kernel error: a bug stays what it is', () => {
  const bug = new TypeError('x is not a function')
  assert.is(asKernelError(bug, 'read', 'it'), bug)
})

test('errno: names and numbers', () => {
  const known: [number, string][] = [
    [1, 'EPERM'],
    [11, 'EAGAIN'],
    [54, 'EXFULL'],
    [85, 'ERESTART'],
    [95, 'EOPNOTSUPP'],
    [98, 'EADDRINUSE'],
    [105, 'ENOBUFS'],
  ]
  for (const [number, name] of known) {
    assert.is(errnoName(number), name)
    assert.is(errnoNumber(name), number)
  }
  assert.is(errnoName(4095), 'E4095')
})

test.run()
