/** Whole messages. Those of links and neighbours are compared with what iproute2 6.1 sends; sequence numbers are 0. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Request } from '../../../native/netlink/socket.ts'
import { neighbourRequest, type NeighbourOp } from '../../../native/rtnl/neigh.ts'
import * as requests from '../../../native/rtnl/requests.ts'
import type { Cidr, Ip } from '../../../native/value/ip.ts'
import type { Mac } from '../../../native/value/mac.ts'

const mac = '02:00:00:00:00:0a' as Mac
const bridge = requests.createBridge({ name: 'wb1', mac, mtu: 1400, alias: 'weft' })
const veth = requests.createVeth(
  {
    name: 'wv1',
    mac,
    mtu: 1400,
    master: 'wb1',
    isolated: true,
    hairpin: true,
    alias: 'weft',
    peer: { name: 'wp1', mac, mtu: 1400 },
  },
  2,
)
const change = requests.changeLink('wv1', { up: false, isolated: false }, undefined)
const neighbour = (op: NeighbourOp): Request => neighbourRequest(op)

const cases: { name: string; request: Request | undefined; hex: string }[] = [
  {
    name: 'a bridge is born up, without multicast snooping',
    request: bridge[0],
    hex: `50000000 10000106 00000000 00000000 00000000 00000000 01000000 01000000
      08000300 77623100 0a000100 02000000 000a0000 1c001280 0b000100 62726964 67650000
      0c000280 05001700 00000000`,
  },
  {
    name: 'its MTU is a change, which stays',
    request: bridge[1],
    hex: `3c000000 13000100 00000000 00000000 00000000 00000000 00000000 00000000
      08000300 77623100 08000400 78050000 09001400 77656674 00000000`,
  },
  {
    name: 'a veth is born up, on its bridge, with its other end',
    request: veth[0],
    hex: `88000000 10000106 00000000 00000000 00000000 00000000 01000000 01000000
      08000300 77763100 0a000100 02000000 000a0000 08000400 78050000 08000a00 02000000
      44001280 09000100 76657468 00000000 34000280 30000100 00000000 00000000 00000000 00000000
      08000300 77703100 0a000100 02000000 000a0000 08000400 78050000`,
  },
  {
    name: 'then its name tag and its manners as a port',
    request: veth[1],
    hex: `60000000 10000100 00000000 00000000 00000000 00000000 00000000 00000000
      08000300 77763100 09001400 77656674 00000000
      2c001280 0b000400 62726964 67650000 1c000580 05000400 01000000 06001f00 fdff0000 05002100 01000000`,
  },
  {
    name: 'a change to down',
    request: change[0],
    hex: '28000000 13000100 00000000 00000000 00000000 00000000 00000000 01000000 08000300 77763100',
  },
  {
    name: 'a change of a port leaves the rest alone',
    request: change[1],
    hex: `44000000 10000100 00000000 00000000 00000000 00000000 00000000 00000000
      08000300 77763100 1c001280 0b000400 62726964 67650000 0c000580 05002100 00000000`,
  },
  {
    name: 'a link joins a group, by name',
    request: requests.removal.setGroup('wv1', 4242),
    hex: '30000000 13000100 00000000 00000000 00000000 00000000 00000000 00000000 08000300 77763100 08001b00 92100000',
  },
  {
    name: 'a group is removed, as `ip link del group` does',
    request: requests.removal.removeGroup(4242),
    hex: '28000000 11000100 00000000 00000000 00000000 00000000 00000000 00000000 08001b00 92100000',
  },
  {
    name: 'an address of IPv4, marked as ours',
    request: requests.addAddress('wb1', 2, '10.9.0.1/24' as Cidr),
    hex: `30000000 14000106 00000000 00000000 02180000 02000000
      08000200 0a090001 08000100 0a090001 05000b00 57000000`,
  },
  {
    name: 'an address of IPv6, usable at once',
    request: requests.addAddress('wb1', 2, 'fd00:9::1/64' as Cidr),
    hex: `50000000 14000106 00000000 00000000 0a400000 02000000
      14000200 fd000009 00000000 00000000 00000001 14000100 fd000009 00000000 00000000 00000001
      08000800 02000000 05000b00 57000000`,
  },
  {
    name: 'an address is removed as `ip addr del` does',
    request: requests.removeAddress('wb1', 2, '10.9.0.1/24' as Cidr),
    hex: '28000000 15000100 00000000 00000000 02180000 02000000 08000200 0a090001 08000100 0a090001',
  },
  {
    name: 'a neighbour as `ip neigh replace` sets it',
    request: neighbour({ op: 'set', type: 'neighbour', linkIndex: 2, address: '10.9.0.9' as Ip, mac }),
    hex: '30000000 1c000105 00000000 00000000 02000000 02000000 80000000 08000100 0a090009 0a000200 02000000 000a0000',
  },
  {
    name: 'an address that the host answers for, as `ip neigh add proxy` sets it',
    request: neighbour({ op: 'set', type: 'proxy', linkIndex: 3, address: '10.0.0.2' as Ip }),
    hex: '2c000000 1c000105 00000000 00000000 02000000 03000000 80000800 05000c00 57000000 08000100 0a000002',
  },
  {
    name: 'a link that leads nowhere, of the kind that there is',
    request: requests.createDummy({ name: 'wd1', alias: 'weft' }, 'ifb')[0],
    hex: `34000000 10000106 00000000 00000000 00000000 00000000 01000000 01000000
      08000300 77643100 0c001280 08000100 69666200`,
  },
  {
    name: 'a forwarding entry of a vxlan',
    request: neighbour({ op: 'set', type: 'fdb', linkIndex: 5, mac, table: 'self', destination: '192.0.2.9' as Ip }),
    hex: '30000000 1c000105 00000000 00000000 07000000 05000000 c0000200 0a000200 02000000 000a0000 08000100 c0000209',
  },
  {
    name: 'a forwarding entry of a bridge goes',
    request: neighbour({ op: 'remove', type: 'fdb', linkIndex: 4, mac, table: 'master' }),
    hex: '28000000 1d000100 00000000 00000000 07000000 04000000 40000400 0a000200 02000000 000a0000',
  },
]
for (const { name, request, hex } of cases) {
  test(`request: ${name}`, () => {
    assert.is(Buffer.from(request?.bytes ?? []).toString('hex'), hex.replaceAll(/\s/g, ''))
  })
}

test('request: errors can name what was asked', () => {
  assert.is(`${veth[0].op} ${veth[0].object}`, 'create veth wv1')
  assert.is(veth[0].attributeAt(32), 'ifname')
  assert.is(requests.addAddress('wb1', 2, '10.9.0.1/24' as Cidr).object, 'address 10.9.0.1/24 on wb1')
})

test('request: the default MTU of a bridge is a change, too', () => {
  const [birth, rest] = requests.createBridge({ name: 'wb1', mtu: 1500, alias: 'weft' })
  assert.match(Buffer.from(birth.bytes).toString('hex'), '08000400dd050000')
  assert.match(Buffer.from(rest.bytes).toString('hex'), '08000400dc050000')
})

test('request: a change without port manners is one message', () => {
  assert.is(requests.changeLink('wv1', { mtu: 1400 }, undefined).length, 1)
})

test('request: the snooping of a bridge goes by its kind', () => {
  const [, change] = requests.changeLink('wb1', { mcastSnooping: false }, undefined)
  const hex = '1c001280 0b000100 62726964 67650000 0c000280 05001700 00000000'
  assert.match(Buffer.from(change?.bytes ?? []).toString('hex'), hex.replaceAll(' ', ''))
})

test.run()
