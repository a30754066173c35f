/** The bridge driver's firewall, second table: what a container may send into its bridge. */
import type { NftExpression } from '../../native/kernel/nftables.ts'
import { portsTableName } from '../names.ts'
import { accept, because, concat, drop, field, goto, iifname, is, type ExplainedTable } from './nft.ts'

const mac = field('ether', 'saddr')
const etherType = field('ether', 'type')
const icmpType = field('icmpv6', 'type')
/** 01:80:c2:00:00:00 to 0f: for the next switch, and no further (IEEE 802.1D, table 7-10). */
const linkLocalGroup: NftExpression = { prefix: { addr: '01:80:c2:00:00:00', len: 44 } }
/**
 * Of a neighbour advertisement: 8 bytes into ICMPv6 (RFC 4861, 4.4). nft has no name for it, and then must not have one
 * for the source address either: both are looked up in one set.
 */
const ndTarget: NftExpression = { payload: { base: 'th', offset: 64, len: 128 } }
const source6: NftExpression = { payload: { base: 'nh', offset: 64, len: 128 } }
const ownMac = is(concat(iifname, mac), '@ports_mac')
const ownIp4 = is(concat(iifname, mac, field('ip', 'saddr')), '@ports4')
const arpMac = field('arp', 'saddr ether')
const arpIp = field('arp', 'saddr ip')

export const portsTable: ExplainedTable = {
  family: 'bridge',
  name: portsTableName,
  about:
    'A container sends with the MAC and the addresses that it was given, and with no others: it cannot pass for its ' +
    'neighbours or for the gateway, in frames, ARP or neighbour discovery. Switched off by `weft.antispoof=false`, but ' +
    'for frames to the neighbouring switch.',
  sets: [
    { name: 'ports', type: ['ifname'], about: 'Links of the containers that are looked at.' },
    { name: 'ports_mac', type: ['ifname', 'ether_addr'], about: 'Their MACs.' },
    { name: 'ports4', type: ['ifname', 'ether_addr', 'ipv4_addr'], about: 'Their addresses.' },
    {
      name: 'ports6',
      type: ['ifname', 'ether_addr', 'ipv6_addr'],
      typeof: 'iifname . ether saddr . @th,64,128',
      about: 'The same, IPv6, with the link-local address that the kernel makes from the MAC (RFC 4291, appendix A).',
    },
    { name: 'ports_free', type: ['ifname'], about: 'Links of the containers with `weft.antispoof=false`.' },
  ],
  chains: [
    {
      name: 'prerouting',
      about: 'Every frame that enters a bridge of this host.',
      hook: { type: 'filter', hook: 'prerouting', prio: -300, policy: 'accept' },
      rules: [
        because(
          'IPv4 from a container, with its own addresses: most frames need one look-up.',
          // Said, and not left to nft, which would ask for the protocol inside a VLAN tag.
          is(etherType, 'ip'),
          ownIp4,
          accept,
        ),
        because('Everything else from a container.', is(iifname, '@ports'), goto('port')),
        because(
          'To the next switch (spanning tree, LACP, LLDP): that would be one of the LAN, behind an adopted bridge.',
          is(field('ether', 'daddr'), linkLocalGroup),
          is(iifname, '@ports_free'),
          drop,
        ),
      ],
    },
    {
      name: 'port',
      about: 'By protocol; what is neither of these two is dropped, IPv4 that the first look-up did not find included.',
      rules: [
        because('ARP.', is(etherType, 'arp'), goto('port_arp')),
        because('IPv6.', is(etherType, 'ip6'), goto('port_ip6')),
        because('Everything else, frames with a VLAN tag included.', drop),
      ],
    },
    {
      name: 'port_arp',
      about: 'Both the frame and what it says must be true.',
      rules: [
        because('Says who has its own addresses.', ownMac, is(concat(iifname, arpMac, arpIp), '@ports4'), accept),
        because(
          'Asks whether an address is free (RFC 5227).',
          ownMac,
          is(concat(iifname, arpMac), '@ports_mac'),
          is(arpIp, '0.0.0.0'),
          accept,
        ),
        because('Everything else.', drop),
      ],
    },
    {
      name: 'port_ip6',
      about: 'The first rules are the ways to pass for somebody else in neighbour discovery.',
      rules: [
        because('A container is no router.', is(icmpType, 'nd-router-advert'), drop),
        because('Nor does it redirect.', is(icmpType, 'nd-redirect'), drop),
        because(
          'Nor does it ask for groups: a bridge that snoops would believe it, and hold back neighbour discovery.',
          is(icmpType, 'mld-listener-query'),
          drop,
        ),
        because(
          'It says who has its own addresses.',
          is(icmpType, 'nd-neighbor-advert'),
          is(concat(iifname, mac, ndTarget), '@ports6'),
          accept,
        ),
        because('And of no others.', is(icmpType, 'nd-neighbor-advert'), drop),
        because('Sent with its own addresses.', is(concat(iifname, mac, source6), '@ports6'), accept),
        because('Sent without one.', is(field('ip6', 'saddr'), '::'), goto('port_without')),
        because('Everything else.', drop),
      ],
    },
    {
      name: 'port_without',
      about: 'IPv6 of a container that has no address yet.',
      rules: [
        because(
          'Asks whether an address of its own is free; by asking for that of another it would deny it to that one.',
          is(icmpType, 'nd-neighbor-solicit'),
          is(concat(iifname, mac, ndTarget), '@ports6'),
          accept,
        ),
        because('Says to which groups it belongs.', ownMac, is(icmpType, 'mld2-listener-report'), accept),
        because('The same, as it was said before.', ownMac, is(icmpType, 'mld-listener-report'), accept),
        because('Says which one it leaves.', ownMac, is(icmpType, 'mld-listener-done'), accept),
        because('Everything else.', drop),
      ],
    },
  ],
}
