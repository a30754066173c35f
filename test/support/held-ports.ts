/** Ports that are held, programs that want them, and what each is told. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { BoundSocket } from '../../native/diag/sockets.ts'
import type { HeldPorts } from '../../native/kernel/ports.ts'
import type { HeldPort, Protocol } from '../../native/kernel/resource.ts'
import { KernelError } from '../../native/netlink/errors.ts'
import type { Ip } from '../../native/value/ip.ts'

export function port(protocol: Protocol, address: string, number: number, relayed = false): HeldPort {
  const relay = { address: '127.0.0.1' as Ip, port: 9 }
  return { type: 'port', protocol, address: address as Ip, port: number, ...(relayed && { relay }) }
}

/** Another program's listener, as most of them are: with SO_REUSEADDR. Throws what the kernel says. */
export async function listen(
  { protocol, address, port: number }: { readonly protocol: 'tcp' | 'udp'; readonly address: string; port: number },
  { reusePort = false } = {},
): Promise<() => void> {
  if (protocol === 'tcp') {
    const server = createServer().listen({ port: number, host: address, ipv6Only: true, reusePort })
    await once(server, 'listening')
    return () => server.close()
  }
  const family = address.includes(':') ? ({ type: 'udp6', ipv6Only: true } as const) : ({ type: 'udp4' } as const)
  // The two exclude each other in Node.
  const socket = createSocket({ ...family, ...(reusePort ? { reusePort } : { reuseAddr: true }) })
  socket.bind(number, address)
  await once(socket, 'listening')
  return () => {
    socket.close()
  }
}

export async function refusal(work: Promise<() => void>): Promise<string> {
  try {
    const end = await work
    end()
    return 'none'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}

/** What is seen of a program's socket on port 4711. */
export function bound(address: string, more: Partial<BoundSocket> = {}): BoundSocket {
  return { ...{ address: address as Ip, port: 4711, v6Only: false, state: 'listening', owned: true }, ...more }
}

export function refusedBy(ports: HeldPorts, wanted: HeldPort): KernelError {
  try {
    ports.hold(wanted)
  } catch (error) {
    if (error instanceof KernelError) return error
    throw error
  }
  throw new Error('it was held')
}
