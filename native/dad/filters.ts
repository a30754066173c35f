/** Which frames of a link are worth waking up for. Offsets are those of the frame. */
import { beside, compileFilter, type Row } from '../ffi/filter.ts'
import { viewOf } from '../netlink/field.ts'
import { macToBytes, type Mac } from '../value/mac.ts'
import { types } from './ethernet.ts'
import { icmp6 } from './ndp.ts'

/** Tagged frames are another segment's: the tag was taken off and lies beside. VLAN 0 is none, only a priority. */
const untagged: readonly Row[] = [
  ['word', beside.hasVlanTag],
  ['equal', 0, { yes: 2, no: 'next' }],
  ['word', beside.vlanTag],
  ['anyBit', 0x0fff, { yes: 'drop', no: 'next' }],
]

/** ARP, and solicitations and advertisements of IPv6 neighbours. */
export const claims = compileFilter([
  ...untagged,
  ['half', 12],
  ['equal', types.arp, { yes: 'accept', no: 'next' }],
  ['equal', types.ipv6, { yes: 'next', no: 'drop' }],
  ['byte', 20],
  ['equal', icmp6.nextHeader, { yes: 'next', no: 'drop' }],
  ['byte', 54],
  ['equal', icmp6.solicitation, { yes: 'accept', no: 'next' }],
  ['equal', icmp6.advertisement, { yes: 'accept', no: 'drop' }],
])

/** Whatever a MAC sends. */
export function sentBy(mac: Mac): Uint8Array {
  const view = viewOf(macToBytes(mac))
  return compileFilter([
    ...untagged,
    ['word', 8],
    ['equal', view.getUint32(2), { yes: 'next', no: 'drop' }],
    ['half', 6],
    ['equal', view.getUint16(0), { yes: 'accept', no: 'drop' }],
  ])
}
