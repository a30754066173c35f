/** Held ports, and who is listening. */
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { listeners } from '../../native/diag/listeners.ts'
import { receive } from '../../native/ffi/libc.ts'
import { closeHeldPort, holdPort, portOf } from '../../native/ffi/ports.ts'
import type { Ip } from '../../native/value/ip.ts'
import { enterOwnNetns } from '../support/netlink.ts'

enterOwnNetns(import.meta.filename)

test('ports: held ones are taken, for everybody, until they are closed', async () => {
  execFileSync('ip', ['link', 'set', 'lo', 'up'])
  for (const address of ['127.0.0.1', '0.0.0.0', '::', '::1'] as Ip[]) {
    for (const protocol of ['tcp', 'udp'] as const) {
      const held = holdPort({ protocol, address, port: 0 })
      const port = portOf(held)
      assert.ok(port > 0)
      assert.throws(() => holdPort({ protocol, address, port }), /EADDRINUSE/)
      closeHeldPort(held)
      closeHeldPort(holdPort({ protocol, address, port }))
    }
  }
  assert.throws(() => holdPort({ protocol: 'tcp', address: '192.0.2.77' as Ip, port: 80 }), /EADDRNOTAVAIL/)
})

test('ports: both families have their own; TCP refuses and does not count as listening', async () => {
  const both = ['0.0.0.0', '::'].map(address => holdPort({ protocol: 'tcp', address: address as Ip, port: 4711 }))
  assert.equal(await listeners(), [])
  const error = await new Promise(resolve => connect(4711, '127.0.0.1').once('error', resolve))
  assert.match(String(error), /ECONNREFUSED/)
  both.forEach(closeHeldPort)
})

test('ports: UDP drops what arrives', async () => {
  const held = holdPort({ protocol: 'udp', address: '127.0.0.1' as Ip, port: 4711 })
  const [listener] = await listeners()
  assert.equal(listener, { protocol: 'udp', address: '127.0.0.1', port: 4711, v6Only: false })
  const sender = createSocket('udp4')
  await new Promise(resolve => {
    sender.send('hello', 4711, '127.0.0.1', resolve)
  })
  sender.close()
  assert.is(receive(held, new Uint8Array(10)), undefined)
  closeHeldPort(held)
})

test.run()
