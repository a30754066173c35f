/**
 * Two small tables with one of everything that rule sets are made of: sets of every shape, and what looks them up. What
 * a drivers' rules do with it is theirs; here is shown that nft, the kernel and weft mean the same.
 */
import type { NftExpression, NftField, NftSet, NftStatement, NftTable } from '../../native/kernel/nftables.ts'
import type { Marks } from '../../native/nft/program.ts'

const iifname: NftExpression = { meta: { key: 'iifname' } }
const oifname: NftExpression = { meta: { key: 'oifname' } }
const l4proto: NftExpression = { meta: { key: 'l4proto' } }
const mac = field({ protocol: 'ether', field: 'saddr' })
const source4 = field({ protocol: 'ip', field: 'saddr' })
const target4 = field({ protocol: 'ip', field: 'daddr' })
const flow4 = concat(source4, target4, l4proto, field({ protocol: 'th', field: 'dport' }))
/** Raw, because the address that a neighbour advertisement speaks of has no name in nft 1.0.6. */
const source6: NftExpression = { payload: { base: 'nh', offset: 64, len: 128 } }
const advertised: NftExpression = { payload: { base: 'th', offset: 64, len: 128 } }
const etherType = field({ protocol: 'ether', field: 'type' })
const neighbourType = field({ protocol: 'icmpv6', field: 'type' })

const accept: NftStatement = { accept: null }
const drop: NftStatement = { drop: null }

const routedSets: readonly NftSet[] = [
  { name: 'bridges', type: ['ifname'] },
  { name: 'asked', type: ['nf_proto', 'inet_proto', 'inet_service'] },
  { name: 'open', type: ['nf_proto', 'ifname'] },
  { name: 'limited4', type: ['ipv4_addr'] },
  { name: 'from4', type: ['ipv4_addr', 'ipv4_addr'], flags: ['interval'] },
  { name: 'from6', type: ['ipv6_addr', 'ipv6_addr'], flags: ['interval'] },
  { name: 'blackhole4', type: ['ifname', 'ipv4_addr'], flags: ['interval'] },
  { name: 'blackhole6', type: ['ifname', 'ipv6_addr'], flags: ['interval'] },
  { name: 'masq4', type: ['ipv4_addr'], flags: ['interval'] },
  { name: 'snat4', type: ['ipv4_addr'], map: ['ipv4_addr'], flags: ['interval'] },
  { name: 'snat6', type: ['ipv6_addr'], map: ['ipv6_addr'], flags: ['interval'] },
  { name: 'pub4', type: ['inet_proto', 'inet_service'], map: ['ipv4_addr', 'inet_service'] },
  {
    name: 'admitted4',
    type: ['ipv4_addr', 'ipv4_addr', 'inet_proto', 'inet_service'],
    flags: ['dynamic', 'timeout'],
    timeoutSeconds: 60,
    size: 1000,
  },
]

/** Routed: blackholes, lists of sources, source addresses; every UDP flow is learnt. */
export function routedTable(marks: Marks): NftTable {
  return {
    family: 'inet',
    name: 'routed',
    sets: routedSets,
    chains: [
      {
        name: 'forward',
        hook: { type: 'filter', hook: 'forward', prio: 0, policy: 'accept' },
        rules: [
          [is({ '&': [{ meta: { key: 'mark' } }, marks.acceptMask] }, marks.acceptValue), accept],
          [is(concat(iifname, target4), '@blackhole4'), drop],
          [is(concat(iifname, field({ protocol: 'ip6', field: 'daddr' })), '@blackhole6'), drop],
          [is(l4proto, 'udp'), { set: { op: 'update', elem: flow4, set: '@admitted4' } }],
          [is(flow4, '@admitted4'), { counter: null }, accept],
          [is(target4, '@limited4'), { goto: { target: 'sources' } }],
          [is(concat({ meta: { key: 'nfproto' } }, oifname), '@open'), accept],
          [
            is(concat({ meta: { key: 'nfproto' } }, l4proto, field({ protocol: 'th', field: 'dport' })), '@asked'),
            accept,
          ],
          [is(l4proto, 'icmp'), accept],
          [is(l4proto, 'ipv6-icmp'), accept],
        ],
      },
      {
        name: 'sources',
        rules: [
          [is(concat(target4, source4), '@from4'), accept],
          [
            is(
              concat(field({ protocol: 'ip6', field: 'daddr' }), field({ protocol: 'ip6', field: 'saddr' })),
              '@from6',
            ),
            accept,
          ],
          [drop],
        ],
      },
      {
        name: 'postrouting',
        hook: { type: 'nat', hook: 'postrouting', prio: 100, policy: 'accept' },
        rules: [
          [{ snat: { family: 'ip', addr: { map: { key: source4, data: '@snat4' } } } }],
          [
            {
              snat: {
                family: 'ip6',
                addr: { map: { key: field({ protocol: 'ip6', field: 'saddr' }), data: '@snat6' } },
              },
            },
          ],
        ],
      },
    ],
  }
}

/** Switched: what enters a bridge has the addresses of its port. */
export const switchedTable: NftTable = {
  family: 'bridge',
  name: 'switched',
  sets: [
    { name: 'ports', type: ['ifname'] },
    { name: 'ports_mac', type: ['ifname', 'ether_addr'] },
    { name: 'ports4', type: ['ifname', 'ether_addr', 'ipv4_addr'] },
    {
      name: 'ports6',
      type: ['ifname', 'ether_addr', 'ipv6_addr'],
      typeof: 'iifname . ether saddr . @th,64,128',
    },
  ],
  chains: [
    {
      name: 'prerouting',
      hook: { type: 'filter', hook: 'prerouting', prio: -300, policy: 'accept' },
      rules: [[is(iifname, '@ports'), { jump: { target: 'port' } }]],
    },
    {
      name: 'port',
      rules: [
        [is(etherType, 'ip'), is(concat(iifname, mac, source4), '@ports4'), accept],
        [is(etherType, 'arp'), { goto: { target: 'arp' } }],
        [is(etherType, 'ip6'), { goto: { target: 'ip6' } }],
        [{ counter: null }, drop],
      ],
    },
    {
      name: 'arp',
      rules: [
        [
          is(field({ protocol: 'arp', field: 'operation' }), { set: ['request', 'reply'] }),
          is(concat(iifname, mac), '@ports_mac'),
          is(
            concat(
              iifname,
              field({ protocol: 'arp', field: 'saddr ether' }),
              field({ protocol: 'arp', field: 'saddr ip' }),
            ),
            '@ports4',
          ),
          accept,
        ],
        [
          is(field({ protocol: 'arp', field: 'operation' }), 'request'),
          is(concat(iifname, field({ protocol: 'arp', field: 'saddr ether' })), '@ports_mac'),
          is(field({ protocol: 'arp', field: 'saddr ip' }), '0.0.0.0'),
          accept,
        ],
        [drop],
      ],
    },
    {
      name: 'ip6',
      rules: [
        [is(neighbourType, { set: ['nd-router-advert', 'nd-redirect'] }), drop],
        [is(neighbourType, 'nd-neighbor-advert'), is(concat(iifname, mac, advertised), '@ports6'), accept],
        [is(neighbourType, 'nd-neighbor-advert'), drop],
        [is(concat(iifname, mac, source6), '@ports6'), accept],
        [
          is(concat(iifname, mac), '@ports_mac'),
          is(field({ protocol: 'ip6', field: 'saddr' }), { set: ['::', { prefix: { addr: 'fe80::', len: 10 } }] }),
          accept,
        ],
        [drop],
      ],
    },
  ],
}

function field(payload: NftField): NftExpression {
  return { payload }
}

function concat(...parts: readonly NftExpression[]): NftExpression {
  return { concat: parts }
}

function is(left: NftExpression, right: NftExpression): NftStatement {
  return { match: { op: '==', left, right } }
}
