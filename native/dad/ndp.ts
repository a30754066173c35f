/** Neighbour discovery for IPv6 over Ethernet: RFC 4861, and the solicitations of RFC 4862 5.4. */
import { be16, be32, struct, u8 } from '../netlink/codec.ts'
import { ipFromBytes, ipToBytes, type Ip } from '../value/ip.ts'
import { macFromBytes, macToBytes, type Mac } from '../value/mac.ts'
import { header, ip16, types, type Holder } from './ethernet.ts'

const packet = struct(54, {
  ...header,
  /** With traffic class and flow label. */
  version: [14, be32],
  payloadBytes: [18, be16],
  nextHeader: [20, u8],
  hopLimit: [21, u8],
  source: [22, ip16],
  destination: [38, ip16],
})
/** Solicitation and advertisement have the same fields; options follow. */
const discovery = struct(24, { type: [0, u8], code: [1, u8], flags: [4, be32], target: [8, ip16] })
const checksumAt = 2

export const icmp6 = { nextHeader: 58, echoRequest: 128, solicitation: 135, advertisement: 136 } as const
/** A router lowers it: what arrives with it was sent in this very segment. */
const farthest = 255
/** Of an advertisement: it answers somebody's question. */
const solicited = 0x40000000
/** It replaces what others remember. */
const override = 0x20000000
/** Options. */
const sourceMac = 1
const targetMac = 2

const nobody = '::' as Ip
const allNodes = 'ff02::1' as Ip

/** Whom a question about an address is sent to: a group by its last three bytes. */
export function solicitedNode(address: Ip): Ip {
  return ipFromBytes(Buffer.concat([Buffer.from('ff0200000000000000000001ff', 'hex'), ipToBytes(address).subarray(13)]))
}

/** RFC 2464 7. */
export function groupMac(group: Ip): Mac {
  return macFromBytes(Uint8Array.of(0x33, 0x33, ...ipToBytes(group).subarray(12)))
}

/** Who advertises to somebody without address speaks to this group. */
export const allNodesMac = groupMac(allNodes)

/** RFC 4291 2.5.1: the link-local address that most give themselves by their MAC. */
export function linkLocal(mac: Mac): Ip {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = macToBytes(mac)
  return ipFromBytes(Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f))
}

/** Asks who has an address, as somebody who has none yet. It makes others give up who ask for it at the same time. */
export function duplicateSolicitation(address: Ip, from: Mac): Uint8Array {
  return solicitation(address, { from, source: nobody }, [])
}

/** Asks who has an address, as a neighbour from the link-local address of its MAC: nobody gives anything up. */
export function neighbourSolicitation(address: Ip, from: Mac): Uint8Array {
  return solicitation(address, { from, source: linkLocal(from) }, [sourceMac, 1, ...macToBytes(from)])
}

function solicitation(target: Ip, who: Pick<Sending, 'from' | 'source'>, option: readonly number[]): Uint8Array {
  const group = solicitedNode(target)
  const question = Buffer.concat([discovery.encode({ type: icmp6.solicitation, target }), Uint8Array.from(option)])
  return encode({ ...who, to: groupMac(group), destination: group }, question)
}

/** Tells everybody who has an address, unasked: who remembers another MAC for it forgets that. */
export function advertisement(address: Ip, from: Mac): Uint8Array {
  const news = discovery.encode({ type: icmp6.advertisement, flags: override, target: address })
  const message = Buffer.concat([news, Uint8Array.of(targetMac, 1, ...macToBytes(from))])
  return encode({ from, source: address, to: groupMac(allNodes), destination: allNodes }, message)
}

/** A ping that only the holder of a MAC gets, whatever its addresses are. */
export function pingMac(to: Mac, from: Mac): Uint8Array {
  const where = { to, from, source: linkLocal(from), destination: allNodes }
  return encode(where, Uint8Array.of(icmp6.echoRequest, 0, 0, 0, 0, 0, 0, 0))
}

interface Sending {
  readonly to: Mac
  readonly from: Mac
  readonly source: Ip
  readonly destination: Ip
}

function encode(sending: Sending, message: Uint8Array): Uint8Array {
  const fixed = { type: types.ipv6, version: 0x60000000, nextHeader: icmp6.nextHeader, hopLimit: farthest }
  const bytes = Buffer.concat([packet.encode({ ...sending, ...fixed, payloadBytes: message.length }), message])
  bytes.writeUInt16BE(checksum(sending, message), packet.size + checksumAt)
  return bytes
}

/**
 * RFC 4862 5.4: who advertises an address has it, who solicits it from nowhere will have it. And who solicits another
 * address speaks from one of its own. Messages that a receiver has to discard (RFC 4861 7.1) say nothing.
 */
export function ndpHolder(frame: Uint8Array): Holder | undefined {
  if (frame.length < packet.size + discovery.size) return undefined
  const about = packet.decode(frame)
  const message = frame.subarray(packet.size, packet.size + about.payloadBytes)
  if (about.type !== types.ipv6 || about.version >>> 28 !== 6 || about.nextHeader !== icmp6.nextHeader) return undefined
  if (message.length !== about.payloadBytes || message.length < discovery.size) return undefined
  if (about.hopLimit !== farthest || checksum(about, message) !== 0) return undefined
  const { type, code, flags, target } = discovery.decode(message)
  const options = optionsOf(message.subarray(discovery.size))
  if (code !== 0 || isGroup(target) || !options) return undefined
  if (type === icmp6.advertisement) {
    if (isGroup(about.destination) && flags & solicited) return undefined
    return { address: target, mac: options.get(targetMac) ?? about.from }
  }
  if (type !== icmp6.solicitation) return undefined
  if (about.source !== nobody) return { address: about.source, mac: options.get(sourceMac) ?? about.from }
  if (options.has(sourceMac) || about.destination !== solicitedNode(target)) return undefined
  return { address: target, mac: about.from }
}

function isGroup(address: Ip): boolean {
  return ipToBytes(address)[0] === 0xff
}

/** MACs by the type of their option; undefined when an option has no length, or runs past the end. */
function optionsOf(bytes: Uint8Array): ReadonlyMap<number, Mac> | undefined {
  const options = new Map<number, Mac>()
  for (let at = 0; at < bytes.length;) {
    const size = 8 * (bytes[at + 1] ?? 0)
    if (size === 0 || at + size > bytes.length) return undefined
    if (size === 8) options.set(bytes[at] ?? 0, macFromBytes(bytes.subarray(at + 2, at + 8)))
    at += size
  }
  return options
}

/** RFC 4443 2.3. Over a message that has its own: 0 when it is right. */
function checksum({ source, destination }: Pick<Sending, 'source' | 'destination'>, message: Uint8Array): number {
  const rest = Buffer.alloc(8)
  rest.writeUInt32BE(message.length)
  rest.writeUInt8(icmp6.nextHeader, 7)
  let sum = 0
  for (const part of [ipToBytes(source), ipToBytes(destination), rest, message]) {
    for (let at = 0; at < part.length; at += 2) sum += (part[at] ?? 0) * 256 + (part[at + 1] ?? 0)
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}
