/** Chains of the first table that translate: published ports on the way in, source addresses on the way out. */
import type { NftExpression, NftStatement } from '../../native/kernel/nftables.ts'
import type { Marks } from '../driver.ts'
import {
  drop,
  giveBack,
  masquerade,
  because,
  concat,
  is,
  isNot,
  jump,
  goto,
  iifname,
  nfproto,
  oifname,
  mark,
  source4,
  source6,
  target4,
  target6,
  translated,
  loopback4,
  toThisHost,
  service,
  type ExplainedChain,
} from './nft.ts'

const publishedSets = ['asked4', 'asked4any', 'asked6', 'asked6any'] as const
const relayedSets = ['relayed4', 'relayed4any', 'relayed6', 'relayed6any'] as const

export function translationChains(marks: Marks): readonly ExplainedChain[] {
  return [
    {
      name: 'raw',
      about: 'Before anything is translated.',
      hook: { type: 'filter', hook: 'prerouting', prio: -300, policy: 'accept' },
      rules: [
        because(
          "Translation precedes the kernel's own check for martians: without this a neighbour that routes 127.0.0.1 " +
            'to this host reaches ports published on 127.0.0.1 only.',
          is(target4, loopback4),
          isNot(iifname, 'lo'),
          drop,
        ),
        because(
          'route_localnet lets a bridge accept such sources, which services of the host take for the host itself.',
          is(source4, loopback4),
          isNot(iifname, 'lo'),
          drop,
        ),
      ],
    },
    {
      name: 'prerouting',
      about: 'What arrives from elsewhere, containers included.',
      hook: { type: 'nat', hook: 'prerouting', prio: -100, policy: 'accept' },
      rules: [
        because('What is only passing through is never translated, whatever its port.', toThisHost, goto('arrive')),
      ],
    },
    {
      name: 'output',
      about: 'What this host sends.',
      hook: { type: 'nat', hook: 'output', prio: -100, policy: 'accept' },
      rules: [
        because('Nothing leaves `::1` translated: the daemon relays there.', is(target6, '::1'), giveBack),
        because('The host uses its own published ports, also on 127.0.0.1.', toThisHost, goto('publish')),
      ],
    },
    {
      name: 'arrive',
      about: 'Is it for a port that is published under the rules of the host?',
      rules: [
        ...publishedSets.map(set => because('A port of `weft.publish=host-firewall`.', ...isIn(set), goto('ask'))),
        because('All the others.', goto('publish')),
      ],
    },
    {
      name: 'ask',
      about:
        "A client that the host's own INPUT rules let in a short while ago is translated. Of any other the first packet " +
        'goes on untranslated, to INPUT: see there.',
      rules: [
        because('Let in before, IPv4.', is(concat(source4, target4, ...service), '@admitted4'), goto('publish')),
        because('Let in before, IPv6.', is(concat(source6, target6, ...service), '@admitted6'), goto('publish')),
      ],
    },
    {
      name: 'publish',
      about: 'Published ports: first those of one host address, then those of all.',
      rules: [
        because('One address, IPv4.', dnat('ip', 'pub4')),
        because('Every address, IPv4.', dnat('ip', 'pub4any')),
        because('One address, IPv6.', dnat('ip6', 'pub6')),
        because('Every address, IPv6.', dnat('ip6', 'pub6any')),
      ],
    },
    {
      name: 'input',
      about: "After every firewall of the host: what comes here, the host's own rules have let in.",
      hook: { type: 'filter', hook: 'input', prio: 100, policy: 'accept' },
      rules: [
        because('From an internal network.', is(iifname, '@internal'), jump('relays')),
        ...publishedSets.map(set =>
          because('For a published port that they were asked about.', ...isIn(set), goto('admit')),
        ),
      ],
    },
    {
      name: 'relays',
      about:
        'What the daemon serves itself is never forwarded: an internal network, which reaches nothing that is published, ' +
        'is kept from it here.',
      rules: relayedSets.map(set => because('A published port that is relayed.', ...isIn(set), drop)),
    },
    {
      name: 'admit',
      about:
        'Notes the client, and drops the packet: nobody listens here. The client sends it again (TCP after a second) and ' +
        'is translated then.',
      rules: [
        because('Note, IPv4.', learn('admitted4', concat(source4, target4, ...service))),
        because('Note, IPv6.', learn('admitted6', concat(source6, target6, ...service))),
        because('To be sent again.', drop),
      ],
    },
    {
      name: 'postrouting',
      about: 'Source addresses.',
      hook: { type: 'nat', hook: 'postrouting', prio: 100, policy: 'accept' },
      rules: [
        because("Into a network of weft's.", is(oifname, '@bridges'), jump('post_in')),
        because(
          'To a published port by a shim: a container that is itself in the LAN would answer the client directly.',
          is(oifname, '@shims'),
          translated,
          masquerade,
        ),
        because(
          'Out, with the address that the network chose. Between bridges of weft a container keeps its own.',
          isNot(oifname, '@bridges'),
          snat('ip', source4, 'snat4'),
        ),
        because('The same, IPv6.', isNot(oifname, '@bridges'), snat('ip6', source6, 'snat6')),
        because("Out, with the host's address.", is(source4, '@masq4'), isNot(oifname, '@bridges'), masquerade),
        because('The same, IPv6.', is(source6, '@masq6'), isNot(oifname, '@bridges'), masquerade),
      ],
    },
    {
      name: 'post_in',
      about: 'Sources that a container could not answer.',
      rules: [
        because("The host's loopback addresses.", is(source4, loopback4), masquerade),
        because('The same, IPv6.', is(source6, '::1'), masquerade),
        because(
          'Client and server share a link: without this the answer goes straight back and is not recognised. The input ' +
            'interface cannot be asked here, with br_netfilter there is none.',
          isNot({ '&': [mark, marks.hairpin] }, 0),
          masquerade,
        ),
      ],
    },
  ]
}

/** Key of a map of published ports, and of the sets beside it. */
function keyOfPublished(set: string): NftExpression {
  return concat(...(set.endsWith('any') ? [] : [set.endsWith('4') ? target4 : target6]), ...service)
}

/** A key without an address says nothing of the family. */
function isIn(set: string): readonly NftStatement[] {
  const family = set.includes('4') ? 'ipv4' : 'ipv6'
  return [...(set.endsWith('any') ? [is(nfproto, family)] : []), is(keyOfPublished(set), `@${set}`)]
}

function dnat(family: 'ip' | 'ip6', map: string): NftStatement {
  return { dnat: { family, addr: { map: { key: keyOfPublished(map), data: `@${map}` } } } }
}

function snat(family: 'ip' | 'ip6', key: NftExpression, map: string): NftStatement {
  return { snat: { family, addr: { map: { key, data: `@${map}` } } } }
}

function learn(set: string, elem: NftExpression): NftStatement {
  return { set: { op: 'update', elem, set: `@${set}` } }
}
