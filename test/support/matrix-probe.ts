/**
 * Questions and answers between network namespaces, thousands of them, in this one process: its sockets are made in the
 * namespaces, so that a question costs no program, and silence is never want of time.
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { createServer, Socket } from 'node:net'
import * as libc from '../../native/ffi/libc.ts'
import { inNetns } from '../../native/ffi/netns.ts'
import { openServedPort } from '../../native/ffi/ports.ts'
import type { Ip } from '../../native/value/ip.ts'
import type { Host } from './lab.ts'

export const protocols = ['tcp', 'udp'] as const
export type Protocol = (typeof protocols)[number]

export interface Question {
  /** Path of the namespace that it is asked from. */
  readonly from: string
  readonly address: string
  readonly port: number
  readonly protocol?: Protocol
}

/** The network namespace of a container, as this process reaches it. */
export async function netnsOf(host: Host, container: string): Promise<string> {
  const pid = await host.docker(['inspect', '-f', '{{.State.Pid}}', container])
  return host.path(`/proc/${pid}/ns/net`)
}

/** Tells every client its address, on these ports of tcp and udp, both families. Errors: a port is taken. */
export function tellClients(netns: string, ports: readonly number[]): AsyncDisposable {
  const servers = ports.map(port => {
    const server = createServer(socket => {
      socket.on('error', () => undefined).end(plain(socket.remoteAddress))
    })
    // Without a host, Node binds at once, in the namespace that the thread is in.
    inNetns(netns, () => {
      server.listen({ port, backlog: 4096 })
    })
    return server
  })
  const sockets = ports.flatMap(port =>
    (['0.0.0.0', '::'] as const).map(address => {
      const fd = inNetns(netns, () => openServedPort({ protocol: 'udp', address: address as Ip, port }))
      return datagrams(fd, address, socket => {
        socket.on('message', (_, peer) => {
          socket.send(plain(peer.address), peer.port, peer.address, () => undefined)
        })
      })
    }),
  )
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.close()
      for (const server of servers) await server[Symbol.asyncDispose]()
    },
  }
}

/** The address that the server saw; undefined when nothing came in time. */
export function ask(question: Question, waitMs: number): Promise<string | undefined> {
  return question.protocol === 'udp' ? askDatagram(question, waitMs) : askStream(question, waitMs)
}

/** The same with patience: what is expected to answer has up to a quarter of a minute. */
export async function askUntil(question: Question, expected: boolean): Promise<string | undefined> {
  const waits = expected ? [1000, 3000, 10_000] : [1000]
  for (const waitMs of waits) {
    const answer = await ask(question, waitMs)
    if (answer !== undefined) return answer
  }
  return undefined
}

async function askStream({ from, address, port }: Question, waitMs: number): Promise<string | undefined> {
  const fd = socketIn(from, address, libc.SOCK_STREAM)
  // Not read before it is connected.
  const options = { fd, manualStart: true }
  const socket = new Socket(options)
  let answer = ''
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString()))
  const timer = setTimeout(() => socket.destroy(), waitMs)
  socket.on('error', () => undefined).on('end', () => socket.destroy())
  socket.connect({ host: address, port })
  await new Promise<void>(resolve =>
    socket.once('close', () => {
      resolve()
    }),
  )
  clearTimeout(timer)
  return answer === '' ? undefined : answer
}

function askDatagram({ from, address, port }: Question, waitMs: number): Promise<string | undefined> {
  return new Promise(resolve => {
    const socket = datagrams(socketIn(from, address, libc.SOCK_DGRAM), address, () => undefined)
    const end = (answer?: string): void => {
      clearTimeout(timer)
      socket.removeAllListeners('error').on('error', () => undefined)
      socket.close()
      resolve(answer)
    }
    const timer = setTimeout(end, waitMs)
    socket.once('message', (data: Buffer) => {
      end(data.toString())
    })
    socket.once('error', () => {
      end()
    })
    socket.connect(port, address, (error?: Error) => {
      if (error) end()
      else socket.send('?')
    })
  })
}

function datagrams(fd: number, address: string, prepare: (socket: DatagramSocket) => void): DatagramSocket {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  prepare(socket)
  socket.bind({ fd })
  return socket
}

function socketIn(netns: string, address: string, type: number): number {
  const domain = address.includes(':') ? libc.AF_INET6 : libc.AF_INET
  return inNetns(netns, () => libc.socket(domain, type, 0))
}

function plain(address = '?'): string {
  return address.replace('::ffff:', '')
}
