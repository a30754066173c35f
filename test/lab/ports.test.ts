/** Held ports, who gets in beside them, and who is listening. */
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { boundSockets } from '../../native/diag/sockets.ts'
import { receive } from '../../native/ffi/libc.ts'
import { closeHeldPort, holdPort, openServedPort, portOf } from '../../native/ffi/ports.ts'
import { HeldPorts } from '../../native/kernel/ports.ts'
import type { Ip } from '../../native/value/ip.ts'
import { bound, listen, port, refusal, refusedBy } from '../support/held-ports.ts'
import { enterOwnNetns } from '../support/netlink.ts'

enterOwnNetns(import.meta.filename)
execFileSync('ip', ['link', 'set', 'lo', 'up'])

const protocols = ['tcp', 'udp'] as const
const addresses = ['127.0.0.1', '0.0.0.0', '::1', '::'] as const
/** What excludes each other: an address and itself, or all of its family. */
const overlapping = addresses.flatMap(one =>
  addresses.filter(other => other.includes(':') === one.includes(':')).map(other => [one, other] as const),
)

test('ports: while one is held, a listener with SO_REUSEADDR is refused; afterwards it is not', async () => {
  for (const protocol of protocols) {
    for (const [address, theirs] of overlapping) {
      const held = holdPort({ protocol, address: address as Ip, port: 0 })
      const wanted = { protocol, address: theirs, port: portOf(held) }
      assert.is(await refusal(listen(wanted)), 'EADDRINUSE', `${protocol} ${theirs} beside ${address}`)
      closeHeldPort(held)
      assert.is(await refusal(listen(wanted)), 'none', `${protocol} ${theirs} after ${address}`)
    }
  }
})

test('ports: one that somebody listens on cannot be held', async () => {
  for (const protocol of protocols) {
    for (const [address, theirs] of overlapping) {
      const wanted = { protocol, address: address as Ip, port: 4711 }
      const end = await listen({ protocol, address: theirs, port: 4711 })
      assert.throws(() => holdPort(wanted), /EADDRINUSE/, `${protocol} ${address} beside ${theirs}`)
      end()
      closeHeldPort(holdPort(wanted))
    }
  }
  assert.throws(() => holdPort({ protocol: 'tcp', address: '192.0.2.77' as Ip, port: 80 }), /EADDRNOTAVAIL/)
})

test('ports: a program of the same user with SO_REUSEPORT is refused, unless the port is for a relay', async () => {
  for (const protocol of protocols) {
    for (const [address, theirs] of overlapping) {
      const wanted = { protocol, address: address as Ip, port: 4711 }
      const their = { protocol, address: theirs, port: 4711 }
      const held = holdPort(wanted)
      assert.is(
        await refusal(listen(their, { reusePort: true })),
        'EADDRINUSE',
        `${protocol} ${theirs} beside ${address}`,
      )
      closeHeldPort(held)
      const served = openServedPort(wanted)
      assert.is(await refusal(listen(their, { reusePort: true })), 'none')
      closeHeldPort(served)
    }
  }
})

test('ports: one on which a program of the same user listens with SO_REUSEPORT cannot be held, nor served', async () => {
  for (const protocol of protocols) {
    for (const [address, theirs] of overlapping) {
      const wanted = { protocol, address: address as Ip, port: 4711 }
      const end = await listen({ protocol, address: theirs, port: 4711 }, { reusePort: true })
      for (const open of [holdPort, openServedPort]) {
        assert.throws(() => open(wanted), /EADDRINUSE/, `${protocol} ${address} beside ${theirs}`)
      }
      end()
      closeHeldPort(holdPort(wanted))
    }
  }
})

test('ports: both families have their own; TCP refuses and does not count as listening', async () => {
  const both = ['0.0.0.0', '::'].map(address => holdPort({ protocol: 'tcp', address: address as Ip, port: 4711 }))
  const there = await boundSockets('tcp', 4711)
  assert.not(there.some(({ state }) => state === 'listening'))
  const error = await new Promise(resolve => connect(4711, '127.0.0.1').once('error', resolve))
  assert.match(String(error), /ECONNREFUSED/)
  both.forEach(closeHeldPort)
})

test('ports: UDP drops what arrives', async () => {
  const held = holdPort({ protocol: 'udp', address: '127.0.0.1' as Ip, port: 4711 })
  assert.equal(await boundSockets('udp', 4711), [bound('127.0.0.1', { state: 'other' })])
  const sender = createSocket('udp4')
  await new Promise(resolve => {
    sender.send('hello', 4711, '127.0.0.1', resolve)
  })
  sender.close()
  assert.is(receive(held, new Uint8Array(10)), undefined)
  closeHeldPort(held)
})

test('sockets: those with a number in the range, of both families, as others would be refused by them', async () => {
  const ends = [
    await listen({ protocol: 'tcp', address: '127.0.0.1', port: 4711 }),
    await listen({ protocol: 'tcp', address: '::', port: 4711 }),
    await listen({ protocol: 'tcp', address: '127.0.0.1', port: 4712 }),
  ]
  assert.equal(await boundSockets('tcp', 4711), [bound('127.0.0.1'), bound('::', { v6Only: true })])
  assert.is((await boundSockets('tcp', 4711, 4712)).length, 3)
  assert.equal(await boundSockets('tcp', 4713, 65_535), [])
  for (const end of ends) end()
  const dual = createServer(socket => socket.resume().end()).listen(4719, '::')
  await once(dual, 'listening')
  const client = connect({ port: 4719, host: '127.0.0.1', allowHalfOpen: true })
  await once(client.resume(), 'end')
  const all = await boundSockets('tcp', 4719)
  assert.equal(all.map(({ address, v6Only }) => [address, v6Only]).sort(), [
    ['127.0.0.1', false],
    ['::', false],
  ])
  client.destroy()
  dual.close()
})

test('held ports: a relay that cannot be started leaves its port free', async () => {
  const ports = new HeldPorts()
  const wanted = port('udp', '::1', 4750, true)
  const full: number[] = []
  try {
    for (;;) full.push(openSync('/dev/null', 'r'))
  } catch {
    // No descriptor is left. One for the socket; none for what waits at it.
    closeSync(full.pop() ?? -1)
  }
  try {
    assert.is(refusedBy(ports, wanted).errno, 'EMFILE')
    closeSync(full.pop() ?? -1)
    assert.is(refusedBy(ports, wanted).errno, 'EMFILE', 'one for the socket, one for the first of what waits at it')
  } finally {
    full.forEach(closeSync)
  }
  assert.equal(await boundSockets('udp', wanted.port), [])
  ports.hold(wanted)
  ports.releaseAll()
})

test('held ports: two that overlap exclude each other, though the kernel would let them in', () => {
  for (const protocol of [...protocols, 'sctp'] as const) {
    for (const [address, other] of overlapping) {
      if (address === other) continue
      const ports = new HeldPorts()
      ports.hold(port(protocol, address, 4711))
      const complaint = refusedBy(ports, port(protocol, other, 4711))
      assert.equal([complaint.errno, complaint.object], ['EADDRINUSE', `port ${protocol} ${other} 4711`])
      ports.hold(port(protocol, other, 4712))
      assert.is(ports.list().length, 2)
      ports.releaseAll()
      ports.hold(port(protocol, other, 4711))
      ports.releaseAll()
    }
  }
})

test('held ports: other protocols, families, numbers and addresses do not', () => {
  const ports = new HeldPorts()
  const all = [
    ...protocols.flatMap(protocol => [port(protocol, '0.0.0.0', 4711), port(protocol, '::', 4711)]),
    port('tcp', '0.0.0.0', 4712),
    port('tcp', '127.0.0.1', 4713),
    port('tcp', '127.0.0.2', 4713),
  ]
  all.forEach(each => {
    ports.hold(each)
    ports.hold(each)
  })
  assert.equal(ports.list(), all)
  ports.releaseAll()
  assert.equal(ports.list(), [])
})

test('held ports: a relay on ::1 may stand beside the socket that holds ::, and nothing else may', () => {
  for (const protocol of protocols) {
    const [every, relay] = [port(protocol, '::', 4711), port(protocol, '::1', 4711, true)]
    for (const order of [
      [every, relay],
      [relay, every],
    ]) {
      const ports = new HeldPorts()
      for (const each of order) ports.hold(each)
      assert.equal(ports.list(), order)
      ports.releaseAll()
    }
    for (const [one, other] of [
      [every, port(protocol, '::1', 4711)],
      [port(protocol, '::', 4711, true), relay],
      [port(protocol, '0.0.0.0', 4711), port(protocol, '127.0.0.1', 4711, true)],
    ] as const) {
      const ports = new HeldPorts()
      ports.hold(one)
      assert.is(refusedBy(ports, other).errno, 'EADDRINUSE')
      ports.releaseAll()
    }
  }
})

test('held ports: those of another program, and of absent addresses, are refused with the key', async () => {
  const ports = new HeldPorts()
  const end = await listen({ protocol: 'tcp', address: '127.0.0.1', port: 4711 })
  for (const relayed of [false, true]) {
    const taken = refusedBy(ports, port('tcp', '0.0.0.0', 4711, relayed))
    assert.equal([taken.errno, taken.object], ['EADDRINUSE', 'port tcp 0.0.0.0 4711'])
    const absent = refusedBy(ports, port('udp', '192.0.2.77', 4711, relayed))
    assert.is(absent.errno, 'EADDRNOTAVAIL')
  }
  end()
  assert.equal(ports.list(), [])
})

test('held ports: SCTP counts as held whether or not the kernel has it', () => {
  const ports = new HeldPorts()
  const both = [port('sctp', '0.0.0.0', 4711), port('sctp', '::', 4711)]
  for (const each of both) ports.hold(each)
  assert.equal(ports.list(), both)
  ports.releaseAll()
  assert.equal(ports.list(), [])
})

test('held ports: ten thousand, and none is left', async () => {
  const ports = new HeldPorts()
  for (let number = 10_000; number < 20_000; number += 1) ports.hold(port('tcp', '0.0.0.0', number))
  assert.is(await refusal(listen({ protocol: 'tcp', address: '127.0.0.1', port: 19_999 })), 'EADDRINUSE')
  ports.releaseAll()
  assert.is(await refusal(listen({ protocol: 'tcp', address: '127.0.0.1', port: 19_999 })), 'none')
})

test.run()
