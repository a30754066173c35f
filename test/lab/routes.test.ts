/** Routes by a link, and addresses that the host answers for: beside those of others, healed, and gone in the end. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { IfName, Resource } from '../../native/kernel/resource.ts'
import type { Cidr, Ip } from '../../native/value/ip.ts'
import { allReach, ground, refusal } from '../support/child-links.ts'
import { enterOwnNetns, place } from '../support/netlink.ts'

enterOwnNetns(import.meta.filename)

test('route: other ways to the same place are left alone, its own is changed in place', async () => {
  await using at = ground()
  const { net, reconciler } = at
  const to = (destination: string, link: string, source?: string): Resource => ({
    ...{ type: 'route', destination: destination as Cidr, link: link as IfName },
    ...(source === undefined ? {} : { source: source as Ip }),
  })
  net.run('ip route add 10.7.0.1/32 dev eth0')
  assert.is(
    await refusal(reconciler.set('network', [to('10.7.0.1/32', 'eth0')])),
    'add route to 10.7.0.1/32 on eth0: File exists (EEXIST)',
  )
  assert.match(net.run('ip route show 10.7.0.1'), 'dev eth0 scope link')
  net.run('ip address add 192.0.2.98/32 dev eth0')
  net.run('ip link add eth1 up type veth peer name far1')
  for (const [four, six, link] of [
    ['192.0.2.98', 'fd00:2::11', 'eth0'],
    ['192.0.2.11', undefined, 'eth0'],
    [undefined, undefined, 'eth1'],
  ] as const) {
    await reconciler.set('network', [to('10.7.0.2/32', link, four), to('fd00:7::2/128', link, six)])
    assert.equal(await at.settle(), [])
    assert.is(net.run('ip -6 route show fd00:7::2').trim().split('\n').length, 1)
  }
  assert.match(net.run('ip route show 10.7.0.2'), 'dev eth1 proto 87 scope link')
  net.run('ip route del 10.7.0.2')
  assert.equal(await at.settle(), ['create route 10.7.0.2/32 on eth1'])
  await reconciler.drop('network')
  assert.is(net.run('ip route show proto 87') + net.run('ip -6 route show proto 87'), '')
})

test('proxy: the host answers for what is behind it, as long as it is wished', async () => {
  await using at = ground()
  await using inside = place()
  const { net, lan, reconciler } = at
  for (const key of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding', 'net.ipv6.conf.eth0.proxy_ndp']) {
    net.run(`sysctl -qw ${key}=1`)
  }
  net.run(`ip link add in0 up type veth peer name eth0 netns ${inside.path}`)
  net.run('ip address add 169.254.0.1/32 dev in0')
  net.run('ip address add fe80::1/64 dev in0 nodad')
  inside.run('ip link set eth0 up')
  for (const cidr of ['192.0.2.50/32', 'fd00:2::50/128'])
    inside.run(`ip address add ${cidr} dev eth0${cidr.includes(':') ? ' nodad' : ''}`)
  inside.run('ip route add default dev eth0')
  inside.run('ip -6 route add default via fe80::1 dev eth0')
  net.run('sysctl -qw net.ipv4.conf.in0.proxy_arp=1')
  const plan = ['192.0.2.50', 'fd00:2::50'].flatMap((address): readonly Resource[] => [
    { type: 'route', destination: `${address}/${address.includes(':') ? 128 : 32}` as Cidr, link: 'in0' as IfName },
    { type: 'proxy', link: 'eth0' as IfName, address: address as Ip },
  ])
  net.run('ip neigh add proxy 192.0.2.60 dev eth0')
  await reconciler.set('endpoint', plan)
  assert.equal(await at.settle(), [])
  await allReach(
    'from the segment',
    ['192.0.2.50', 'fd00:2::50'].map(address => [lan, address] as const),
  )

  lan.run('ip link set eth0 down')
  lan.run('ip link set eth0 up')
  assert.equal(await at.settle(), [], 'they outlive the carrier')
  net.run('ip neigh del proxy 192.0.2.50 dev eth0')
  assert.equal(await at.settle(), ['create proxy 192.0.2.50 on eth0'])
  await reconciler.set('endpoint', [{ type: 'proxy', link: 'eth0' as IfName, address: '192.0.2.60' as Ip }])
  await reconciler.drop('endpoint')
  assert.is(net.run('ip neigh show proxy').trim(), '192.0.2.60 dev eth0 proxy')
  assert.is(net.run('ip -6 neigh show proxy'), '')
})

test.run()
