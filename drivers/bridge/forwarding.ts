/** Chains of the first table that judge what is forwarded. */
import type { NftStatement } from '../../native/kernel/nftables.ts'
import type { Marks } from '../driver.ts'
import {
  accept,
  drop,
  giveBack,
  because,
  concat,
  is,
  isNot,
  jump,
  goto,
  iifname,
  oifname,
  nfproto,
  l4proto,
  mark,
  bridgePair,
  familyAndBridge,
  source4,
  source6,
  target4,
  target6,
  known,
  translated,
  service,
  type ExplainedChain,
} from './nft.ts'

export function forwardingChains(marks: Marks): readonly ExplainedChain[] {
  return [
    {
      name: 'forward',
      about: 'The judge of all that is forwarded.',
      hook: { type: 'filter', hook: 'forward', prio: -1, policy: 'accept' },
      rules: [
        because("From a network of weft's.", is(iifname, '@bridges'), jump('from_br')),
        because('From elsewhere into one.', is(oifname, '@bridges'), jump('to_br')),
        because('From a container that the host reaches by a shim.', is(iifname, '@shims'), goto('by_shim')),
        because('To a container by a shim.', is(oifname, '@shims'), goto('by_shim')),
        because(
          "Neither end is weft's, and the host forwards this family only because weft switched it on.",
          is(nfproto, '@guarded'),
          jump('strangers'),
        ),
      ],
    },
    {
      name: 'from_br',
      about: 'A container sends.',
      rules: [
        because('It answers, or goes on.', known, goto('ok')),
        because(
          'It reaches a port published by its own network: to be masqueraded on the way back in.',
          is(bridgePair, '@hairpin'),
          translated,
          addToMark(marks.hairpin),
        ),
        because('To its own network.', is(bridgePair, '@same'), goto('ok')),
        because('An internal network reaches nobody, not even what others publish.', is(iifname, '@internal'), drop),
        because('A blackhole route of the network.', is(concat(iifname, target4), '@blackhole4'), drop),
        because('The same, IPv6.', is(concat(iifname, target6), '@blackhole6'), drop),
        because("What is published on the host is public, weft's and everyone's.", translated, goto('published')),
        because(
          "Another network of weft's: closed, but for what it opens itself.",
          is(oifname, '@bridges'),
          goto('enter'),
        ),
        because('Containers behind a shim are another network, too.', is(oifname, '@shims'), drop),
        because(
          'Bridges of other programs are closed without being known by name: the accept rule in their firewall comes ' +
            'before their own isolation.',
          is({ meta: { key: 'oifkind' } }, 'bridge'),
          isNot(oifname, '@uplinks'),
          drop,
        ),
        because(
          "What belongs to no connection cannot be masqueraded, and would show a container's address outside.",
          is({ ct: { key: 'state' } }, 'invalid'),
          drop,
        ),
        because('Out.', goto('ok')),
      ],
    },
    {
      name: 'by_shim',
      about:
        'From or to a container of weft-macvlan or weft-ipvlan. A shim is for the host itself and for published ports.',
      rules: [
        because('An answer, or an open connection.', known, goto('ok')),
        because('A published port.', translated, goto('published')),
        because('The host is no router for them.', drop),
      ],
    },
    {
      name: 'to_br',
      about: 'Somebody outside sends into a network.',
      rules: [
        because('An answer, or an open connection.', known, goto('ok')),
        because(
          'A container behind a shim is outside, and in no network of ports.',
          is(iifname, '@shims'),
          goto('by_shim'),
        ),
        because('Nobody gets into an internal network.', is(oifname, '@internal'), drop),
        because('A published port.', translated, goto('published')),
        because(
          'A network of mode nat-unprotected: every port is published.',
          is(familyAndBridge, '@open'),
          goto('published'),
        ),
        because("By a container's own address.", goto('enter')),
      ],
    },
    {
      name: 'enter',
      about: "To a container's own address, from outside or from another network.",
      rules: [
        because('Nobody gets into an internal network.', is(oifname, '@internal'), drop),
        because(
          'Marked by the host as `acceptFwmark` says.',
          is({ '&': [mark, marks.acceptMask] }, marks.acceptValue),
          goto('grant'),
        ),
        because('Mode routed answers pings.', is(familyAndBridge, '@routed'), is(l4proto, 'icmp'), goto('grant')),
        because('The same, IPv6.', is(familyAndBridge, '@routed'), is(l4proto, 'ipv6-icmp'), goto('grant')),
        because(
          'Mode routed, and direct routing that the settings allow: the ports that were published.',
          is(familyAndBridge, '@direct'),
          goto('direct_ports'),
        ),
        because(
          'From an interface that the network trusts: the same ports.',
          is(bridgePair, '@trusted'),
          goto('direct_ports'),
        ),
        because('Everything else.', drop),
      ],
    },
    {
      name: 'direct_ports',
      about: 'Ports of containers that are open by their own addresses.',
      rules: [
        because('IPv4.', is(concat(target4, ...service), '@direct4'), goto('published')),
        because('IPv6.', is(concat(target6, ...service), '@direct6'), goto('published')),
        because('Not one of them.', drop),
      ],
    },
    {
      name: 'published',
      about: 'A published port: who may use it?',
      rules: [
        because('The container has a list of sources.', is(target4, '@limited4'), goto('sources')),
        because('The same, IPv6.', is(target6, '@limited6'), goto('sources')),
        because('Everybody.', goto('grant')),
      ],
    },
    {
      name: 'sources',
      about: 'Lists of sources.',
      rules: [
        because('Listed, IPv4.', is(concat(target4, source4), '@from4'), goto('grant')),
        because('Listed, IPv6.', is(concat(target6, source6), '@from6'), goto('grant')),
        because('Not listed.', drop),
      ],
    },
    {
      name: 'grant',
      about: 'A new connection to a container is allowed by weft.',
      rules: [
        because(
          'From a network of another program: not marked, so that its own firewall decides whether it may send that. ' +
            'An internal one may not.',
          is({ meta: { key: 'iifkind' } }, 'bridge'),
          isNot(iifname, '@bridges'),
          isNot(iifname, '@uplinks'),
          accept,
        ),
        because('From everybody else.', goto('ok')),
      ],
    },
    {
      name: 'ok',
      about: 'Allowed, and marked for other firewalls.',
      rules: [because('Their accept rules look for the mark.', addToMark(marks.allowed), accept)],
    },
    {
      name: 'strangers',
      about: 'No new ways between the links of others.',
      rules: [
        because('What stands.', known, giveBack),
        because('What somebody translates on purpose.', translated, giveBack),
        because(
          'Networks of other programs keep their way out, and their own firewall.',
          is({ meta: { key: 'iifkind' } }, 'bridge'),
          isNot(iifname, '@uplinks'),
          giveBack,
        ),
        because(
          'Seen with br_netfilter: switched within the uplink, not forwarded by the host.',
          is(bridgePair, '@switched'),
          giveBack,
        ),
        because('Everything else.', drop),
      ],
    },
  ]
}

function addToMark(bits: number): NftStatement {
  return { mangle: { key: mark, value: { '|': [mark, bits] } } }
}
