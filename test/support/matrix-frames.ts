/** Frames as a container with all rights over its network would send them, true and untrue, and who sees them arrive. */
import * as libc from '../../native/ffi/libc.ts'
import { inNetns } from '../../native/ffi/netns.ts'
import { ipToBytes, type Ip } from '../../native/value/ip.ts'
import { macToBytes, type Mac } from '../../native/value/mac.ts'
import { eventually } from './lab.ts'

const AF_PACKET = 17
/** ETH_P_ALL */
const everything = 0x0003
const [ipv4, ipv6, arp, lldp] = [0x0800, 0x86dd, 0x0806, 0x88cc]
const [udp, icmp6] = [17, 58]

/** Who a station is, or says that it is. */
export interface Station {
  readonly mac: Mac
  readonly v4: Ip
  readonly v6: Ip
  readonly linkLocal: Ip
}

type Bytes = readonly number[]

/** Frames by name, from `own` to `peer`; `other` is a third one, whom they pretend to be. */
export interface Frames {
  readonly true: ReadonlyMap<string, Uint8Array>
  readonly untrue: ReadonlyMap<string, Uint8Array>
}

export function frames(own: Station, peer: Station, other: Station): Frames {
  const ether = (type: number, payload: Bytes, from: Mac = own.mac): Bytes => [
    ...[...macToBytes(peer.mac), ...macToBytes(from)],
    ...[...word(type), ...payload],
  ]
  const from4 = (source: Ip, mac?: Mac): Bytes => ether(ipv4, packet4(source, peer.v4), mac)
  const from6 = (source: Ip, mac?: Mac): Bytes => ether(ipv6, packet6(source, peer.v6, udp, datagram), mac)
  const nd = (source: Ip, message: Bytes, mac?: Mac): Bytes =>
    ether(ipv6, packet6(source, peer.v6, icmp6, message), mac)
  const says = (mac: Mac, address: Ip, op: 1 | 2, from?: Mac): Bytes => {
    const sender = [...macToBytes(mac), ...ipToBytes(address)]
    return ether(arp, [0, 1, 8, 0, 6, 4, 0, op, ...sender, ...macToBytes(peer.mac), ...ipToBytes(peer.v4)], from)
  }
  const tagged = (type: number, id: number): Bytes => [
    ...[...macToBytes(peer.mac), ...macToBytes(own.mac)],
    ...[...word(type), ...word(id), ...word(ipv4), ...packet4(own.v4, peer.v4)],
  ]
  const nobody4 = '0.0.0.0' as Ip
  const nobody6 = '::' as Ip
  const stranger = '02:00:00:00:00:99' as Mac
  const advert = advertisement(other.v6, own.mac)
  return {
    true: marked({
      IPv4: from4(own.v4),
      IPv6: from6(own.v6),
      'IPv6, link-local': from6(own.linkLocal),
      'ARP question': says(own.mac, own.v4, 1),
      'ARP answer': says(own.mac, own.v4, 2),
      'ARP probe': says(own.mac, nobody4, 1),
      'neighbour solicitation': nd(own.v6, solicitation(peer.v6)),
      'duplicate address detection': nd(nobody6, solicitation(own.v6)),
      'group report without an address': nd(nobody6, [143, ...zeros(7)]),
      'neighbour advertisement': nd(own.v6, advertisement(own.v6, own.mac)),
      'neighbour advertisement, link-local': nd(own.linkLocal, advertisement(own.linkLocal, own.mac)),
      'router solicitation': nd(own.linkLocal, [133, 0, 0, 0, 0, 0, 0, 0]),
    }),
    untrue: marked({
      'a strange MAC, IPv4': from4(own.v4, stranger),
      'a strange MAC, IPv6': from6(own.v6, stranger),
      "the other's MAC": from4(own.v4, other.mac),
      "the other's MAC and address": from4(other.v4, other.mac),
      "the other's IPv4": from4(other.v4),
      'IPv4 of nobody': from4(nobody4),
      'IPv4 of the outside': from4('198.51.100.7' as Ip),
      "the other's IPv6": from6(other.v6),
      "the other's link-local IPv6": from6(other.linkLocal),
      'IPv6 of the outside': from6('2001:db8::7' as Ip),
      'IPv6 of nobody, udp': from6(nobody6),
      "ARP: the other's address is mine": says(own.mac, other.v4, 2),
      "ARP: the other's address, asking": says(own.mac, other.v4, 1),
      "ARP: the other's address is the other's": says(other.mac, other.v4, 2),
      "ARP: my address is the other's": says(other.mac, own.v4, 2),
      'ARP in a frame of the other': says(own.mac, own.v4, 2, other.mac),
      'ARP probe in a frame of the other': says(own.mac, nobody4, 1, other.mac),
      'ARP probe of the other': says(other.mac, nobody4, 1),
      "NA: the other's address is mine": nd(own.v6, advert),
      "NA: the other's address, link-local": nd(own.linkLocal, advertisement(other.linkLocal, own.mac)),
      'NA from nobody': nd(nobody6, advert),
      'NA in a frame of the other': nd(own.v6, advertisement(own.v6, own.mac), other.mac),
      'NA behind hop-by-hop options': ether(ipv6, packet6(own.v6, peer.v6, 0, [icmp6, 0, ...padding, ...advert])),
      'NA behind destination options': ether(ipv6, packet6(own.v6, peer.v6, 60, [icmp6, 0, ...padding, ...advert])),
      "NS from the other's address": nd(other.v6, solicitation(peer.v6)),
      "NS from nobody, for the other's address": nd(nobody6, solicitation(other.v6)),
      'ping from nobody': nd(nobody6, [128, ...zeros(7)]),
      'group query': nd(own.linkLocal, [130, 0, 0, 0, 0, 1, ...zeros(18), 2, 125, 0, 0]),
      'NS from nobody, in a frame of the other': nd(nobody6, solicitation(other.v6), other.mac),
      'router advertisement': nd(own.linkLocal, [134, 0, 0, 0, 64, 0, 7, 8, ...zeros(8)]),
      'router advertisement of the other': nd(other.linkLocal, [134, 0, 0, 0, 64, 0, 7, 8, ...zeros(8)]),
      'router advertisement behind options': ether(
        ipv6,
        packet6(own.linkLocal, peer.v6, 60, [icmp6, 0, ...padding, 134, 0, 0, 0, 64, 0, 7, 8, ...zeros(8)]),
      ),
      redirect: nd(own.linkLocal, [137, 0, 0, 0, ...zeros(4), ...ipToBytes(own.v6), ...ipToBytes(other.v6)]),
      'tagged for VLAN 5': tagged(0x8100, 5),
      'tagged with a priority': tagged(0x8100, 0x6000),
      'tagged twice': tagged(0x88a8, 5),
      RARP: ether(0x8035, [0, 1, 8, 0, 6, 4, 0, 3, ...macToBytes(own.mac), ...zeros(14)]),
      LLDP: ether(lldp, zeros(46)),
      'of length 46': ether(46, [0xaa, 0xaa, 3, ...zeros(43)]),
    }),
  }
}

/** A MAC of nobody: no bridge may learn it. */
export const untold = '02:00:00:00:00:98' as Mac

/**
 * `group`: to the addresses of the next switch, 01:80:c2:00:00:00 to 0f, which a bridge hands to its host as if that had
 * a place at the port. `everybody`: true, by broadcast.
 */
export function groupFrames(
  own: Station,
  other: Station,
): Record<'group' | 'everybody', ReadonlyMap<string, Uint8Array>> {
  const to = (group: Bytes, from: Mac, type: number, payload: Bytes): Bytes => [
    ...[...group, ...macToBytes(from)],
    ...[...word(type), ...payload],
  ]
  const advert = packet6(other.linkLocal, 'ff02::1' as Ip, icmp6, [134, 0, 0, 0, 64, 0, 7, 8, ...zeros(8)])
  const group = Array.from({ length: 16 }, (_, last) => {
    const address = [0x01, 0x80, 0xc2, 0, 0, last]
    return [
      [`IPv4 to group ${last}`, to(address, untold, ipv4, packet4('198.51.100.7' as Ip, own.v4))],
      [`router advertisement to group ${last}`, to(address, untold, ipv6, advert)],
      [`LLDP to group ${last}`, to(address, untold, lldp, zeros(46))],
    ] as const
  })
  return {
    group: marked(Object.fromEntries(group.flat())),
    everybody: marked({
      'IPv4 to everybody': to([255, 255, 255, 255, 255, 255], own.mac, ipv4, packet4(own.v4, '255.255.255.255' as Ip)),
      'IPv6 to everybody': to([0x33, 0x33, 0, 0, 0, 1], own.mac, ipv6, packet6(own.v6, 'ff02::1' as Ip, udp, datagram)),
    }),
  }
}

/**
 * Sends them from `from`, and answers which of them arrive in `to`; all of `certain` are waited for. `heard`: what the
 * kernel there takes for its own, and not what only passes one of its links.
 */
export async function arrivals(
  from: string,
  to: string,
  sent: ReadonlyMap<string, Uint8Array>,
  certain: ReadonlyMap<string, Uint8Array>,
  { heard = false }: { readonly heard?: boolean } = {},
): Promise<ReadonlySet<string>> {
  const out = packetSocket(from, everything)
  const listeners = (heard ? [ipv4, ipv6, lldp] : [everything]).map(type => packetSocket(to, type))
  const names = new Set<string>()
  const look = (): void => {
    const into = new Uint8Array(2048)
    for (const listener of listeners) {
      for (let length = libc.receive(listener, into); length !== undefined; length = libc.receive(listener, into)) {
        const name = /<<(.*)>>/.exec(Buffer.from(into.subarray(0, length)).toString('latin1'))?.[1]
        if (name !== undefined) names.add(name)
      }
    }
  }
  try {
    // What must arrive is sent last: when it is there, the others have had their time.
    for (const frame of [...sent.values(), ...certain.values()]) libc.send(out, frame, linkAddress(from))
    await eventually('what is true arrives', () => {
      look()
      const missing = [...certain.keys()].filter(name => !names.has(name))
      if (missing.length > 0) throw new Error(`missing: ${missing.join('; ')}`)
      return true
    })
    return names
  } finally {
    for (const socket of [out, ...listeners]) libc.close(socket)
  }
}

/** Of one type of frame it gets what no bridge has taken; `everything` is seen as it enters a link. */
function packetSocket(netns: string, type: number): number {
  return inNetns(netns, () => libc.socket(AF_PACKET, libc.SOCK_RAW, ((type & 0xff) << 8) | (type >>> 8)))
}

/** struct sockaddr_ll of the container's link: the only one but lo, and so its number is that of its eth0. */
function linkAddress(netns: string): Uint8Array {
  const address = Buffer.alloc(20)
  address.writeUInt16LE(AF_PACKET, 0)
  address.writeInt32LE(linkNumbers.get(netns) ?? 0, 4)
  return address
}

const linkNumbers = new Map<string, number>()

/** Tells the number of the link by which frames leave `netns`. */
export function sendsBy(netns: string, link: number): void {
  linkNumbers.set(netns, link)
}

/** Every frame carries its name: as the last part of what it says that it contains. */
const room = 64
const datagram = [...word(4000), ...word(4001), ...word(8 + room), 0, 0]
const padding = [1, 4, 0, 0, 0, 0]

function marked(table: Readonly<Record<string, Bytes>>): ReadonlyMap<string, Uint8Array> {
  return new Map(
    Object.entries(table).map(([name, bytes]) => {
      return [name, Buffer.concat([Uint8Array.from(bytes), Buffer.from(`<<${name}>>`.padEnd(room), 'latin1')])]
    }),
  )
}

function packet4(source: Ip, destination: Ip): Bytes {
  const header = [
    0x45,
    0,
    ...word(28 + room),
    0,
    0,
    0,
    0,
    64,
    udp,
    0,
    0,
    ...ipToBytes(source),
    ...ipToBytes(destination),
  ]
  let sum = 0
  for (let at = 0; at < 20; at += 2) sum += (header[at] ?? 0) * 256 + (header[at + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return [...header.slice(0, 10), ...word(~sum & 0xffff), ...header.slice(12), ...datagram]
}

function packet6(source: Ip, destination: Ip, next: number, payload: Bytes): Bytes {
  const hops = next === udp ? 64 : 255
  return [
    0x60,
    0,
    0,
    0,
    ...word(payload.length + room),
    next,
    hops,
    ...ipToBytes(source),
    ...ipToBytes(destination),
    ...payload,
  ]
}

function solicitation(target: Ip): Bytes {
  return [135, 0, 0, 0, ...zeros(4), ...ipToBytes(target)]
}

/** With the override flag, and the target's link address. */
function advertisement(target: Ip, mac: Mac): Bytes {
  return [136, 0, 0, 0, 0x20, 0, 0, 0, ...ipToBytes(target), 2, 1, ...macToBytes(mac)]
}

function word(value: number): Bytes {
  return [value >>> 8, value & 0xff]
}

function zeros(count: number): Bytes {
  return Array.from({ length: count }, () => 0)
}
