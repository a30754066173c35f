/** The bytes are those which iproute2 6.1 sends and kernel 6.18 dumps. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bridgePort } from '../../../native/rtnl/bridge.ts'
import { linkAttributes, linkInfoOf, newLink, type LinkAttributes } from '../../../native/rtnl/link.ts'
import { parse } from '../../../native/netlink/codec.ts'
import type { Mac } from '../../../native/value/mac.ts'

const mac = (last: number): Mac => `02:00:00:00:00:0${last}` as Mac
const cases: { name: string; value: LinkAttributes; hex: string }[] = [
  {
    name: 'a bridge at birth',
    value: {
      address: mac(1),
      mtu: 1400,
      ifname: 'wb1',
      linkinfo: { kind: 'bridge', data: { mcastSnooping: false } },
    },
    hex: `0a000100 02000000 00010000 08000400 78050000 08000300 77623100
      1c001280 0b000100 62726964 67650000 0c000280 05001700 00000000`,
  },
  {
    name: 'a veth pair, its other end being a whole message',
    value: {
      address: mac(2),
      mtu: 1400,
      ifname: 'wv1',
      linkinfo: {
        kind: 'veth',
        data: {
          peer: {
            header: { family: 0, type: 0, index: 0, flags: 0, change: 0 },
            attrs: { address: mac(3), mtu: 1400, ifname: 'wp1' },
          },
        },
      },
    },
    hex: `0a000100 02000000 00020000 08000400 78050000 08000300 77763100
      44001280 09000100 76657468 00000000 34000280 30000100 00000000 00000000 00000000 00000000
      0a000100 02000000 00030000 08000400 78050000 08000300 77703100`,
  },
  {
    name: 'a port of a bridge',
    value: { ifname: 'wv1', linkinfo: { slaveKind: 'bridge', slaveData: { isolated: true, hairpin: false } } },
    hex: `08000300 77763100 24001280 0b000400 62726964 67650000 14000580 05002100 01000000 05000400 00000000`,
  },
  {
    name: 'moved to another namespace',
    value: { ifname: 'wp1', newNetnsId: 0 },
    hex: '08000300 77703100 08002d00 00000000',
  },
  {
    name: 'the other end is elsewhere',
    value: { link: 4, linkNetnsId: 2 },
    hex: '08000500 04000000 08002500 02000000',
  },
  {
    name: 'alias, group, master',
    value: { alias: 'weft', group: 4242, master: 2 },
    hex: '09001400 77656674 00000000 08001b00 92100000 08000a00 02000000',
  },
]
for (const { name, value, hex } of cases) {
  test(`link: ${name}`, () => {
    const bytes = Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')
    assert.is(Buffer.from(linkAttributes.encode(value)).toString('hex'), bytes.toString('hex'), 'encode')
    assert.equal(linkAttributes.decode(bytes), value, 'decode')
  })
}

test('link: iproute2 leaves out the ends of strings and the marks of nesting', () => {
  const hex = `0a000100 02000000 00010000 08000400 78050000 08000300 77623100
    1c001200 0a000100 62726964 67650000 0c000200 05001700 00000000`
  assert.equal(linkAttributes.decode(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')), cases[0]?.value)
})

test('link: the port part of an AF_BRIDGE message', () => {
  const hex = '05000400 01000000 05002100 01000000 05002000 00000000'
  const port = bridgePort.decode(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
  assert.equal(port, { hairpin: true, isolated: true, neighSuppress: false })
})

const header = { family: 0, type: 1, index: 7, flags: 0x1043, change: 0 }
test('link: what is read of a veth in a bridge, its other end elsewhere', () => {
  const bytes = Buffer.concat([
    newLink.header.encode(header),
    newLink.attrs.encode({
      ifname: 'wv1',
      address: mac(2),
      mtu: 1400,
      master: 3,
      alias: 'weft e',
      group: 5,
      link: 2,
      linkNetnsId: 0,
      linkinfo: { kind: 'veth', slaveKind: 'bridge', slaveData: { hairpin: true, groupForwardMask: 0xfffd } },
    }),
  ])
  const { header: read, attrs } = parse(newLink, bytes)
  assert.equal(linkInfoOf(read, attrs), {
    index: 7,
    name: 'wv1',
    kind: 'veth',
    mac: mac(2),
    mtu: 1400,
    up: true,
    master: 3,
    alias: 'weft e',
    group: 5,
    peerIndex: 2,
    peerNetnsId: 0,
    slave: { isolated: false, hairpin: true, groupForwardMask: 0xfffd },
  })
})

test('link: what is read of one without address, kind and master', () => {
  const info = linkInfoOf({ ...header, flags: 0 }, { ifname: 'tun0', mtu: 1500 })
  assert.is(info.mac, '')
  assert.is(info.up, false)
  assert.equal(
    [info.kind, info.master, info.alias, info.peerIndex, info.peerNetnsId, info.slave],
    Array(6).fill(undefined),
  )
})

test.run()
