/** Which ports those get who do not care. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ephemeralPorts } from '../../../daemon/ephemeral.ts'

const reading =
  (range: string, reserved = '') =>
  (name: string): string =>
    name === 'ip_local_port_range' ? range : reserved

test("ephemeral: all of the kernel's range, from its start", () => {
  const ports = ephemeralPorts(reading('32768\t60999\n'))()
  assert.equal([ports.length, ports[0], ports.at(-1)], [28232, 32768, 60999])
})

test('ephemeral: begins after the last one tried, and the range is a circle', () => {
  const choose = ephemeralPorts(reading('1000 1002'))
  assert.equal(choose(), [1000, 1001, 1002])
  assert.equal(choose(), [1000, 1001, 1002], 'nothing was tried')
  choose.tried(1000)
  assert.equal(choose(), [1001, 1002, 1000])
  choose.tried(1002)
  assert.equal(choose(), [1000, 1001, 1002])
})

test('ephemeral: reserved ports are left out, single ones and ranges', () => {
  assert.equal(ephemeralPorts(reading('1000 1009', '1000,1002-1004,1008-1020\n'))(), [1001, 1005, 1006, 1007])
})

test('ephemeral: both switches are read anew each time', () => {
  const switches = { ip_local_port_range: '1000 1001', ip_local_reserved_ports: '' }
  const choose = ephemeralPorts(name => switches[name as keyof typeof switches])
  choose()
  Object.assign(switches, { ip_local_port_range: '2000 2002', ip_local_reserved_ports: '2001' })
  assert.equal(choose(), [2000, 2002])
})

test('ephemeral: where all are reserved there is none', () => {
  assert.equal(ephemeralPorts(reading('1000 1001', '1-2000'))(), [])
})

test.run()
