/** The relay of TCP on the loopback: how many it serves. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openServedPort, portOf } from '../../../native/ffi/ports.ts'
import { Flow } from '../../../native/relay/flow.ts'
import { TcpRelay } from '../../../native/relay/tcp.ts'
import { Turns } from '../../../native/relay/turns.ts'
import type { Ip } from '../../../native/value/ip.ts'

const address = '127.0.0.1' as Ip

/** What comes back for a word: itself, or that the connection is closed. */
async function said(client: Socket, word: string): Promise<string> {
  client.write(word)
  const ended = once(client, 'close').then(() => 'closed')
  client.on('error', () => undefined)
  return Promise.race([ended, once(client, 'data').then(([data]) => String(data))])
}

test('tcp: connections beyond the limit are closed, and those before go on', async () => {
  const echo = createServer(socket => {
    socket.on('error', () => undefined)
    socket.pipe(socket)
  }).listen(0, address)
  await once(echo, 'listening')
  const fd = openServedPort({ protocol: 'tcp', address, port: 0 })
  const port = portOf(fd)
  const relay = new TcpRelay(
    fd,
    { address, port: (echo.address() as AddressInfo).port },
    {
      ...{ turns: new Turns(), flow: new Flow(), admits: () => true, most: 2 },
      onLost(cause) {
        throw cause
      },
    },
  )
  const clients: Socket[] = []
  const open = async (): Promise<Socket> => {
    await new Promise(setImmediate)
    const client = connect(port, address)
    await once(client, 'connect')
    clients.push(client)
    return client
  }
  const [one, two] = [await open(), await open()]
  assert.equal([await said(one, 'a'), await said(two, 'b')], ['a', 'b'])
  assert.is(await said(await open(), 'c'), 'closed')
  assert.is(await said(one, 'd'), 'd')
  two.destroy()
  await once(two, 'close')
  while (relay.size > 1) await new Promise(setImmediate)
  assert.is(await said(await open(), 'e'), 'e')
  for (const client of clients) client.destroy()
  relay.close()
  echo.close()
})

test.run()
