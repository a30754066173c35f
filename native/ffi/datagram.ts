/**
 * Datagrams with both their addresses: a socket bound to every address must answer from the one that was asked, and
 * Node cannot tell which it was. Layouts are those of 64-bit, little-endian Linux. Source: include/linux/socket.h,
 * include/uapi/linux/in.h, include/uapi/linux/in6.h.
 */
import * as libc from './libc.ts'

/** Where a datagram came from and went to. Opaque: it is kept for `reply`. */
export interface Path {
  /** struct sockaddr_in or sockaddr_in6 of the sender. */
  readonly peer: Uint8Array
  /** struct cmsghdr with in_pktinfo or in6_pktinfo, ready to be sent; empty when the kernel told nothing. */
  readonly own: Uint8Array
}

/** The largest payload of UDP, and one byte. */
const dataBytes = 65_536
const nameBytes = 28
const controlBytes = 64
const IPPROTO_IPV6 = 41

/** One buffer for all datagrams: each is to be dealt with before the next is received. */
export class Datagrams {
  readonly #header = outside(56)
  readonly #vector = outside(16)
  readonly #name = outside(nameBytes)
  readonly #control = outside(controlBytes)
  readonly #data = outside(dataBytes)
  readonly #fields = new DataView(this.#header.buffer)
  readonly #vectorFields = new DataView(this.#vector.buffer)

  constructor() {
    this.#vectorFields.setBigUint64(0, libc.addressOfBuffer(this.#data), true)
    this.#fields.setBigUint64(16, libc.addressOfBuffer(this.#vector), true)
    this.#fields.setBigUint64(24, 1n, true)
  }

  /** Length of the payload, which `forward` and `reply` send on; undefined when none waits. Throws SystemError. */
  receive(fd: number): number | undefined {
    this.#prepare(this.#name.length, this.#control.length, this.#data.length)
    return libc.receiveMessage(fd, this.#header)
  }

  /** A key for the way of the last datagram: sender, its port, and the address that it was sent to. */
  key(): string {
    const { name, control } = this.#received()
    return `${name.toString('latin1')}${this.#own(control).toString('latin1')}`
  }

  path(): Path {
    const { name, control } = this.#received()
    return { peer: Uint8Array.from(name), own: Uint8Array.from(this.#own(control)) }
  }

  /** Sends the last payload to the peer of a connected socket. False: lost for want of room. Throws SystemError. */
  forward(fd: number, length: number): boolean {
    this.#prepare(0, 0, length)
    return libc.sendMessage(fd, this.#header)
  }

  /** Sends the last payload back along a path. False: lost for want of room. Throws SystemError. */
  reply(fd: number, { peer, own }: Path, length: number): boolean {
    this.#name.set(peer)
    this.#control.set(own)
    this.#prepare(peer.length, own.length, length)
    return libc.sendMessage(fd, this.#header)
  }

  #prepare(name: number, control: number, data: number): void {
    this.#fields.setBigUint64(0, name === 0 ? 0n : libc.addressOfBuffer(this.#name), true)
    this.#fields.setUint32(8, name, true)
    this.#fields.setBigUint64(32, control === 0 ? 0n : libc.addressOfBuffer(this.#control), true)
    this.#fields.setBigUint64(40, BigInt(control), true)
    this.#vectorFields.setBigUint64(8, BigInt(data), true)
  }

  #received(): { readonly name: Buffer; readonly control: Buffer } {
    return {
      name: Buffer.from(this.#name.buffer, 0, this.#fields.getUint32(8, true)),
      control: Buffer.from(this.#control.buffer, 0, Number(this.#fields.getBigUint64(40, true))),
    }
  }

  /** What was received, made fit to be sent: without the link, so that the answer takes whatever way is the right one. */
  #own(control: Buffer): Buffer {
    if (control.length < 28) return control.subarray(0, 0)
    const exact = control.subarray(0, control.readUInt32LE(0))
    if (control.readInt32LE(8) === IPPROTO_IPV6) {
      // IPV6_PKTINFO: the address, the link. A link-local peer has its link in its own address.
      exact.writeUInt32LE(0, 32)
    } else {
      // IP_PKTINFO: the link, the address to send from, the address that was asked.
      exact.writeUInt32LE(0, 16)
      exact.writeUInt32LE(0, 24)
    }
    return exact
  }
}

/** Small arrays may lie inside the heap, which moves; an ArrayBuffer of one's own never does. */
function outside(bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(bytes))
}
