/** Links on top of others, and what the host needs to reach them: made, healed, handed, removed. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { watchKernel, type KernelEvent } from '../../native/diag/events.ts'
import { LinkKinds, linkKinds } from '../../native/kernel/features.ts'
import type { Child, Dummy, IfName, Resource } from '../../native/kernel/resource.ts'
import { Monitor } from '../../native/netlink/monitor.ts'
import type { Cidr, Ip } from '../../native/value/ip.ts'
import { allReach, contain, ground, linksOf, macvlanOn, reaches, refusal, shown } from '../support/child-links.ts'
import { eventually } from '../support/lab.ts'
import { enterOwnNetns, macOf, place } from '../support/netlink.ts'

enterOwnNetns(import.meta.filename)

/** The host's way to a container on `eth0`: a link beside it, with an address, and a route to each. */
function access(...containers: readonly string[]): readonly Resource[] {
  const shim = macvlanOn('eth0', 99)
  const cidrs = ['192.0.2.99/32', 'fd00:2::99/128'] as Cidr[]
  return [
    shim,
    ...cidrs.map((cidr): Resource => ({ type: 'address', link: shim.name, cidr })),
    ...containers.map((destination): Resource => {
      const source = (destination.includes(':') ? 'fd00:2::99' : '192.0.2.99') as Ip
      return { type: 'route', destination: destination as Cidr, link: shim.name, source }
    }),
  ]
}

test('macvlan: what is wished is what `ip` shows', async () => {
  await using at = ground()
  const { net } = at
  const modes = ['private', 'vepa', 'bridge'] as const
  for (const [number, mode] of modes.entries())
    await net.rtnl.createChild({ ...macvlanOn('eth0', number, { mode }), up: true })
  const kind = (name: string): unknown => shown(net, name).linkinfo.info_data?.['mode']
  assert.equal(
    modes.map((_, number) => kind(`wm${number}`)),
    modes,
  )

  const more = { bcqueuelen: 77, bclim: 5, mtu: 1400, txQueueLength: 88, promisc: true, allMulticast: true, up: false }
  await net.rtnl.createChild({ ...macvlanOn('eth0', 7, more), up: false })
  const { link, flags, mtu, txqlen, address, ifalias, linkinfo } = shown(net, 'wm7')
  assert.equal(
    { link, mtu, txqlen, address, ifalias },
    {
      ...{ link: 'eth0', mtu: 1400, txqlen: 88, address: macOf(7), ifalias: 'weft test 7' },
    },
  )
  assert.equal([...flags].sort(), ['ALLMULTI', 'BROADCAST', 'MULTICAST', 'PROMISC'])
  assert.is(linkinfo.info_data?.['bcqueuelen'], 77)
  for (const name of ['wm0', 'wm1', 'wm2', 'wm7']) void net.rtnl.remove(name)
  await net.rtnl.idle()

  await net.rtnl.createChild({ ...macvlanOn('eth0', 8, { mode: 'passthru' }), mac: undefined, up: true })
  assert.is(shown(net, 'wm8').address, shown(net, 'eth0').address)
})

test('macvlan: a refusal says what stands in the way, and nothing is left', async () => {
  await using at = ground()
  const { net } = at
  net.run('ip link add br0 type bridge')
  net.run('ip link add port0 master br0 type veth peer name far0')
  const make = (parent: string, number: number, more: Partial<Child> = {}): Promise<string> =>
    refusal(net.rtnl.createChild({ ...macvlanOn(parent, number, more as never), up: true }))
  assert.is(await make('eth7', 1), 'create macvlan wm1 on eth7: No such device (ENODEV)')
  assert.is(
    await make('port0', 1),
    'create macvlan wm1 on port0: port0 is a port of another link, a bridge or a bond (EBUSY)',
  )
  assert.is(await make('lo', 1), 'create macvlan wm1 on lo: lo is no Ethernet link (EINVAL)')
  assert.is(
    await make('eth0', 1, { mtu: 9000 }),
    'create macvlan wm1 on eth0: MTU 9000 is more than the 1500 of eth0 (EINVAL)',
  )
  await net.rtnl.createChild({ ...macvlanOn('eth0', 1), up: true })
  assert.match(await make('eth0', 1), /File exists \(EEXIST\)$/)
  const same = { name: 'wm2' as IfName, mac: macOf(1) }
  assert.match(await make('eth0', 2, same), 'eth0, or another link on it, has this MAC address (EADDRINUSE)')
  const passthru = { mode: 'passthru' } as Partial<Child>
  assert.match(await make('eth0', 3, passthru), 'eth0 has other macvlan links: passthru needs it alone (EINVAL)')
  await net.rtnl.remove('wm1')
  await net.rtnl.createChild({ ...macvlanOn('eth0', 4, { mode: 'passthru' }), mac: undefined, up: true })
  assert.match(await make('eth0', 5), 'a macvlan link in mode passthru has eth0 alone (EINVAL)')
  await net.rtnl.remove('wm4')
  assert.equal(await linksOf(net), ['br0', 'eth0', 'far0', 'port0'])
})

test('macvlan: passthru has the parent as soon as the one before is on its way out', async () => {
  await using at = ground()
  const { net } = at
  const passthru = { mode: 'passthru' as const, mac: undefined as never }
  for (let number = 1; number <= 5; number += 1) {
    await net.rtnl.createChild({ ...macvlanOn('eth0', number, passthru), up: true })
    void net.rtnl.remove(`wm${number}`)
  }
  await net.rtnl.idle()
  assert.equal(await linksOf(net), ['eth0'])
})

test('removal: a link of the same name that others made by now is theirs', async () => {
  await using at = ground()
  const { net, reconciler } = at
  const bridge: Resource = { type: 'bridge', name: 'lan0' as IfName, adopted: false, alias: 'weft network 1' }
  reconciler.wish('network', [bridge])
  net.run('ip link add lan0 type bridge')
  net.run('ip address add 10.9.0.1/24 dev lan0')
  assert.equal(await at.settle(), ['failed: create bridge lan0: File exists (EEXIST)'])
  await reconciler.drop('network')
  await net.rtnl.idle()
  assert.match(net.run('ip -o address show dev lan0'), '10.9.0.1/24')
})

test('host access: host and container reach each other, through flaps and a parent that is made again', async () => {
  await using at = ground()
  const { net, lan, reconciler } = at
  const child = macvlanOn('eth0', 1, { up: false })
  await reconciler.set('endpoint', [child])
  await using inside = contain(net, child.name, '192.0.2.21/24', 'fd00:2::21/64')
  reconciler.wish('endpoint', [{ ...child, handed: true }])
  assert.not(reaches(net, '192.0.2.21'), 'without access')
  await reconciler.set('network', access('192.0.2.21/32', 'fd00:2::21/128'))
  const ways = [
    ...['192.0.2.21', 'fd00:2::21'].map(address => [net, address] as const),
    ...['192.0.2.99', '192.0.2.11', '192.0.2.12'].map(address => [inside, address] as const),
    ...['fd00:2::99', 'fd00:2::12'].map(address => [inside, address] as const),
  ]
  await allReach('at once', ways)
  assert.match(net.run('ip route show 192.0.2.21'), 'dev wm99 proto 87 scope link src 192.0.2.99')
  assert.equal(await at.settle(), [])

  lan.run('ip link set eth0 down')
  lan.run('ip link set eth0 up')
  lan.run('ip address add fd00:2::12/64 dev eth0 nodad')
  await allReach('the carrier is back', ways)
  net.run('ip link set eth0 down')
  net.run('ip link set eth0 up')
  assert.equal(await at.settle(), [], 'a flap takes nothing away')
  net.run('ip address add fd00:2::11/64 dev eth0 nodad')
  await allReach('the parent is back', ways)

  net.run('ip link set wm99 down')
  assert.equal(await at.settle(), [
    'update macvlan wm99 on eth0 bridge 02:00:00:00:00:63',
    'create address fd00:2::99/128 on wm99',
    'create route 192.0.2.21/32 on wm99 source 192.0.2.99',
    'create route fd00:2::21/128 on wm99 source fd00:2::99',
  ])
  await allReach('the shim is back', ways)

  at.unwire()
  assert.equal(await linksOf(inside), [], 'the container lost its link')
  const failed = await at.settle()
  assert.is(failed.length, 5)
  assert.is(failed[0], 'failed: create macvlan wm99 on eth0: No such device (ENODEV)')
  at.wire()
  assert.is((await at.settle()).length, 5)
  assert.equal(await at.settle(), [])
  const second = macvlanOn('eth0', 2, { up: false })
  await reconciler.set('endpoint', [second])
  await using again = contain(net, second.name, '192.0.2.21/24', 'fd00:2::21/64')
  assert.ok(reaches(net, '192.0.2.21') && reaches(again, 'fd00:2::99'))

  await reconciler.drop('network')
  await net.rtnl.idle()
  assert.equal(await linksOf(net), ['eth0'])
  assert.is(net.run('ip route show 192.0.2.21'), '')
})

test('macvlan: a parent of the same name that is another link takes the child over', async () => {
  await using at = ground()
  const { net, reconciler } = at
  await reconciler.set('network', access('192.0.2.21/32'))
  net.run('ip link set eth0 down')
  net.run('ip link set eth0 name old0')
  net.run('ip link add eth0 up type veth peer name far0')
  assert.is(shown(net, 'wm99').link, 'old0')
  assert.equal(await at.settle(), [
    'recreate macvlan wm99 on eth0 bridge 02:00:00:00:00:63',
    'create address 192.0.2.99/32 on wm99',
    'create address fd00:2::99/128 on wm99',
    'create route 192.0.2.21/32 on wm99 source 192.0.2.99',
  ])
  assert.is(shown(net, 'wm99').link, 'eth0')
  assert.equal(await at.settle(), [])
})

test('macvlan: other manners are a new link, other figures are a change', async () => {
  await using at = ground()
  const { net, reconciler } = at
  await reconciler.set('network', [macvlanOn('eth0', 1)])
  net.run('ip link set wm1 mtu 1300')
  net.run('ip link set wm1 address 02:00:00:00:00:77')
  reconciler.wish('network', [macvlanOn('eth0', 1, { mtu: 1400 })])
  assert.equal(await at.settle(), ['update macvlan wm1 on eth0 bridge mtu 1400 02:00:00:00:00:01'])
  reconciler.wish('network', [macvlanOn('eth0', 1, { mode: 'private' })])
  assert.equal(await at.settle(), ['recreate macvlan wm1 on eth0 private 02:00:00:00:00:01'])
  assert.equal(await at.settle(), [])
})

test('macvlan: on one of its own kind, where the kernel puts it beside', async () => {
  await using at = ground()
  const { net, reconciler } = at
  net.run('ip link add mine0 link eth0 up type macvlan mode bridge')
  await reconciler.set('network', [macvlanOn('mine0', 1)])
  assert.is(shown(net, 'wm1').link, 'eth0')
  assert.equal(await at.settle(), [])
})

test('macvlan: what a container got is not made again, what was left over goes, what others made stays', async () => {
  await using at = ground()
  await using monitor = new Monitor()
  const { net, reconciler } = at
  const events: KernelEvent[] = []
  net.in(() => {
    watchKernel(monitor, more => events.push(...more))
  })
  const one = macvlanOn('eth0', 1, { up: false })
  await reconciler.set('endpoint', [one])
  {
    await using inside = contain(net, one.name)
    reconciler.wish('endpoint', [{ ...one, handed: true }])
    assert.equal(await at.settle(), [])
    assert.equal(await linksOf(inside), ['eth0'])
    const left = (event: KernelEvent): boolean => event.type === 'link' && event.op === 'del' && event.name === one.name
    const seen = await eventually('the move is seen', () => events.find(left))
    assert.ok(seen.type === 'link' && seen.newNetnsId !== undefined)
  }
  assert.equal(await at.settle(), [], 'the container is gone')
  await reconciler.drop('endpoint')

  await net.rtnl.createChild({ ...macvlanOn('eth0', 3), up: false })
  await net.rtnl.createDummy({ name: 'wd3', alias: 'weft test' })
  await net.rtnl.setRoute('add', { destination: '10.7.0.0/24' as Cidr, link: 'wd3' })
  net.run('ip link add theirs0 link eth0 type macvlan mode bridge')
  net.run('ip route add 10.8.0.0/24 dev eth0')
  const { address } = shown(net, 'wd3')
  assert.equal([...(await at.settle())].sort(), [
    `remove dummy wd3 mtu 1500 ${address}`,
    'remove macvlan wm3 on eth0 bridge mtu 1500 02:00:00:00:00:03',
    'remove route 10.7.0.0/24 on wd3',
  ])
  assert.equal(await linksOf(net), ['eth0', 'theirs0'])
  assert.match(net.run('ip route'), '10.8.0.0/24')
})

test('dummy: containers on it reach each other, the host and nobody else', async () => {
  await using at = ground()
  const { net, reconciler } = at
  const nowhere: Dummy = { type: 'dummy', name: 'wd1' as IfName, alias: 'weft network 1' }
  await reconciler.set('network', [nowhere, macvlanOn('wd1', 1, { up: false }), macvlanOn('wd1', 2, { up: false })])
  assert.equal(await at.settle(), [])
  await using one = contain(net, 'wm1', '192.0.2.21/24', 'fd00:2::21/64')
  await using two = contain(net, 'wm2', '192.0.2.22/24', 'fd00:2::22/64')
  assert.ok(reaches(one, '192.0.2.22') && reaches(two, 'fd00:2::21'))
  for (const address of ['192.0.2.11', 'fd00:2::11', '192.0.2.12']) assert.not(reaches(one, address), address)
  // Not even to whoever makes up his neighbours.
  for (const lladdr of ['ff:ff:ff:ff:ff:ff', shown(net, 'wd1').address]) {
    one.run(`ip neigh replace 192.0.2.11 lladdr ${lladdr} dev eth0 nud permanent`)
    assert.not(reaches(one, '192.0.2.11'), lladdr)
  }

  net.run('ip link set wd1 down')
  net.run('ip link set wd1 mtu 1300')
  reconciler.wish('network', [{ ...nowhere, mtu: 1400 }])
  assert.equal(await at.settle(), ['update dummy wd1 mtu 1400'])
  assert.ok(shown(net, 'wd1').flags.includes('UP'))
  await reconciler.drop('network')
  await net.rtnl.idle()
  assert.equal(await linksOf(net), ['eth0'])
})

test('features: the kernel has what `ip` can make', async () => {
  await using net = place()
  net.run('ip link add base0 type bridge')
  const parents: Readonly<Record<string, string>> = {
    macvlan: ' link base0',
    ipvlan: ' link base0',
    vlan: ' link base0',
  }
  const able = linkKinds.filter(kind => {
    try {
      net.run(`ip link add t0${parents[kind] ?? ''} type ${kind}${kind === 'vlan' ? ' id 7' : ''}`)
      net.run('ip link delete t0')
      return true
    } catch {
      return false
    }
  })
  const features = new LinkKinds()
  assert.equal([...(await features.read())].sort(), [...able].sort())
  assert.ok((await features.read()).has('macvlan'))
  // What the kernel lacks says so.
  const missing = (['ipvlan', 'vlan'] as const).find(kind => !able.includes(kind))
  if (missing) {
    const spec = { name: 'wm1', parent: 'base0', alias: 'weft test', up: true }
    const work =
      missing === 'vlan' ? { ...spec, kind: missing, id: 7 } : { ...spec, kind: missing, mode: 'l2' as const }
    assert.is(
      await refusal(net.rtnl.createChild(work)),
      `create ${missing} wm1 on base0: Unknown device type (EOPNOTSUPP)`,
    )
  }
})

test.run()
