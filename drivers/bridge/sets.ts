/** Sets and maps of the first table: all that its rules know of networks and containers. */
import type { ExplainedSet } from './nft.ts'

const port4 = ['ipv4_addr', 'inet_proto', 'inet_service'] as const
const port6 = ['ipv6_addr', 'inet_proto', 'inet_service'] as const
const portAny = ['inet_proto', 'inet_service'] as const
const to4 = ['ipv4_addr', 'inet_service'] as const
const to6 = ['ipv6_addr', 'inet_service'] as const

export const sets: readonly ExplainedSet[] = [
  { name: 'bridges', type: ['ifname'], about: "Every bridge of a network, weft's own and adopted ones." },
  { name: 'hairpin', type: ['ifname', 'ifname'], about: '`br . br` for every bridge.' },
  {
    name: 'same',
    type: ['ifname', 'ifname'],
    about: '`br . br` for the bridges whose containers may talk to each other.',
  },
  {
    name: 'shims',
    type: ['ifname'],
    about: 'Links by which the host has a place in networks of weft-macvlan and weft-ipvlan: `host_access`.',
  },
  { name: 'internal', type: ['ifname'], about: 'Bridges of internal networks.' },
  { name: 'uplinks', type: ['ifname'], about: "Bridges that are the host's way out, not networks of another program." },
  { name: 'switched', type: ['ifname', 'ifname'], about: '`br . br` for every one of `uplinks`.' },
  {
    name: 'guarded',
    type: ['nf_proto'],
    about: 'Families whose forwarding weft has switched on: `ipv4`, `ipv6`.',
  },
  { name: 'open', type: ['nf_proto', 'ifname'], about: 'Networks of mode nat-unprotected.' },
  { name: 'routed', type: ['nf_proto', 'ifname'], about: 'Networks of mode routed.' },
  {
    name: 'direct',
    type: ['nf_proto', 'ifname'],
    about: "Networks whose published ports are open by the containers' own addresses.",
  },
  {
    name: 'trusted',
    type: ['ifname', 'ifname'],
    about: '`eth1 . br`: interfaces that reach the published ports of a network by the addresses of its containers.',
  },
  { name: 'direct4', type: port4, about: 'Ports of containers that are open by their own addresses.' },
  { name: 'direct6', type: port6, about: 'The same, IPv6.' },
  { name: 'limited4', type: ['ipv4_addr'], about: 'Containers whose published ports have a list of sources.' },
  { name: 'limited6', type: ['ipv6_addr'], about: 'The same, IPv6.' },
  {
    name: 'from4',
    type: ['ipv4_addr', 'ipv4_addr'],
    flags: ['interval'],
    about: 'Container . sources of its list.',
  },
  { name: 'from6', type: ['ipv6_addr', 'ipv6_addr'], flags: ['interval'], about: 'The same, IPv6.' },
  {
    name: 'blackhole4',
    type: ['ifname', 'ipv4_addr'],
    flags: ['interval'],
    about: 'Bridge . destinations to which nothing new goes.',
  },
  { name: 'blackhole6', type: ['ifname', 'ipv6_addr'], flags: ['interval'], about: 'The same, IPv6.' },
  { name: 'masq4', type: ['ipv4_addr'], flags: ['interval'], about: "Pools that leave with the host's address." },
  { name: 'masq6', type: ['ipv6_addr'], flags: ['interval'], about: 'The same, IPv6.' },
  {
    name: 'snat4',
    type: ['ipv4_addr'],
    map: ['ipv4_addr'],
    flags: ['interval'],
    about: 'Pools that leave with an address of their choice.',
  },
  { name: 'snat6', type: ['ipv6_addr'], map: ['ipv6_addr'], flags: ['interval'], about: 'The same, IPv6.' },
  { name: 'pub4', type: port4, map: to4, about: 'Ports published on one address of the host.' },
  { name: 'pub4any', type: portAny, map: to4, about: 'Ports published on all of them.' },
  { name: 'pub6', type: port6, map: to6, about: 'The same as `pub4`, IPv6.' },
  { name: 'pub6any', type: portAny, map: to6, about: 'The same as `pub4any`, IPv6.' },
  { name: 'asked4', type: port4, about: 'Those of `pub4` about which the INPUT rules of the host are asked.' },
  { name: 'asked4any', type: portAny, about: 'Those of `pub4any`.' },
  { name: 'asked6', type: port6, about: 'Those of `pub6`.' },
  { name: 'asked6any', type: portAny, about: 'Those of `pub6any`.' },
  { name: 'relayed4', type: port4, about: 'Ports on one address of the host that the daemon serves itself.' },
  { name: 'relayed4any', type: portAny, about: 'The same on all of them.' },
  { name: 'relayed6', type: port6, about: 'The same as `relayed4`, IPv6.' },
  { name: 'relayed6any', type: portAny, about: 'The same as `relayed4any`, IPv6.' },
  {
    name: 'admitted4',
    type: ['ipv4_addr', 'ipv4_addr', 'inet_proto', 'inet_service'],
    flags: ['dynamic', 'timeout'],
    timeoutSeconds: 60,
    size: 65536,
    about: 'Clients that these rules have let in, for a minute.',
  },
  {
    name: 'admitted6',
    type: ['ipv6_addr', 'ipv6_addr', 'inet_proto', 'inet_service'],
    flags: ['dynamic', 'timeout'],
    timeoutSeconds: 60,
    size: 65536,
    about: 'The same, IPv6.',
  },
]
