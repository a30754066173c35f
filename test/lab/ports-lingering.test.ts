/** Ports on which connections of a server linger that has ended. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { boundSockets, isLingering } from '../../native/diag/sockets.ts'
import * as libc from '../../native/ffi/libc.ts'
import { closeHeldPort, holdPort, socketAddress } from '../../native/ffi/ports.ts'
import { HeldPorts } from '../../native/kernel/ports.ts'
import { KernelError } from '../../native/netlink/errors.ts'
import type { Ip } from '../../native/value/ip.ts'
import { bound, listen, port, refusal, refusedBy } from '../support/held-ports.ts'
import { eventually } from '../support/lab/eventually.ts'
import { enterOwnNetns } from '../support/netlink.ts'
import { run } from '../support/relay.ts'

enterOwnNetns(import.meta.filename)
run('ip link set lo up')

/** A server that has ended the connections of its clients, and itself. */
async function lingering(address: string, number: number): Promise<void> {
  const server = createServer(socket => socket.end()).listen({ port: number, host: address, ipv6Only: true })
  await once(server, 'listening')
  const client = connect(number, address === '::' ? '::1' : '127.0.0.1').resume()
  await once(client, 'close')
  await new Promise(resolve => server.close(resolve))
  assert.ok((await boundSockets('tcp', number)).every(isLingering))
}

test("held ports: connections that linger are in nobody's way, and the port is exclusive then as well", async () => {
  for (const [at, [address, relayed]] of (
    [
      ['0.0.0.0', false],
      ['127.0.0.1', false],
      ['::', false],
      ['::', true],
      ['127.0.0.1', true],
    ] as const
  ).entries()) {
    const wanted = port('tcp', address, 4720 + at, relayed)
    await lingering(address, wanted.port)
    const ports = new HeldPorts()
    assert.is(refusedBy(ports, wanted).errno, 'EADDRINUSE', 'by the kernel alone')
    await ports.take(wanted)
    assert.equal(ports.list(), [wanted])
    const their = { protocol: 'tcp', address: address === '::' ? '::1' : '127.0.0.1', port: wanted.port } as const
    assert.is(await refusal(listen(their)), 'EADDRINUSE')
    if (relayed) await eventually('the relay listens', () => isOpen(their))
    assert.is(await refusal(listen(their)), 'EADDRINUSE')
    ports.releaseAll()
    assert.is(await refusal(listen(their)), 'none', 'the test is about connections that linger')
  }
})

test('held ports: what lingers is in the way of neither of two sockets that stand beside each other', async () => {
  const both = [port('tcp', '::', 4728), port('tcp', '::1', 4728, true)]
  await lingering('::', 4728)
  const ports = new HeldPorts()
  for (const each of both) await ports.take(each)
  assert.equal(ports.list(), both)
  await eventually('the relay listens', () => isOpen({ address: '::1', port: 4728 }))
  ports.releaseAll()
})

test('held ports: a program that is bound with SO_REUSEADDR and does not listen has its port', async () => {
  for (const [number, rest] of [
    [4730, false],
    [4731, true],
  ] as const) {
    if (rest) await lingering('127.0.0.1', number)
    const theirs = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0)
    libc.setsockopt(theirs, 1, 2, 1)
    libc.bind(theirs, socketAddress('127.0.0.1' as Ip, number))
    const ports = new HeldPorts()
    const wanted = port('tcp', '0.0.0.0', number)
    assert.is(await ports.take(wanted).then(() => 'held', errnoOf), 'EADDRINUSE')
    libc.close(theirs)
    await ports.take(wanted)
    ports.releaseAll()
  }
})

test('held ports: a connection that a program still has keeps its port, though nobody listens and its end was sent', async () => {
  const server = createServer({ allowHalfOpen: true }).listen(4735, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const client = connect({ port: 4735, host: '127.0.0.1', allowHalfOpen: true }).resume()
  const [socket] = await accepted
  server.close()
  socket.end()
  await once(client, 'end')
  const there = await boundSockets('tcp', 4735)
  assert.equal(there, [{ ...bound('127.0.0.1', { state: 'closing' }), port: 4735 }])
  const ports = new HeldPorts()
  assert.is(await ports.take(port('tcp', '0.0.0.0', 4735)).then(() => 'held', errnoOf), 'EADDRINUSE')
  client.destroy()
  socket.destroy()
})

test('ports: one that was bound beside what lingers is exclusive, or refused where the kernel cannot make it so', async () => {
  const wanted = { protocol: 'tcp', address: '127.0.0.1' as Ip, port: 4740 } as const
  // Nobody ever listened on it: kernels may let others with SO_REUSEADDR in without looking at ours.
  const theirs = libc.socket(libc.AF_INET, libc.SOCK_STREAM, 0)
  libc.setsockopt(theirs, 1, 2, 1)
  libc.bind(theirs, socketAddress(wanted.address, wanted.port))
  let held: number | undefined
  try {
    held = holdPort(wanted, { lingering: true })
  } catch (error) {
    assert.match(String(error), /EADDRINUSE/)
  }
  libc.close(theirs)
  if (held === undefined) return
  assert.is(await refusal(listen(wanted)), 'EADDRINUSE')
  closeHeldPort(held)
})

function isOpen({ address, port: number }: { readonly address: string; readonly port: number }): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(number, address)
      .once('connect', () => {
        socket.resetAndDestroy()
        resolve(true)
      })
      .once('error', () => {
        resolve(false)
      })
  })
}

function errnoOf(error: unknown): string {
  return error instanceof KernelError ? error.errno : String(error)
}

test.run()
