/** ARP over Ethernet: RFC 826, and the probes of RFC 5227. */
import { be16, struct, u8 } from '../netlink/codec.ts'
import type { Ip } from '../value/ip.ts'
import type { Mac } from '../value/mac.ts'
import { broadcast, header, ip4, mac6, types, type Holder } from './ethernet.ts'

const arp = struct(42, {
  ...header,
  hardware: [14, be16],
  protocol: [16, be16],
  hardwareBytes: [18, u8],
  protocolBytes: [19, u8],
  operation: [20, be16],
  senderMac: [22, mac6],
  senderIp: [28, ip4],
  targetMac: [32, mac6],
  targetIp: [38, ip4],
})
const request = 1
const reply = 2
const nobody = '0.0.0.0' as Ip

/** Asks who has an address, without saying that it is one's own: it changes nobody's ARP cache. */
export function arpProbe(address: Ip, from: Mac): Uint8Array {
  return question(from, { senderIp: nobody, targetIp: address })
}

/** Tells everybody who has an address: who remembers another MAC for it forgets that. */
export function arpAnnouncement(address: Ip, from: Mac): Uint8Array {
  return question(from, { senderIp: address, targetIp: address })
}

function question(from: Mac, who: { readonly senderIp: Ip; readonly targetIp: Ip }): Uint8Array {
  return arp.encode({
    ...{ to: broadcast, from, type: types.arp },
    ...{ hardware: 1, protocol: types.ipv4, hardwareBytes: 6, protocolBytes: 4 },
    ...{ operation: request, senderMac: from, ...who },
  })
}

/** RFC 5227 2.1.1: who speaks from an address has it; who probes for it will have it. */
export function arpHolder(frame: Uint8Array): Holder | undefined {
  if (frame.length < arp.size) return undefined
  const { type, protocol, hardwareBytes, protocolBytes, operation, senderMac, senderIp, targetIp } = arp.decode(frame)
  if (type !== types.arp || protocol !== types.ipv4 || hardwareBytes !== 6 || protocolBytes !== 4) return undefined
  if (operation !== request && operation !== reply) return undefined
  if (senderIp !== nobody) return { address: senderIp, mac: senderMac }
  return operation === request ? { address: targetIp, mac: senderMac } : undefined
}
