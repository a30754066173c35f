/** Links on top of others: the bytes are those of iproute2 6.1 but for the order of attributes; sequence numbers are 0. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { kernelError } from '../../../native/netlink/errors.ts'
import { createChild, inWords, refusalOf, type ChildSpec } from '../../../native/rtnl/child.ts'
import { linkInfoOf, type LinkAttributes, type LinkInfo } from '../../../native/rtnl/link.ts'
import type { Mac } from '../../../native/value/mac.ts'

const mac = '02:00:00:00:00:0a' as Mac
const on = { parent: 'eth0', alias: 'weft', up: false }
const macvlan: ChildSpec = { ...on, name: 'wm1', kind: 'macvlan', mode: 'bridge' }
const ipvlan: ChildSpec = { ...on, name: 'wi1', kind: 'ipvlan', mode: 'l3s' }

const cases: { name: string; spec: ChildSpec; hex: string }[] = [
  {
    name: 'a macvlan with its queue',
    spec: { ...on, name: 'wm1', mac, mtu: 1400, kind: 'macvlan', mode: 'bridge', bcqueuelen: 77 },
    hex: `68000000 10000106 00000000 00000000 00000000 00000000 00000000 00000000
      08000300 776d3100 0a000100 02000000 000a0000 08000400 78050000 08000500 03000000
      24001280 0c000100 6d616376 6c616e00 14000280 08000100 04000000 08000700 4d000000`,
  },
  {
    name: 'a macvlan up, promiscuous and for all multicast, with a short queue and a limit of its own',
    spec: {
      ...{ ...on, up: true, promisc: true, allMulticast: true, txQueueLength: 9 },
      ...{ name: 'wm4', kind: 'macvlan', mode: 'vepa', bclim: -1 },
    },
    hex: `5c000000 10000106 00000000 00000000 00000000 00000000 01030000 01030000
      08000300 776d3400 08000500 03000000 08000d00 09000000
      24001280 0c000100 6d616376 6c616e00 14000280 08000100 02000000 08000900 ffffffff`,
  },
  {
    name: 'an ipvlan',
    spec: { ...on, name: 'wi1', kind: 'ipvlan', mode: 'l3s', flag: 'vepa' },
    hex: `54000000 10000106 00000000 00000000 00000000 00000000 00000000 00000000
      08000300 77693100 08000500 03000000
      24001280 0b000100 6970766c 616e0000 14000280 06000100 02000000 06000200 02000000`,
  },
  {
    name: 'a VLAN that does not mind whether its parent is up',
    spec: { ...on, name: 'v5', kind: 'vlan', id: 5 },
    hex: `60000000 10000106 00000000 00000000 00000000 00000000 00000000 00000000
      07000300 76350000 08000500 03000000
      30001280 09000100 766c616e 00000000 20000280 06000100 05000000 06000500 81000000
      0c000200 04000000 04000000`,
  },
]
for (const { name, spec, hex } of cases) {
  test(`child: ${name}`, () => {
    const [birth] = createChild(spec, 3)
    assert.is(Buffer.from(birth.bytes).toString('hex'), hex.replaceAll(/\s/g, ''))
  })
}

test('child: the mark comes with the same send, and errors name the parent', () => {
  const [birth, rest] = createChild(ipvlan, 3)
  assert.is(`${birth.op} ${birth.object}`, 'create ipvlan wi1 on eth0')
  const hex =
    '29000000 13000100 00000000 00000000 00000000 00000000 00000000 00000000 08000300 77693100 09001400 77656674'
  assert.match(Buffer.from(rest.bytes).toString('hex'), hex.replaceAll(' ', '').slice(8))
})

test('child: a flag that nobody named is sent: another one would stay', () => {
  const [birth] = createChild(ipvlan, 3)
  assert.match(Buffer.from(birth.bytes).toString('hex'), '0600020000000000')
})

const header = { family: 0, type: 1, index: 7, flags: 0x1043, change: 0 }
const read: { name: string; linkinfo: LinkAttributes['linkinfo']; stacked: LinkInfo['stacked'] }[] = [
  {
    name: 'macvlan',
    linkinfo: { kind: 'macvlan', data: { mode: 'passthru' } },
    stacked: { kind: 'macvlan', mode: 'passthru' },
  },
  { name: 'macvlan in a mode that weft has no name for', linkinfo: { kind: 'macvlan', data: {} }, stacked: undefined },
  {
    name: 'ipvlan',
    linkinfo: { kind: 'ipvlan', data: { mode: 'l3', flag: 'private' } },
    stacked: { kind: 'ipvlan', mode: 'l3', flag: 'private' },
  },
  {
    name: 'vlan',
    linkinfo: { kind: 'vlan', data: { id: 5, protocol: '802.1ad' } },
    stacked: { kind: 'vlan', id: 5, protocol: '802.1ad' },
  },
  { name: 'without data', linkinfo: { kind: 'vlan' }, stacked: undefined },
]
for (const { name, linkinfo, stacked } of read) {
  test(`child: what is read of ${name}`, () => {
    assert.equal(linkInfoOf(header, { linkinfo }).stacked, stacked)
  })
}

const eth0: LinkInfo = linkInfoOf(header, { ifname: 'eth0', address: mac, mtu: 1500 })
const reasons: { name: string; errno: string; spec?: ChildSpec; parent?: LinkInfo; words: RegExp }[] = [
  {
    name: 'a port of a bridge',
    errno: 'EBUSY',
    parent: { ...eth0, master: 3 },
    words: /on eth0: eth0 is a port of ano/,
  },
  { name: 'the other kind', errno: 'EBUSY', words: /macvlan and ipvlan cannot share a parent \(EBUSY\)$/ },
  { name: 'a MAC twice', errno: 'EADDRINUSE', words: /eth0, or another link on it, has this MAC address/ },
  { name: 'beside passthru', errno: 'EINVAL', words: /a macvlan link in mode passthru has eth0 alone/ },
  {
    name: 'passthru beside others',
    ...{ errno: 'EINVAL', spec: { ...macvlan, mode: 'passthru' }, words: /passthru needs it alone/ },
  },
  { name: 'the loopback', errno: 'EINVAL', parent: { ...eth0, mac: '00:00:00:00:00:00' as Mac }, words: /no Ethernet/ },
  { name: 'a tunnel', errno: 'EINVAL', parent: { ...eth0, mac: '' as Mac }, words: /eth0 is no Ethernet link/ },
  { name: 'an ipvlan that is invalid for some reason', errno: 'EINVAL', spec: ipvlan, words: /: Invalid argument \(/ },
  { name: 'anything else', errno: 'ENOMEM', words: /: Cannot allocate memory \(ENOMEM\)$/ },
]
for (const { name, errno, spec = macvlan, parent = eth0, words } of reasons) {
  test(`child: a refusal in words: ${name}`, () => {
    const error = kernelError(errno, { op: 'create', object: `${spec.kind} ${spec.name} on eth0` })
    const told = inWords(error, spec, parent)
    assert.match(told.message, words)
    assert.is(told.errno, errno)
  })
}

test("child: the kernel's own words are kept", () => {
  const error = kernelError('EBUSY', { op: 'create', object: 'x', kernelText: 'its words' })
  assert.is(inWords(error, macvlan, eth0), error)
})

test("child: an MTU above the parent's is refused before the kernel does it without a word", () => {
  assert.is(refusalOf({ ...macvlan, mtu: 1500 }, eth0), undefined)
  assert.is(refusalOf(macvlan, eth0), undefined)
  assert.match(
    refusalOf({ ...macvlan, mtu: 1501 }, eth0)?.message ?? '',
    'MTU 1501 is more than the 1500 of eth0 (EINVAL)',
  )
})

test.run()
