/** Links, addresses and neighbours in the kernel itself; what iproute2 shows is the judge. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KernelError } from '../../native/netlink/errors.ts'
import { flags } from '../../native/netlink/message.ts'
import { NetlinkSocket, protocols, request } from '../../native/netlink/socket.ts'
import { getLink, newLink } from '../../native/rtnl/link.ts'
import type { Cidr, Ip } from '../../native/value/ip.ts'
import { enterOwnNetns, linkOf, macOf, place, vethSpec } from '../support/netlink.ts'

enterOwnNetns(import.meta.filename)

async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    if (error instanceof KernelError) return error.message
    throw error
  }
  throw new Error('it did not fail')
}

interface ShownLink {
  readonly ifname: string
  readonly mtu: number
  readonly address: string
  readonly flags: readonly string[]
  readonly master?: string
  readonly ifalias?: string
  readonly linkinfo?: {
    readonly info_kind: string
    readonly info_slave_data?: { readonly hairpin: boolean; readonly isolated: boolean }
  }
}
const shown = (json: string): ShownLink => (JSON.parse(json) as [ShownLink])[0]

test('bridge: born with everything, and its MTU stays when a port joins', async () => {
  await using net = place()
  await net.rtnl.createBridge({ name: 'wb0', mac: macOf(1), mtu: 1400, alias: 'weft test' })
  await net.rtnl.createBridge({ name: 'wb1', mtu: 1500, alias: 'weft test' })
  await net.rtnl.createBridge({ name: 'wb2', alias: 'weft test' })
  for (const bridge of ['wb0', 'wb1', 'wb2']) net.run(`ip link add master ${bridge} mtu 1300 type veth`)

  const link = shown(net.run('ip -d -j link show wb0'))
  assert.equal([link.mtu, link.address, link.ifalias], [1400, macOf(1), 'weft test'])
  assert.equal(link.linkinfo?.info_kind, 'bridge')
  assert.ok(link.flags.includes('UP'))
  assert.equal([(await linkOf(net, 'wb1'))?.mtu, (await linkOf(net, 'wb2'))?.mtu], [1500, 1300])
})

test('veth: born on its bridge, with its other end and its manners as a port', async () => {
  await using net = place()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  await net.rtnl.createVeth(vethSpec(1, { mtu: 1400, isolated: true, peer: { name: 'wp1', mac: macOf(9), mtu: 1400 } }))

  const link = shown(net.run('ip -d -j link show wv1'))
  assert.equal([link.mtu, link.address, link.ifalias, link.master], [1400, macOf(1), 'weft test 1', 'wb0'])
  assert.equal([link.linkinfo?.info_slave_data?.hairpin, link.linkinfo?.info_slave_data?.isolated], [true, true])
  const peer = shown(net.run('ip -d -j link show wp1'))
  assert.equal([peer.mtu, peer.address, peer.ifalias], [1400, macOf(9), undefined])

  const [own, other] = [await linkOf(net, 'wv1'), await linkOf(net, 'wp1')]
  assert.equal([net.rtnl.indexOf('wv1'), net.rtnl.indexOf('wp1')], [own?.index, other?.index])
  assert.equal([net.rtnl.indexOf('wv2'), net.rtnl.indexOf('sixteen-letters!')], [undefined, undefined])
  assert.equal(
    own,
    (await net.rtnl.links()).find(({ name }) => name === 'wv1'),
  )
  assert.is(own?.peerIndex, other?.index)
  assert.equal(own?.slave, { isolated: true, hairpin: true, groupForwardMask: 0xfffd })
})

test('veth: an end that was handed away is known by its namespace', async () => {
  await using net = place()
  await using container = place()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  await net.rtnl.createVeth(vethSpec(1))
  assert.is((await linkOf(net, 'wv1'))?.peerNetnsId, undefined)
  net.run(`ip link set wp1 netns ${container.path}`)
  assert.is((await linkOf(net, 'wv1'))?.peerNetnsId, 0)
  assert.is((await linkOf(container, 'wp1'))?.mac, macOf(0x10001))
  await net.rtnl.remove('wv1')
  assert.is(container.rtnl.indexOf('wp1'), undefined)
})

test('create: a name that is taken is refused, and whoever has it is left alone', async () => {
  await using net = place()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  net.run('ip link add wv1 type bridge')
  net.run('ip link add wp2 type bridge')
  const before = net.run('ip -d link show wv1')
  assert.is(await refusal(net.rtnl.createVeth(vethSpec(1))), 'create veth wv1: File exists (EEXIST)')
  assert.is(await refusal(net.rtnl.createVeth(vethSpec(2))), 'create veth wv2 with peer wp2: File exists (EEXIST)')
  assert.is(
    await refusal(net.rtnl.createBridge({ name: 'wv1', alias: 'weft test' })),
    'create bridge wv1: File exists (EEXIST)',
  )
  assert.is(net.run('ip -d link show wv1'), before)
})

test('create: a failure of the second half takes the first half away', async () => {
  await using net = place()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  const tooLong = 'x'.repeat(300)
  assert.match(await refusal(net.rtnl.createVeth(vethSpec(1, { alias: tooLong }))), /at alias \(ERANGE\)$/)
  assert.match(await refusal(net.rtnl.createBridge({ name: 'wb1', alias: tooLong })), /at alias \(ERANGE\)$/)
  assert.equal(
    (await net.rtnl.links()).map(({ name }) => name),
    ['lo', 'wb0'],
  )
})

test("errors: the kernel's own words where it has some", async () => {
  await using net = place()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  await net.rtnl.createVeth(vethSpec(1))
  const { rtnl } = net
  const cases: [() => Promise<unknown>, string][] = [
    [() => rtnl.createVeth(vethSpec(2, { master: 'none' })), 'create veth wv2 on none: No such device (ENODEV)'],
    [() => rtnl.change('wv1', { mtu: 100_000 }), 'change link wv1: mtu greater than device maximum (EINVAL)'],
    [() => rtnl.change('wv1', { mtu: 10 }), 'change link wv1: mtu less than device minimum (EINVAL)'],
    [() => rtnl.change('none', { up: true }), 'change link none: No such device (ENODEV)'],
    [() => rtnl.change('wv1', { master: 'none' }), 'change link wv1 to be on none: No such device (ENODEV)'],
    [
      () => rtnl.addAddress('wb0', '10.9.0.1/33' as Cidr),
      'add address 10.9.0.1/33 on wb0: ipv4: Invalid prefix length (EINVAL)',
    ],
    [() => rtnl.addAddress('none', '10.9.0.1/24' as Cidr), 'add address 10.9.0.1/24 on none: No such device (ENODEV)'],
  ]
  for (const [attempt, message] of cases) assert.is(await refusal(attempt()), message)

  await using socket = net.in(() => new NetlinkSocket(protocols.route))
  const about = { op: 'create', object: 'link x', flags: flags.create }
  const unknownKind = socket.request(newLink, {}, { ifname: 'x', linkinfo: { kind: 'nonsense' } }, about)
  assert.match(await refusal(unknownKind), /^create link x: Unknown device type.* \(EOPNOTSUPP\)$/)
  const badName = socket.request(newLink, {}, { linkinfo: { kind: 'bridge' }, ifname: 'x'.repeat(20) }, about)
  assert.match(await refusal(badName), /^create link x: Attribute failed policy validation at ifname \(E[A-Z]+\)$/)
})

test('change: only what is named', async () => {
  await using net = place()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  await net.rtnl.createBridge({ name: 'wb1', alias: 'weft test' })
  await net.rtnl.createVeth(vethSpec(1))
  const before = await linkOf(net, 'wv1')
  assert.ok(before)
  await net.rtnl.change('wv1', { isolated: true })
  assert.equal(await linkOf(net, 'wv1'), {
    ...before,
    slave: { isolated: true, hairpin: true, groupForwardMask: 0xfffd },
  })
  const port = { master: 'wb1', hairpin: true, groupForwardMask: 0xfff8 }
  await net.rtnl.change('wv1', { ...port, mac: macOf(7), mtu: 1300, up: false, alias: 'weft b' })
  const after = await linkOf(net, 'wv1')
  assert.equal(after, {
    ...before,
    master: net.rtnl.indexOf('wb1'),
    mac: macOf(7),
    mtu: 1300,
    up: false,
    alias: 'weft b',
    slave: { isolated: false, hairpin: true, groupForwardMask: 0xfff8 },
  })
})

test('address: both families, twice is once, usable at once, marked', async () => {
  await using net = place()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  net.run('ip addr add 10.8.0.1/24 dev wb0')
  for (const cidr of ['10.9.0.1/24', '10.9.0.1/24', 'fd00:9::1/64', 'fd00:9::1/64'] as Cidr[]) {
    await net.rtnl.addAddress('wb0', cidr)
  }
  const linkIndex = net.rtnl.indexOf('wb0')
  const found = (await net.rtnl.addresses()).filter(({ cidr }) => !cidr.startsWith('fe80'))
  assert.equal(found, [
    { linkIndex, cidr: '10.8.0.1/24', protocol: 0 },
    { linkIndex, cidr: '10.9.0.1/24', protocol: 0x57 },
    { linkIndex, cidr: 'fd00:9::1/64', protocol: 0x57 },
  ])
  assert.not.match(net.run('ip addr show wb0'), /fd00:9::1.*tentative/)

  for (const link of ['wb0', 'none']) {
    for (const cidr of ['10.9.0.1/24', '10.9.0.1/24', 'fd00:9::1/64', 'fd00:9::1/64'] as Cidr[]) {
      await net.rtnl.removeAddress(link, cidr)
    }
  }
  assert.equal(
    (await net.rtnl.addresses()).map(({ cidr }) => cidr).filter(cidr => !cidr.startsWith('fe80')),
    ['10.8.0.1/24'],
  )
})

test('route: unicast routes of all tables, with every way out', async () => {
  await using net = place()
  net.run('ip link add d1 up type bridge')
  net.run('ip link add d2 up type bridge')
  net.run('ip addr add 10.1.0.1/24 dev d1')
  net.run('ip addr add 10.2.0.1/24 dev d2')
  net.run('ip route add default nexthop via 10.1.0.2 nexthop via 10.2.0.2')
  net.run('ip route add 10.7.0.0/16 via 10.1.0.2 table 5000')
  net.run('ip route add unreachable 10.6.0.0/16')
  net.run('ip -6 route add default dev d1')
  const [d1, d2] = [net.rtnl.indexOf('d1'), net.rtnl.indexOf('d2')]
  const routes = (await net.rtnl.routes()).filter(({ destination }) => !destination.startsWith('f'))
  assert.equal(
    routes.map(({ destination, table, outInterfaces }) => [destination, table, outInterfaces]),
    [
      ['10.7.0.0/16', 5000, [d1]],
      ['0.0.0.0/0', 254, [d1, d2]],
      ['10.1.0.0/24', 254, [d1]],
      ['10.2.0.0/24', 254, [d2]],
      ['::/0', 254, [d1]],
    ],
  )
})

test('neighbours: a thousand in one call, and what fails is known', async () => {
  await using net = place()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  const linkIndex = net.rtnl.indexOf('wb0') ?? 0
  const entries = Array.from({ length: 1000 }, (_, i) => ({
    op: 'set' as const,
    type: 'neighbour' as const,
    linkIndex: i === 500 ? 9999 : linkIndex,
    address: `10.9.${i >> 8}.${i & 255}` as Ip,
    mac: macOf(i),
  }))
  const errors = await net.rtnl.neighbours(entries)
  assert.equal(
    errors.flatMap((error, i) => (error ? [`${i} ${error.errno}`] : [])),
    ['500 ENODEV'],
  )
  assert.is(net.run('ip neigh show nud permanent dev wb0').trim().split('\n').length, 999)
  const remove = { op: 'remove', type: 'neighbour', linkIndex, address: '10.9.0.1' as Ip, mac: macOf(1) } as const
  assert.equal(await net.rtnl.neighbours([remove, remove]), [undefined, undefined])
})

test('neighbours: forwarding entries of a bridge', async () => {
  await using net = place()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  await net.rtnl.createVeth(vethSpec(1))
  const linkIndex = net.rtnl.indexOf('wv1') ?? 0
  const entry = { type: 'fdb', linkIndex, mac: macOf(77), table: 'master' } as const
  assert.equal(await net.rtnl.neighbours([{ op: 'set', ...entry }]), [undefined])
  assert.match(net.run('bridge fdb show dev wv1'), new RegExp(`^${macOf(77)} master wb0 `, 'm'))
  const twice = { op: 'remove', ...entry } as const
  assert.equal(await net.rtnl.neighbours([twice, twice]), [undefined, undefined])
  assert.not.match(net.run('bridge fdb show dev wv1'), macOf(77))
})

test('batch: one that fails does not stop the others', async () => {
  await using net = place()
  await using socket = net.in(() => new NetlinkSocket(protocols.route))
  const create = (ifname: string) =>
    request(
      newLink,
      {},
      { ifname, linkinfo: { kind: 'bridge' } },
      {
        op: 'create',
        object: ifname,
        flags: flags.create | flags.excl,
      },
    )
  const errors = await socket.batch([create('b1'), create('b1'), create('b2')])
  assert.equal(
    errors.map(error => error?.errno),
    [undefined, 'EEXIST', undefined],
  )
  assert.ok(net.rtnl.indexOf('b1') && net.rtnl.indexOf('b2'))
})

test('socket: an unsupported filter, whose errno comes at the end, is an error', async () => {
  await using net = place()
  await using socket = net.in(() => new NetlinkSocket(protocols.route))
  const about = { op: 'list', object: 'links' }
  const list = socket.dump(getLink, { index: 1 }, {}, about)
  assert.match(await refusal(list), /^list links: .*\(EINVAL\)$/)
})

test('socket: a look at one link while others are listed and made', async () => {
  await using net = place()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  const making = Array.from({ length: 40 }, (_, i) => net.rtnl.createVeth(vethSpec(i)))
  await using socket = net.in(() => new NetlinkSocket(protocols.route))
  const about = { op: 'read', object: 'links', absent: ['ENODEV'] }
  const look = (ifname: string): string | undefined => socket.requestSync(getLink, {}, { ifname }, about)?.attrs.ifname
  const lists: Promise<unknown>[] = []
  for (let round = 0; round < 40; round += 1) {
    lists.push(socket.dump(getLink, {}, {}, about), net.rtnl.links())
    assert.equal([look('wb0'), look('none')], ['wb0', undefined])
    await new Promise(setImmediate)
  }
  await Promise.all([...making, ...lists])
  assert.is((await net.rtnl.links()).length, 2 + 80)
})

test('socket: closed after what is under way, and then for good', async () => {
  await using net = place()
  const socket = net.in(() => new NetlinkSocket(protocols.route))
  const about = { op: 'list', object: 'links' }
  const list = socket.dump(getLink, {}, {}, about)
  await socket[Symbol.asyncDispose]()
  assert.is((await list).length, 1)
  for (const late of [socket.dump(getLink, {}, {}, about), socket.request(getLink, {}, {}, about)]) {
    await late.then(
      () => {
        assert.unreachable()
      },
      (error: unknown) => {
        assert.match(String(error), /closed/)
      },
    )
  }
})

test.run()
