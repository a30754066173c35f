/** A segment for tests of duplicate address detection: a bridge in a namespace of its own, and stations on it. */
import { closeSync, readdirSync } from 'node:fs'
import { arpProbe } from '../../native/dad/arp.ts'
import { duplicateSolicitation } from '../../native/dad/ndp.ts'
import { compileFilter } from '../../native/ffi/filter.ts'
import { receive, trySend } from '../../native/ffi/libc.ts'
import { openPacketSocket } from '../../native/ffi/packet.ts'
import { familyOf, type Ip } from '../../native/value/ip.ts'
import type { Mac } from '../../native/value/mac.ts'
import { macOf, place, type Place } from './netlink.ts'

export interface Station extends Place {
  /** Of its `eth0`. */
  readonly mac: Mac
  /** Frames in and out of a link, `eth0` when left out, past the station's own system. */
  wire(link?: string): Wire
}

export interface Wire extends Disposable {
  send(frame: Uint8Array): void
  /** What came in since the last call, in hexadecimal digits. */
  received(): readonly string[]
}

export interface Segment extends AsyncDisposable {
  readonly switch: Place
  station(...addresses: readonly string[]): Station
}

export function segment(): Segment {
  const hub = place()
  const stations: Station[] = []
  hub.run('ip link add br0 type bridge mcast_snooping 0')
  up(hub, 'br0')
  return {
    switch: hub,
    station(...addresses) {
      const number = stations.length + 1
      const made = station(hub, number, addresses)
      stations.push(made)
      return made
    },
    async [Symbol.asyncDispose]() {
      for (const each of [...stations, hub]) await each[Symbol.asyncDispose]()
    },
  }
}

function station(hub: Place, number: number, addresses: readonly string[]): Station {
  const own = place()
  const mac = macOf(number)
  hub.run(`ip link add p${number} type veth peer name eth0 address ${mac} netns ${own.path}`)
  hub.run(`ip link set p${number} master br0`)
  up(hub, `p${number}`)
  up(own, 'eth0')
  const commands = addresses.map(
    address => `address add ${address}/${address.includes(':') ? '64 nodad' : '24'} dev eth0`,
  )
  own.run('ip -batch -', commands.join('\n'))
  return { ...own, mac, wire: (link = 'eth0') => wire(own, link) }
}

/** Without an address of its own making. */
export function up(at: Place, link: string): void {
  at.run(`ip link set ${link} addrgenmode none`)
  at.run(`ip link set ${link} up`)
}

function wire(at: Place, link: string): Wire {
  const index = Number.parseInt(at.run(`ip -o link show ${link}`), 10)
  const everything = compileFilter([['equal', 0, { yes: 'accept', no: 'accept' }]])
  const fd = at.in(() => openPacketSocket(index, everything))
  return {
    send(frame) {
      if (!trySend(fd, frame)) throw new Error('no room')
    },
    received() {
      const frames: string[] = []
      const buffer = Buffer.alloc(2048)
      for (let length = receive(fd, buffer); length !== undefined; length = receive(fd, buffer)) {
        frames.push(buffer.toString('hex', 0, length))
      }
      return frames
    },
    [Symbol.dispose]() {
      closeSync(fd)
    },
  }
}

export function question(address: Ip, mac: Mac): Uint8Array {
  return familyOf(address) === 4 ? arpProbe(address, mac) : duplicateSolicitation(address, mac)
}

export function hex(frame: Uint8Array): string {
  return Buffer.from(frame).toString('hex')
}

export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length
}
