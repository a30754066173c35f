/** Who may use a relay. */
import { networkInterfaces } from 'node:os'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { addressInName, addressOfPeer, Admission } from '../../../native/relay/admission.ts'
import { socketAddress } from '../../../native/ffi/ports.ts'
import type { Cidr, Ip } from '../../../native/value/ip.ts'

const from = ['192.0.2.0/24' as Cidr, 'fd00:2::12/128' as Cidr]
const admission = new Admission()

test('admission: without a list everybody is admitted, also who has no address', () => {
  assert.ok(admission.admits(undefined, '203.0.113.7' as Ip))
  assert.ok(admission.admits(undefined, undefined))
})

test('admission: a list admits what is in it; a family without an entry is closed', () => {
  const asked = (client: string, list = from): boolean => admission.admits(list, client as Ip)
  assert.equal(
    ['192.0.2.7', 'fd00:2::12'].map(each => asked(each)),
    [true, true],
  )
  assert.equal(
    ['192.0.3.7', 'fd00:2::13'].map(each => asked(each)),
    [false, false],
  )
  assert.not(asked('fd00:2::12', from.slice(0, 1)))
  assert.not(asked('192.0.2.7', []))
  assert.not(admission.admits(from, undefined))
})

test('admission: the host itself always is', () => {
  const own = Object.values(networkInterfaces()).flatMap(links => links?.map(({ address }) => address) ?? [])
  for (const address of ['127.0.0.1', '127.8.9.1', '::1', ...own])
    assert.ok(admission.admits([], address as Ip), address)
})

test('admission: addresses as Node and the kernel tell them', () => {
  assert.is(addressOfPeer('fe80::1%eth0'), 'fe80::1')
  assert.is(addressOfPeer('192.0.2.7'), '192.0.2.7')
  assert.is(addressOfPeer(undefined), undefined)
  for (const address of ['192.0.2.7' as Ip, 'fd00:2::12' as Ip]) {
    assert.is(addressInName(socketAddress(address, 53)), address)
  }
})

test.run()
