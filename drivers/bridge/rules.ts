/**
 * The bridge driver's firewall: one table of static rules. Which bridges, pools and ports exist is only ever told by
 * elements of its sets and maps, so a container costs no rule and a lookup costs the same for one as for ten thousand.
 *
 * Every packet that is forwarded from or to one of weft's bridges is judged here, once, and for good: it is dropped, or
 * it leaves with the `allowed` bit in its mark, which an accept rule in other firewalls looks for (they run later and
 * could still drop it).
 *
 * With br_netfilter loaded, frames switched within a bridge pass the same chains with that bridge as both interfaces.
 */
import type { NftExpression, NftSet, NftStatement, NftTable } from '../../native/kernel/nftables.ts'
import type { Marks } from '../driver.ts'
import { tableName } from '../names.ts'

const sets: readonly NftSet[] = [
  // Every bridge of a network, weft's own and adopted ones.
  { name: 'bridges', type: ['ifname'] },
  // `br . br` for every bridge.
  { name: 'hairpin', type: ['ifname', 'ifname'] },
  // `br . br` for the bridges whose containers may talk to each other.
  { name: 'same', type: ['ifname', 'ifname'] },
  // Bridges of internal networks.
  { name: 'internal', type: ['ifname'] },
  // Bridges that are the host's way out, not networks of another program.
  { name: 'uplinks', type: ['ifname'] },
  // Families whose forwarding weft has switched on: `ipv4`, `ipv6`.
  { name: 'guarded', type: ['nf_proto'] },
  // Pools that leave with the host's address.
  { name: 'masq4', type: ['ipv4_addr'], flags: ['interval'] },
  { name: 'masq6', type: ['ipv6_addr'], flags: ['interval'] },
  // Published ports: bound to one address of the host, and to all of them.
  { name: 'pub4', type: ['ipv4_addr', 'inet_proto', 'inet_service'], map: ['ipv4_addr', 'inet_service'] },
  { name: 'pub4any', type: ['inet_proto', 'inet_service'], map: ['ipv4_addr', 'inet_service'] },
  { name: 'pub6', type: ['ipv6_addr', 'inet_proto', 'inet_service'], map: ['ipv6_addr', 'inet_service'] },
  { name: 'pub6any', type: ['inet_proto', 'inet_service'], map: ['ipv6_addr', 'inet_service'] },
]

const iifname: NftExpression = { meta: { key: 'iifname' } }
const oifname: NftExpression = { meta: { key: 'oifname' } }
const bridgePair: NftExpression = { concat: [iifname, oifname] }
const mark: NftExpression = { meta: { key: 'mark' } }
const loopback4: NftExpression = { prefix: { addr: '127.0.0.0', len: 8 } }
const servicePort: readonly NftExpression[] = [{ meta: { key: 'l4proto' } }, address('th', 'dport')]

const accept: NftStatement = { accept: null }
const drop: NftStatement = { drop: null }
const giveBack: NftStatement = { return: null }
const masquerade: NftStatement = { masquerade: null }
const known = is({ ct: { key: 'state' } }, ['established', 'related'])
/** Only ever a positive match: `ct status != dnat` would compare the whole word. */
const translated = is({ ct: { key: 'status' } }, 'dnat')
const toThisHost = is({ fib: { result: 'type', flags: ['daddr'] } }, 'local')

export function bridgeTable(marks: Marks): NftTable {
  return {
    family: 'inet',
    name: tableName,
    sets,
    chains: [
      {
        name: 'raw',
        hook: { type: 'filter', hook: 'prerouting', prio: -300, policy: 'accept' },
        rules: [
          // Translation precedes the kernel's own check for martians: without this a neighbour that routes 127.0.0.1
          // to us reaches ports published on 127.0.0.1 only.
          [isNot(iifname, 'lo'), is(address('ip', 'daddr'), loopback4), drop],
          // route_localnet lets a bridge accept such sources, which services of the host take for the host itself.
          [isNot(iifname, 'lo'), is(address('ip', 'saddr'), loopback4), drop],
        ],
      },
      {
        name: 'publish',
        rules: [
          [dnat('ip', [address('ip', 'daddr'), ...servicePort], '@pub4')],
          [dnat('ip', servicePort, '@pub4any')],
          [dnat('ip6', [address('ip6', 'daddr'), ...servicePort], '@pub6')],
          [dnat('ip6', servicePort, '@pub6any')],
        ],
      },
      {
        name: 'prerouting',
        hook: { type: 'nat', hook: 'prerouting', prio: -100, policy: 'accept' },
        // What is only passing through is never translated, whatever its port.
        rules: [[toThisHost, goto('publish')]],
      },
      {
        name: 'output',
        hook: { type: 'nat', hook: 'output', prio: -100, policy: 'accept' },
        // The host uses its own published ports, also on 127.0.0.1.
        rules: [[toThisHost, goto('publish')]],
      },
      {
        name: 'postrouting',
        hook: { type: 'nat', hook: 'postrouting', prio: 100, policy: 'accept' },
        rules: [
          [is(oifname, '@bridges'), jump('post_in')],
          // Between weft's bridges a container keeps its address.
          [is(address('ip', 'saddr'), '@masq4'), isNot(oifname, '@bridges'), masquerade],
          [is(address('ip6', 'saddr'), '@masq6'), isNot(oifname, '@bridges'), masquerade],
        ],
      },
      {
        name: 'post_in',
        rules: [
          // A container cannot answer the host's loopback addresses.
          [is(address('ip', 'saddr'), loopback4), masquerade],
          [is(address('ip6', 'saddr'), '::1'), masquerade],
          // Client and server share a link: without this the answer goes straight back and is not recognised. The input
          // interface cannot be asked here, with br_netfilter there is none.
          [isNot({ '&': [mark, marks.hairpin] }, 0), masquerade],
        ],
      },
      {
        name: 'forward',
        hook: { type: 'filter', hook: 'forward', prio: -1, policy: 'accept' },
        rules: [
          [is(iifname, '@bridges'), jump('from_br')],
          [is(oifname, '@bridges'), jump('to_br')],
          [is({ meta: { key: 'nfproto' } }, '@guarded'), jump('strangers')],
        ],
      },
      {
        name: 'from_br',
        rules: [
          // A container reaches a port published by its own network: to be masqueraded on the way back in.
          [is(bridgePair, '@hairpin'), translated, addToMark(marks.hairpin)],
          [known, goto('ok')],
          [is(bridgePair, '@same'), goto('ok')],
          // An internal network reaches nobody, not even what others publish.
          [is(iifname, '@internal'), drop],
          // What other networks publish on the host is public, weft's and everyone's.
          [translated, goto('ok')],
          [is(oifname, '@bridges'), drop],
          // Bridges of other programs are closed without being known by name: the accept rule in their firewall comes
          // before their own isolation.
          [is({ meta: { key: 'oifkind' } }, 'bridge'), isNot(oifname, '@uplinks'), drop],
          // What belongs to no connection cannot be masqueraded, and would show a container's address outside.
          [is({ ct: { key: 'state' } }, 'invalid'), drop],
          [goto('ok')],
        ],
      },
      {
        name: 'to_br',
        // From outside: only answers and published ports.
        rules: [[known, goto('ok')], [translated, goto('ok')], [drop]],
      },
      {
        name: 'ok',
        rules: [[addToMark(marks.allowed), accept]],
      },
      {
        // Neither end is weft's, and the host forwards only because weft switched it on: no new paths between others.
        name: 'strangers',
        rules: [
          [known, giveBack],
          [translated, giveBack],
          // Networks of other programs keep their way out, and their own firewall.
          [is({ meta: { key: 'iifkind' } }, 'bridge'), isNot(iifname, '@uplinks'), giveBack],
          // Seen with br_netfilter: switched within the uplink, not forwarded by the host.
          [is(iifname, '@uplinks'), is(oifname, '@uplinks'), giveBack],
          [drop],
        ],
      },
    ],
  }
}

function address(protocol: 'ip' | 'ip6' | 'th', field: 'saddr' | 'daddr' | 'dport'): NftExpression {
  return { payload: { protocol, field } }
}

/** Flags (connection states) match when one of them is set. */
function is(left: NftExpression, right: NftExpression): NftStatement {
  const flags = typeof left === 'object' && 'ct' in left
  return { match: { op: flags ? 'in' : '==', left, right } }
}

function isNot(left: NftExpression, right: NftExpression): NftStatement {
  return { match: { op: '!=', left, right } }
}

function dnat(family: 'ip' | 'ip6', key: readonly NftExpression[], map: string): NftStatement {
  return { dnat: { family, addr: { map: { key: { concat: key }, data: map } } } }
}

function addToMark(bits: number): NftStatement {
  return { mangle: { key: mark, value: { '|': [mark, bits] } } }
}

function jump(target: string): NftStatement {
  return { jump: { target } }
}

function goto(target: string): NftStatement {
  return { goto: { target } }
}
