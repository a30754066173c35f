/**
 * Runs in a host: traffic that must not be lost while daemons die.
 *   crash-traffic.ts echo PORT               serves TCP: sends back what comes, to whoever connects
 *   crash-traffic.ts flow ADDRESS PORT ...   one long connection to each, and a new one every 200 ms
 * A flow prints a line for each loss, and on TERM a last one with what it sent and got back.
 */
import { connect, createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

const patienceMs = 15_000
const sum = { sent: 0, received: 0, connections: 0, lost: 0 }

function lost(what: string): void {
  sum.lost += 1
  console.log(`lost: ${what}`)
}

/** Counts up; each number must come back, in order. */
function keep(host: string, port: number): void {
  const socket = connect({ host, port })
  let next = 0
  let expected = 0
  let waitsSince = Date.now()
  socket.on('error', cause => {
    lost(`the connection to ${host} ${port}: ${cause.message}`)
  })
  socket.on('end', () => {
    lost(`the connection to ${host} ${port}: it was closed`)
  })
  createInterface({ input: socket }).on('line', line => {
    if (line !== String(expected)) lost(`${host} ${port}: expected ${expected}, got ${line}`)
    expected += 1
    sum.received += 1
    waitsSince = Date.now()
  })
  setInterval(() => {
    if (expected < next && Date.now() - waitsSince > patienceMs) {
      lost(`${host} ${port}: ${expected} has not come back`)
      waitsSince = Date.now()
    }
    if (expected === next) waitsSince = Date.now()
    if (!socket.writable) return
    socket.write(`${next}\n`)
    next += 1
    sum.sent += 1
  }, 20)
}

/** One question over a connection of its own. */
function once(host: string, port: number): void {
  const socket: Socket = connect({ host, port, timeout: patienceMs })
  sum.connections += 1
  socket.on('timeout', () => {
    lost(`a new connection to ${host} ${port}: no answer`)
    socket.destroy()
  })
  socket.on('error', cause => {
    lost(`a new connection to ${host} ${port}: ${cause.message}`)
  })
  socket.on('data', () => socket.end())
  socket.write('hello\n')
}

const [mode, ...rest] = process.argv.slice(2)
if (mode === 'echo') {
  createServer(socket => {
    // A client that is killed resets its connection.
    socket.on('error', () => socket.destroy())
    socket.pipe(socket)
  }).listen(Number(rest[0]), '::', () => {
    console.log('ready')
  })
} else {
  for (let i = 0; i < rest.length; i += 2) {
    const [host = '', port] = [rest[i], Number(rest[i + 1])]
    keep(host, port)
    setInterval(() => {
      once(host, port)
    }, 200)
  }
  process.once('SIGTERM', () => {
    console.log(JSON.stringify(sum))
    process.exit(0)
  })
  console.log('ready')
}
