/** Who has a MAC already, as far as it can be heard. */
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findMac, type MacSearch } from '../../native/dad/dad.ts'
import type { Ip } from '../../native/value/ip.ts'
import { hex, question, segment, type Station, up } from '../support/dad.ts'
import { eventually } from '../support/lab/eventually.ts'
import { enterOwnNetns, macOf } from '../support/netlink.ts'

enterOwnNetns(import.meta.filename)

const address = '10.7.0.9' as Ip

const find = (at: Station, of: Station, more: Partial<MacSearch> = {}): Promise<boolean> =>
  findMac({ netns: at.path, link: 'eth0', mac: of.mac, ...more })

/** Nobody says anything of their own: a new address is announced by a report or two. */
async function quiet(station: Station): Promise<void> {
  using wire = station.wire()
  await eventually('nobody speaks', async () => {
    await sleep(1500)
    return wire.received().length === 0
  })
}

test('findMac: a machine with IPv6 answers for the link-local address of its MAC', async () => {
  await using net = segment()
  const [host, other] = [net.station(), net.station()]
  assert.not(await find(host, other))
  other.run('sysctl -qw net.ipv6.icmp.echo_ignore_multicast=1')
  other.run('ip address add fe80::ff:fe00:2/64 dev eth0 nodad')
  await quiet(host)
  assert.ok(await find(host, other))
  assert.not(await findMac({ netns: host.path, link: 'eth0', mac: macOf(0x777) }))
})

test('findMac: with another link-local address it answers a ping', async () => {
  await using net = segment()
  const [host, other] = [net.station(), net.station('fe80::1234')]
  await quiet(host)
  const start = performance.now()
  assert.ok(await find(host, other))
  console.log(`a MAC is found after ${(performance.now() - start).toFixed(0)} ms`)
})

test('findMac: a machine without IPv6 is found by an address, or when it speaks', async () => {
  await using net = segment()
  const [host, other] = [net.station(), net.station(address)]
  other.run('sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1')
  assert.not(await find(host, other))
  assert.ok(await find(host, other, { addresses: [address] }))
  assert.not(await find(host, other, { addresses: ['10.7.0.8' as Ip, 'fd07::8' as Ip] }))

  using wire = other.wire()
  const finding = find(host, other)
  await eventually('it asks', () => wire.received().length > 0)
  wire.send(question('10.7.0.8' as Ip, other.mac))
  assert.ok(await finding)
})

test('findMac: nobody loses a thing by the search', async () => {
  await using net = segment()
  const [host, other] = [net.station(), net.station()]
  // The kernel asks for its address for seconds: it would give it up if somebody else seemed to want it.
  other.run('sysctl -qw net.ipv6.conf.eth0.dad_transmits=5')
  other.run('ip address add fe80::ff:fe00:2/64 dev eth0')
  await find(host, other, { addresses: ['fe80::ff:fe00:2' as Ip] })
  assert.not.match(other.run('ip -6 address show dev eth0'), 'dadfailed')
})

test('findMac: what leaves the link itself is nobody else', async () => {
  await using net = segment()
  const [host, other] = [net.station(), net.station()]
  host.run(`ip link add mv0 link eth0 address ${macOf(0x777)} type macvlan mode bridge`)
  up(host, 'mv0')
  using above = host.wire('mv0')
  using wire = other.wire()
  const finding = findMac({ netns: host.path, link: 'eth0', mac: macOf(0x777) })
  const said = question(address, macOf(0x777))
  await eventually('it asks', () => wire.received().length > 0)
  above.send(said)
  assert.ok(wire.received().includes(hex(said)))
  assert.not(await finding)
})

test.run()
