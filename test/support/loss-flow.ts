/**
 * Runs in a network namespace: datagrams that must all come back.
 *   loss-flow.ts echo PORT            sends back what comes
 *   loss-flow.ts send ADDRESS PORT    1,000 numbered datagrams a second
 * On TERM it prints what it sent and got. What overflowed in a receiving socket's buffer, because this process had no
 * turn on a busy machine, was not lost on the way, and is counted apart.
 */
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'

const [mode = '', address = '', number = ''] = process.argv.slice(2)
const perMs = 1
/** After a pause without a turn no more than this at once: a burst would overflow every buffer on the way. */
const mostAtOnce = 20
/** The last datagrams are on their way still. */
const lingerMs = 1000
/** The number of what only asks whether the path is open. */
const knock = 0xffffffff
const recvBufferSize = 4 * 1024 * 1024

function overflowed(): number {
  const [names = '', values = ''] = readFileSync('/proc/self/net/snmp', 'utf8').match(/^Udp: .*$/gm) ?? []
  const at = names.split(' ').indexOf('RcvbufErrors')
  const v6 = /^Udp6RcvbufErrors\s+(\d+)/m.exec(readFileSync('/proc/self/net/snmp6', 'utf8'))?.[1]
  return Number(values.split(' ')[at] ?? 0) + Number(v6 ?? 0)
}

const before = overflowed()

function end(sum: object): void {
  console.log(JSON.stringify({ ...sum, overflowed: overflowed() - before }))
  process.exit(0)
}

if (mode === 'echo') {
  const socket = createSocket({ type: 'udp6', recvBufferSize })
  let received = 0
  socket.on('message', (message, from) => {
    received += 1
    socket.send(message, from.port, from.address)
  })
  socket.bind(Number(address), '::', () => {
    console.log('ready')
  })
  process.once('SIGTERM', () => {
    end({ received })
  })
} else {
  const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize })
  const back = new Set<number>()
  let sent = 0
  const opened = Promise.withResolvers<undefined>()
  socket.on('message', message => {
    const came = message.readUInt32BE()
    if (came === knock) opened.resolve(undefined)
    else back.add(came)
  })
  const refused: string[] = []
  socket.on('error', cause => {
    refused.push(cause.message)
  })
  socket.connect(Number(number), address, () => {
    // A container's IPv6 address is usable a second after its start.
    const knocking = setInterval(() => {
      socket.send(numbered(knock))
    }, 50)
    void opened.promise.then(() => {
      clearInterval(knocking)
      refused.length = 0
      run()
    })
  })
  const run = (): void => {
    const started = performance.now()
    let skipped = 0
    const timer = setInterval(() => {
      const due = Math.floor((performance.now() - started) * perMs) - skipped - sent
      skipped += Math.max(0, due - mostAtOnce)
      for (let left = Math.min(due, mostAtOnce); left > 0; left -= 1) {
        socket.send(numbered(sent))
        sent += 1
        if (sent % 100 === 0) console.log(`sent ${sent}`)
      }
    }, 1)
    process.once('SIGTERM', () => {
      clearInterval(timer)
      setTimeout(() => {
        end({ sent, received: back.size, refused: refused.slice(0, 3) })
      }, lingerMs)
    })
  }
}

function numbered(which: number): Buffer {
  const message = Buffer.alloc(64)
  message.writeUInt32BE(which)
  return message
}
