/** Relays of datagrams: ports that the program serves itself. Host, container and neighbour are network namespaces of this test. */
import { readdirSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Ip } from '../../native/value/ip.ts'
import { eventually } from '../support/lab/eventually.ts'
import { enterOwnNetns } from '../support/netlink.ts'
import {
  askTcp,
  askUdp,
  container,
  echo,
  echoDatagrams,
  gateway,
  here,
  port,
  relay,
  stage,
  udpSocket,
  ways,
} from '../support/relay.ts'

enterOwnNetns(import.meta.filename)

test('relay: UDP from one family to the other; the answer comes from the address that was asked', async () => {
  await using town = stage()
  for (const { asked, bound, family } of ways) {
    const server = udpSocket(town.container, container[family] as Ip, 80)
    server.on('message', (data, from) => {
      server.send(`${from.address} ${data.toString()}`, from.port, from.address)
    })
    const want = relay('udp', bound, container[family])
    await town.ports.take(want)
    const local = asked === '::1' || asked === '127.0.0.1'
    const any = (family === 4 ? '::' : '0.0.0.0') as Ip
    const client = udpSocket(local ? here(town) : town.neighbour, any, 0)
    const [answer, from] = await askUdp(client, 'hello', port, asked)
    assert.equal([answer, from.address, from.port], [`${gateway[family]} hello`, asked, port])
    assert.is(town.ports.connections, 1)
    town.ports.release(want)
    assert.is(town.ports.connections, 0)
    client.close()
    server.close()
  }
})

test('relay: a refused datagram ends the session of its sender only', async () => {
  await using town = stage()
  const want = relay('udp', '::1', container[4])
  await town.ports.take(want)
  const [first, second] = [udpSocket(here(town), '::' as Ip, 0), udpSocket(here(town), '::' as Ip, 0)] as const
  const endFirst = echoDatagrams(town, container[4])
  assert.is((await askUdp(first, 'one', port, '::1'))[0], 'one')
  assert.is((await askUdp(second, 'two', port, '::1'))[0], 'two')
  assert.is(town.ports.connections, 2)

  endFirst()
  first.send('nobody there', port, '::1')
  await eventually('the session has ended', () => town.ports.connections === 1)
  const endSecond = echoDatagrams(town, container[4])
  assert.is((await askUdp(first, 'three', port, '::1'))[0], 'three')
  assert.is(town.ports.connections, 2)

  town.endContainer()
  for (const client of [first, second]) client.send('gone', port, '::1')
  await eventually('both have ended', () => town.ports.connections === 0)
  assert.equal(town.ports.list(), [want])
  endSecond()
  for (const client of [first, second]) client.close()
})

test('relay: five hundred of both protocols serve, and nothing is left of them', async () => {
  await using town = stage()
  const end = echo(town, container[4] as Ip)
  const endDatagrams = echoDatagrams(town, container[4])
  const open = (): number => readdirSync('/proc/self/fd').length
  const before = open()
  const numbers = Array.from({ length: 250 }, (_, i) => 20_000 + i)
  for (const number of numbers) {
    await town.ports.take(relay('tcp', '::1', container[4], number))
    await town.ports.take(relay('udp', '::1', container[4], number))
  }
  const client = udpSocket(here(town), '::' as Ip, 0)
  for (const number of numbers) {
    await eventually(`port ${number} answers`, async () => (await askTcp('::1', number, 'x')) !== '')
    assert.is((await askUdp(client, String(number), number, '::1'))[0], String(number))
  }
  client.close()
  endDatagrams()
  town.ports.releaseAll()
  await eventually('all descriptors are closed', () => open() <= before)
  end()
})

test.run()
