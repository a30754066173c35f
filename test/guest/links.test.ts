/** Kinds of links that small kernels lack: ipvlan, VLANs and dummies, on Debian 12's kernel. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LinkKinds, linkKinds } from '../../native/kernel/features.ts'
import type { Child, IfName, Ipvlan, Resource, Vlan } from '../../native/kernel/resource.ts'
import type { Cidr, Ip } from '../../native/value/ip.ts'
import { allReach, contain, ground, linksOf, macvlanOn, reaches, shown } from '../support/child-links.ts'

function ipvlanOn(parent: string, number: number, more: Partial<Child & Ipvlan> = {}): Child {
  return {
    ...{ type: 'child', kind: 'ipvlan', name: `wi${number}` as IfName, parent: parent as IfName, mode: 'l2' },
    ...{ alias: `weft test ${number}`, handed: false },
    ...more,
  }
}

function vlanOn(parent: string, id: number, more: Partial<Child & Vlan> = {}): Child {
  return {
    ...{ type: 'child', kind: 'vlan', name: `${parent}.${id}` as IfName, parent: parent as IfName, id },
    ...{ alias: `weft test ${id}`, handed: false },
    ...more,
  }
}

function message(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

test('guest links: this kernel has all kinds', async () => {
  assert.equal([...(await new LinkKinds().read())].sort(), [...linkKinds].sort())
})

test('guest links: ipvlan is what `ip` shows, and what is changed by others is mended', async () => {
  await using at = ground()
  const { net, reconciler } = at
  for (const [number, mode] of (['l2', 'l3', 'l3s'] as const).entries()) {
    for (const flag of ['bridge', 'private', 'vepa'] as const) {
      const link = ipvlanOn('eth0', number, { mode, flag, mtu: 1400 })
      await reconciler.set('network', [link])
      assert.equal(await at.settle(), [], `${mode} ${flag}`)
      const { linkinfo, mtu, ifalias } = shown(net, link.name)
      assert.equal({ mtu, ifalias, ...linkinfo.info_data }, { mtu: 1400, ifalias: link.alias, mode, [flag]: true })
      await reconciler.drop('network')
      await net.rtnl.idle()
    }
  }
  await reconciler.set('network', [ipvlanOn('eth0', 1, { mode: 'l3s' })])
  net.run('ip link add theirs0 link eth0 type ipvlan mode l2')
  assert.equal(await at.settle(), ['recreate ipvlan wi1 on eth0 l3s'])
  assert.equal(await at.settle(), [])
})

test('guest links: macvlan and ipvlan cannot share a parent, and it is said', async () => {
  await using at = ground()
  const { net } = at
  const words = 'eth0 has links of another kind: macvlan and ipvlan cannot share a parent (EBUSY)'
  await net.rtnl.createChild({ ...ipvlanOn('eth0', 1), up: true })
  const refused = await net.rtnl.createChild({ ...macvlanOn('eth0', 1), up: true }).then(() => '', message)
  assert.is(refused, `create macvlan wm1 on eth0: ${words}`)
  await net.rtnl.remove('wi1')
  await net.rtnl.createChild({ ...macvlanOn('eth0', 1), up: true })
  const back = await net.rtnl.createChild({ ...ipvlanOn('eth0', 1), up: true }).then(() => '', message)
  assert.is(back, `create ipvlan wi1 on eth0: ${words}`)
})

test('guest links: by ipvlan, host and container reach each other', async () => {
  await using at = ground()
  const { net, reconciler } = at
  const child = ipvlanOn('eth0', 1, { up: false })
  const shim = ipvlanOn('eth0', 9)
  const way: Resource = {
    type: 'route',
    destination: '192.0.2.21/32' as Cidr,
    link: shim.name,
    source: '192.0.2.99' as Ip,
  }
  await reconciler.set('endpoint', [child])
  await reconciler.set('network', [shim, { type: 'address', link: shim.name, cidr: '192.0.2.99/32' as Cidr }, way])
  await using inside = contain(net, child.name, '192.0.2.21/24')
  reconciler.wish('endpoint', [{ ...child, handed: true }])
  const ways = [
    [net, '192.0.2.21'],
    [inside, '192.0.2.99'],
    [inside, '192.0.2.12'],
  ] as const
  await allReach('at once', ways)
  assert.equal(await at.settle(), [])
  net.run('ip link set eth0 down')
  net.run('ip link set eth0 up')
  assert.equal(await at.settle(), [])
  await allReach('after a flap', ways)
  at.unwire()
  at.wire()
  assert.equal(await at.settle(), [
    'create ipvlan wi9 on eth0 l2',
    'create address 192.0.2.99/32 on wi9',
    'create route 192.0.2.21/32 on wi9 source 192.0.2.99',
  ])
})

test('guest links: VLANs, one in another, with a parent that is down or goes', async () => {
  await using at = ground()
  const { net, lan, reconciler } = at
  net.run('ip link set eth0 down')
  const outer = vlanOn('eth0', 50)
  const inner = vlanOn('eth0.50', 4094)
  const child = macvlanOn('eth0.50.4094', 1, { up: false })
  await reconciler.set('host', [outer, inner, child])
  assert.equal(await at.settle(), [], 'a parent that is down is no obstacle')
  assert.is(shown(net, 'eth0.50.4094').linkinfo.info_data?.['id'], 4094)
  net.run('ip link set eth0 up')
  net.run('ip link set eth0 down')
  assert.ok(shown(net, 'eth0.50').flags.includes('UP'), 'it is not set down with its parent')
  net.run('ip link set eth0 up')
  for (const [parent, link] of [
    ['eth0', 'eth0.50'],
    ['eth0.50', 'eth0.50.4094'],
  ] as const) {
    lan.run(`ip link add ${link} link ${parent} up type vlan id ${link === 'eth0.50' ? 50 : 4094}`)
  }
  lan.run('ip address add 10.5.0.1/24 dev eth0.50.4094')
  await using inside = contain(net, child.name, '10.5.0.2/24')
  reconciler.wish('host', [outer, inner, { ...child, handed: true }])
  await allReach('tagged twice', [[inside, '10.5.0.1']])

  at.unwire()
  assert.equal(await linksOf(inside), [])
  assert.equal(
    (await at.settle()).map(line => line.replace(/: .*/, '')),
    ['failed', 'failed'],
  )
  at.wire()
  const made = ['create vlan eth0.50 on eth0 id 50', 'create vlan eth0.50.4094 on eth0.50 id 4094']
  assert.equal(await at.settle(), made)
  const other = vlanOn('eth0', 51, { name: outer.name })
  reconciler.wish('host', [other, inner])
  assert.equal(await at.settle(), ['recreate vlan eth0.50 on eth0 id 51', made[1]], 'with what stood on it')
  await reconciler.drop('host')
  await net.rtnl.idle()
  assert.equal(await linksOf(net), ['eth0'])
})

test('guest links: a VLAN that the host made first serves, and stays; another one of that name is in the way', async () => {
  await using at = ground()
  const { net, reconciler } = at
  const child = macvlanOn('eth0.50', 1, { up: false })
  net.run('ip link add eth0.50 link eth0 up type vlan id 50')
  net.run('ip address add 10.9.0.1/24 dev eth0.50')
  reconciler.wish('host', [vlanOn('eth0', 50), child])
  assert.equal(await at.settle(), ['create macvlan wm1 on eth0.50 bridge down 02:00:00:00:00:01'])
  assert.equal(await at.settle(), [])
  assert.is(shown(net, 'eth0.50').ifalias, undefined)
  await reconciler.drop('host')
  await net.rtnl.idle()
  assert.equal(await linksOf(net), ['eth0', 'eth0.50'])
  reconciler.wish('host', [vlanOn('eth0', 50)])
  net.run('ip link delete eth0.50')
  net.run('ip link add eth0.50 link eth0 up type vlan id 51')
  assert.equal(await at.settle(), ['failed: create vlan eth0.50 on eth0: File exists (EEXIST)'])
  await reconciler.drop('host')
  await net.rtnl.idle()
  assert.equal(await linksOf(net), ['eth0', 'eth0.50'])
})

test('guest links: VLAN ids that the kernel refuses, and one that is taken', async () => {
  await using at = ground()
  const { net } = at
  const make = (id: number, name = `v${id}`): Promise<string> =>
    net.rtnl.createChild({ ...vlanOn('eth0', id, { name: name as IfName }), up: true }).then(() => '', message)
  assert.match(await make(4095), /\(ERANGE|EINVAL\)/)
  assert.is(await make(7), '')
  assert.match(await make(7, 'other7'), /VLAN device already exists .*\(EEXIST\)|\(EEXIST\)/)
})

test('guest links: a dummy is a dummy here', async () => {
  await using at = ground()
  const { net, reconciler } = at
  await reconciler.set('network', [
    { type: 'dummy', name: 'wd1' as IfName, alias: 'weft network 1' },
    macvlanOn('wd1', 1, { up: false, bclim: 5 }),
    macvlanOn('wd1', 2, { up: false }),
  ])
  assert.equal(await at.settle(), [])
  assert.is(shown(net, 'wd1').linkinfo.info_kind, 'dummy')
  await using one = contain(net, 'wm1', '192.0.2.21/24')
  await using two = contain(net, 'wm2', '192.0.2.22/24')
  assert.ok(reaches(one, '192.0.2.22') && reaches(two, '192.0.2.21'))
  assert.not(reaches(one, '192.0.2.11'))
})

test.run()
