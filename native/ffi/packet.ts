/**
 * Whole frames of one link, in and out. Moves bytes, knows no message. Layouts are those of little-endian Linux.
 * Source: include/uapi/linux/if_packet.h.
 */
import { close } from 'node:fs'
import { promisify } from 'node:util'
import * as libc from './libc.ts'

const AF_PACKET = 17
const ETH_P_ALL = 3
const SOL_PACKET = 263
const PACKET_ADD_MEMBERSHIP = 1
const PACKET_IGNORE_OUTGOING = 23
const PACKET_MR_MULTICAST = 0
const PACKET_MR_ALLMULTI = 2
const PACKET_MR_UNICAST = 3
/** Drivers of network cards have room for about as many; more make some of them listen to everything. */
const groupLimit = 32

const closeAsync = promisify(close)

/**
 * In the namespace of the calling thread. Hears what comes in on a link that passes the filter, before a link on top of
 * it can take it away; nothing of what leaves. `filter`: as `attachFilter` takes it. Throws SystemError: ENODEV.
 */
export function openPacketSocket(linkIndex: number, filter: Uint8Array): number {
  // With protocol 0 it hears nothing: no frame gets in before the filter stands.
  const fd = libc.socket(AF_PACKET, libc.SOCK_RAW, 0)
  try {
    libc.setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    libc.attachFilter(fd, filter)
    const address = Buffer.alloc(20) // struct sockaddr_ll
    address.writeUInt16LE(AF_PACKET, 0)
    address.writeUInt16BE(ETH_P_ALL, 2)
    address.writeInt32LE(linkIndex, 4)
    libc.bind(fd, address)
    return fd
  } catch (error) {
    libc.close(fd)
    throw error
  }
}

/**
 * Lets the link take in frames for more addresses than its own, 6 bytes each, as long as the socket is open. Many
 * groups mean all groups. Rejects with SystemError.
 */
export async function hearFor(fd: number, linkIndex: number, macs: readonly Uint8Array[]): Promise<void> {
  const isGroup = (mac: Uint8Array): boolean => (mac[0] ?? 0) % 2 === 1
  const all = macs.filter(isGroup).length > groupLimit
  if (all) await join(fd, linkIndex, PACKET_MR_ALLMULTI)
  for (const mac of macs) {
    if (!isGroup(mac)) await join(fd, linkIndex, PACKET_MR_UNICAST, mac)
    else if (!all) await join(fd, linkIndex, PACKET_MR_MULTICAST, mac)
  }
}

async function join(fd: number, linkIndex: number, type: number, mac: Uint8Array = new Uint8Array()): Promise<void> {
  const request = Buffer.alloc(16) // struct packet_mreq
  request.writeInt32LE(linkIndex, 0)
  request.writeUInt16LE(type, 4)
  request.writeUInt16LE(mac.length, 6)
  request.set(mac, 8)
  await libc.setsockoptAsync(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
}

/** In the thread pool: the kernel waits until nothing is under way to the socket, some 10 ms. */
export async function closePacketSocket(fd: number): Promise<void> {
  await closeAsync(fd)
}
