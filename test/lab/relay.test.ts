/** Relays: ports that the program serves itself. Host, container and neighbour are network namespaces of this test. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { readdirSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as libc from '../../native/ffi/libc.ts'
import { portOf, socketAddress } from '../../native/ffi/ports.ts'
import type { HeldPort } from '../../native/kernel/resource.ts'
import type { Ip } from '../../native/value/ip.ts'
import { eventually } from '../support/lab/eventually.ts'
import { enterOwnNetns } from '../support/netlink.ts'
import {
  askTcp,
  container,
  echo,
  failureOf,
  gateway,
  here,
  port,
  readAll,
  relay,
  run,
  stage,
  tcpServer,
  ways,
  type Stage,
} from '../support/relay.ts'

enterOwnNetns(import.meta.filename)

/** It listens a moment after it is held. */
async function served(town: Stage, want: HeldPort, asked: string): Promise<void> {
  await town.ports.take(want)
  await eventually(`the relay on ${want.address} listens`, async () => (await askTcp(asked, want.port, 'x')) !== '')
}

test('relay: TCP from one family to the other; the container sees the host', async () => {
  await using town = stage()
  for (const { asked, bound, family } of ways) {
    const end = echo(town, container[family] as Ip)
    const want = relay('tcp', bound, container[family])
    await served(town, want, asked)
    assert.is(await askTcp(asked, port, 'hello'), `${gateway[family]} hello`)
    await eventually('the connection is forgotten', () => town.ports.connections === 0)
    town.ports.release(want)
    end()
  }
})

test('relay: either end may be the first to have said everything', async () => {
  await using town = stage()
  const heard: string[] = []
  const server = tcpServer(town.container, container[4] as Ip, 80, socket => {
    socket.end('good bye')
    void readAll(socket).then(text => heard.push(text))
  })
  const want = relay('tcp', '::1', container[4])
  await served(town, want, '::1')

  const client = connect({ host: '::1', port, allowHalfOpen: true })
  assert.is(await readAll(client), 'good bye')
  client.write('one more')
  client.end(' thing')
  await eventually('the container hears all', () => heard.includes('one more thing'))
  server.close()
})

test('relay: two hundred connections at once, each with its own data', async () => {
  await using town = stage()
  const end = echo(town, container[4] as Ip)
  await served(town, relay('tcp', '::', container[4]), '::1')
  const answers = await Promise.all(
    Array.from({ length: 200 }, async (_, i) => {
      const text = `${i} `.repeat(20_000)
      return (await askTcp('::1', port, text)) === `${gateway[4]} ${text}`
    }),
  )
  assert.is(answers.filter(good => good).length, 200)
  await eventually('all are forgotten', () => town.ports.connections === 0)
  end()
})

test('relay: a container that refuses, or is gone, ends the connection and nothing else', async () => {
  await using town = stage()
  const want = relay('tcp', '::1', container[4])
  const endFirst = echo(town, container[4] as Ip)
  await served(town, want, '::1')
  endFirst()
  assert.is(await failureOf(connect(port, '::1')), 'ECONNRESET')

  const endSecond = echo(town, container[4] as Ip)
  assert.is(await askTcp('::1', port, 'hello'), `${gateway[4]} hello`)
  endSecond()
  town.endContainer()
  assert.is(await failureOf(connect(port, '::1')), 'ECONNRESET')
  await eventually('all are forgotten', () => town.ports.connections === 0)
  assert.equal(town.ports.list(), [want])
})

test('relay: a reset of one end is a reset for the other', async () => {
  await using town = stage()
  const failures: (string | undefined)[] = []
  const server = tcpServer(town.container, container[4] as Ip, 80, socket => {
    void failureOf(socket).then(code => failures.push(code))
    socket.on('data', data => {
      if (String(data) === 'reset me') socket.resetAndDestroy()
      else socket.write(data)
    })
  })
  await town.ports.take(relay('tcp', '::1', container[4]))
  const client = await eventually('the relay listens', () => greeted('hello'))
  client.resetAndDestroy()
  await eventually('the container hears of it', () => failures.includes('ECONNRESET'))

  const other = await greeted('hello again')
  const failure = failureOf(other)
  other.write('reset me')
  assert.is(await failure, 'ECONNRESET')
  server.close()
})

test('relay: release ends what is running, and the port is free', async () => {
  await using town = stage()
  const end = echo(town, container[4] as Ip)
  const want = relay('tcp', '::', container[4])
  await served(town, want, '::1')
  const client = await greeted('hello')
  const ended = failureOf(client)

  town.ports.release(want)

  assert.is(await ended, 'ECONNRESET')
  await eventually('it is forgotten', () => town.ports.connections === 0)
  assert.is(await listening('::'), 'granted')
  end()
})

test('relay: connections in TIME_WAIT do not keep the port from others after its release', async () => {
  await using town = stage()
  // Who closes first waits: the container, and so the relay.
  const server = tcpServer(town.container, container[4] as Ip, 80, socket => socket.resume().end('bye'))
  const want = relay('tcp', '::1', container[4])
  await town.ports.take(want)
  await eventually('the relay listens', async () => (await readAll(connect(port, '::1'))) === 'bye')
  const waiting = (): string => run(`ss -Htan state time-wait sport = :${port}`)
  await eventually('the connection lingers', () => waiting().includes(String(port)))
  assert.is(await listening('::1'), 'EADDRINUSE')

  town.ports.release(want)

  assert.match(waiting(), /::1/)
  assert.is(await listening('::1'), 'granted')
  server.close()
})

test('relay: while it listens no other program gets the port', async () => {
  await using town = stage()
  const end = echo(town, container[4] as Ip)
  await served(town, relay('tcp', '::', container[4]), '::1')
  for (const address of ['::', '::1']) assert.is(await listening(address), 'EADDRINUSE')

  await town.ports.take(relay('udp', '::', container[4]))
  for (const address of ['::', '::1']) {
    const other = createSocket({ type: 'udp6', ipv6Only: true, reuseAddr: true }).bind(port, address)
    const outcome = await Promise.race([once(other, 'listening').then(() => 'bound'), once(other, 'error')])
    assert.match(String(outcome), /EADDRINUSE/)
  }
  end()
})

test('relay: another target is taken without letting the port go, and none at all is a port that is held', async () => {
  await using town = stage()
  const servers = [4, 6].map(family =>
    tcpServer(town.container, container[family as 4 | 6] as Ip, 80, socket => socket.resume().end(`IPv${family}`)),
  )
  for (const family of [4, 6, 4] as const) {
    const want = relay('tcp', '::1', container[family])
    await town.ports.take(want)
    assert.equal(town.ports.list(), [want])
    await eventually('the new target answers', async () => (await readAll(connect(port, '::1'))) === `IPv${family}`)
  }
  await town.ports.take({ type: 'port', protocol: 'tcp', address: '::1' as Ip, port })
  assert.match(await readAll(connect(port, '::1')).catch(String), /ECONNREFUSED/)
  assert.is(await listening('::1'), 'EADDRINUSE')
  for (const server of servers) server.close()
})

test('relay: one that cannot be listened on is not there any more', async () => {
  await using town = stage()
  const other = tcpServer(here(town), '::1' as Ip, 4711, socket => socket.resume().end())
  await town.ports.take(relay('tcp', '::1', container[4]))
  // A socket that is connected cannot listen.
  libc.connect(descriptorOf(port), socketAddress('::1' as Ip, 4711))
  await eventually('it is given up', () => town.ports.list().length === 0)
  other.close()
  await town.ports.take(relay('tcp', '::1', container[4]))
  assert.is(await listening('::1'), 'EADDRINUSE')
})

/** A connection through the relay on ::1 that has got its own words back. */
async function greeted(words: string): Promise<Socket> {
  const socket = connect(port, '::1')
  socket.write(words)
  await once(socket, 'data')
  return socket
}

/** The one socket of this process that has the port. */
function descriptorOf(number: number): number {
  return Number(
    readdirSync('/proc/self/fd').find(fd => {
      try {
        return portOf(Number(fd)) === number
      } catch {
        // Gone, or no socket.
        return false
      }
    }),
  )
}

/** What another program is told that listens with SO_REUSEADDR. */
async function listening(address: string): Promise<string> {
  const server = createServer().listen({ port, host: address, ipv6Only: true })
  try {
    await once(server, 'listening')
    server.close()
    return 'granted'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}

test.run()
