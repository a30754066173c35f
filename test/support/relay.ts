/** A host, a container and a neighbour of the host for the tests of relays, with servers and clients in each. */
import { execFileSync } from 'node:child_process'
import { createSocket, type RemoteInfo, type Socket as Datagrams } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { openServedPort } from '../../native/ffi/ports.ts'
import { HeldPorts } from '../../native/kernel/ports.ts'
import type { HeldPort } from '../../native/kernel/resource.ts'
import { familyOf, type Ip } from '../../native/value/ip.ts'
import { place, type Place } from './netlink.ts'

/** Both have both families, so that a test names the one it means. */
export const container = { 4: '10.9.0.2', 6: 'fd09::2' } as const
/** The host's end of the container's link. */
export const gateway = { 4: '10.9.0.1', 6: 'fd09::1' } as const
/** Addresses of the host on the neighbour's link: the kernel would answer from the first. */
export const host = { 4: ['10.8.0.1', '10.8.0.9'], 6: ['fd08::1', 'fd08::9'] } as const

export interface Stage extends AsyncDisposable {
  readonly ports: HeldPorts
  readonly container: Place
  readonly neighbour: Place
  /** The container's network is gone, as when it ends. */
  endContainer(): void
}

/** To be used in a network namespace of the test's own. */
export function stage(): Stage {
  const [inside, neighbour] = [place(), place()]
  run('ip link set lo up')
  for (const [name, there, addresses] of [
    ['c0', inside, [...Object.values(gateway)]],
    ['n0', neighbour, [...host[4], ...host[6]]],
  ] as const) {
    run(`ip link add ${name} type veth peer name eth0 netns ${there.path}`)
    for (const address of addresses) run(`ip address add ${withLength(address)} dev ${name} nodad`)
    run(`ip link set ${name} up`)
    there.run('ip link set lo up')
    there.run('ip link set eth0 up')
  }
  for (const address of Object.values(container)) inside.run(`ip address add ${withLength(address)} dev eth0 nodad`)
  for (const address of ['10.8.0.2', 'fd08::2']) neighbour.run(`ip address add ${withLength(address)} dev eth0 nodad`)
  const ports = new HeldPorts()
  return {
    ports,
    container: inside,
    neighbour,
    endContainer() {
      run('ip link delete c0')
    },
    async [Symbol.asyncDispose]() {
      ports.releaseAll()
      // Gone with endContainer, maybe.
      for (const link of ['c0', 'n0']) if (run('ip -o link').includes(` ${link}@`)) run(`ip link delete ${link}`)
      for (const each of [inside, neighbour]) await each[Symbol.asyncDispose]()
    },
  }
}

/** A TCP server in a place. The port is there when this returns. */
export function tcpServer(where: Place, address: Ip, port: number, onConnection: (socket: Socket) => void): Server {
  const server = createServer({ allowHalfOpen: true }, socket => {
    // A connection that fails is no failure of the server.
    socket.on('error', () => undefined)
    onConnection(socket)
  })
  where.in(() => {
    server.listen({ fd: openServedPort({ protocol: 'tcp', address, port }) })
  })
  return server
}

/** A UDP socket in a place; port 0: any. */
export function udpSocket(where: Place, address: Ip, port: number): Datagrams {
  const socket = createSocket(familyOf(address) === 6 ? 'udp6' : 'udp4')
  socket.bind({ fd: where.in(() => openServedPort({ protocol: 'udp', address, port })) })
  return socket
}

/** What comes back for one datagram, and from where; asked again until something does. */
export async function askUdp(
  socket: Datagrams,
  text: string,
  port: number,
  address: string,
): Promise<[string, RemoteInfo]> {
  const ask = (): void => {
    socket.send(text, port, address)
  }
  const timer = setInterval(ask, 200)
  ask()
  const [answer, from] = (await once(socket, 'message')) as [Buffer, RemoteInfo]
  clearInterval(timer)
  return [answer.toString(), from]
}

/** Sends `text` and its end, reads to the end. Rejects with the error of the connection. */
export async function askTcp(address: string, port: number, text: string): Promise<string> {
  const socket = connect({ host: address, port, allowHalfOpen: true })
  socket.end(text)
  return readAll(socket)
}

export async function readAll(socket: Socket): Promise<string> {
  let all = ''
  for await (const chunk of socket as AsyncIterable<Buffer>) all += chunk.toString('latin1')
  return all
}

/** The errno of a connection that somebody ends. */
export async function failureOf(socket: Socket): Promise<string | undefined> {
  return new Promise(resolve => {
    socket.resume()
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code)
    })
    socket.once('end', () => {
      resolve(undefined)
    })
  })
}

function withLength(address: string): string {
  return `${address}/${address.includes(':') ? 64 : 24}`
}

/** Standard output of a command in the test's own namespace; throws with its standard error. */
export function run(command: string): string {
  const [program = '', ...words] = command.split(' ')
  return execFileSync(program, words, { encoding: 'utf8', stdio: 'pipe' })
}

/** Where relays of tests are, unless they say otherwise. */
export const port = 8080
/** Where clients ask, where the relay is bound, and the family of the container that answers. */
export const ways = [
  { asked: '::1', bound: '::1', family: 4 },
  { asked: '::1', bound: '::', family: 4 },
  { asked: host[6][1], bound: '::', family: 4 },
  { asked: host[6][1], bound: host[6][1], family: 4 },
  { asked: '127.0.0.1', bound: '127.0.0.1', family: 6 },
  { asked: host[4][1], bound: '0.0.0.0', family: 6 },
] as const

/** To port 80 of a container. */
export function relay(protocol: 'tcp' | 'udp', bound: string, target: string, number = port): HeldPort {
  return {
    ...{ type: 'port', protocol, address: bound as Ip, port: number },
    relay: { address: target as Ip, port: 80 },
  }
}

/** The container sends everything back, and its clients' addresses first. To be called to end that. */
export function echo(town: Stage, address: Ip): () => void {
  const open = new Set<Socket>()
  const server = tcpServer(town.container, address, 80, socket => {
    open.add(socket)
    socket.write(`${socket.remoteAddress} `)
    socket.pipe(socket)
  })
  return () => {
    server.close()
    for (const socket of open) socket.destroy()
  }
}

/** The same for datagrams, without the addresses. */
export function echoDatagrams(town: Stage, address: string): () => void {
  const server = udpSocket(town.container, address as Ip, 80)
  server.on('message', (data, from) => {
    server.send(data, from.port, from.address)
  })
  return () => {
    server.close()
  }
}

/** The host itself. */
export function here({ neighbour }: Stage): Place {
  return { ...neighbour, in: work => work() }
}
