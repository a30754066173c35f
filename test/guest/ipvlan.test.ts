/** weft-ipvlan, VLAN parents and parents that lead nowhere, with an engine on Debian 12's kernel. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { guest, patience } from '../support/guest/place.ts'
import { eventually, type Host } from '../support/lab.ts'
import { netOf, pings, pingsNot, seenBy } from '../support/reach.ts'
import { asBefore, rows } from '../support/scene.ts'

/** A minute each: the lab has the same of macvlan, and test/guest/links.test.ts of the links alone. */
const full = process.env['WEFT_TEST_FULL'] === '1'
const create = 'network create -d weft-ipvlan'
const lan = '--subnet 192.0.2.0/24 --gateway 192.0.2.12 --ipv6 --subnet fd00:2::/64 --gateway fd00:2::12 -o parent=eth0'

/** The first time the kernel loads what it needs, with such a processor for longer than weft waits. */
async function makes(host: Host, network: string): Promise<void> {
  await eventually(network, () => host.docker(network), { timeoutMs: 60_000 })
}

async function runs(host: Host, name: string, how: string): Promise<void> {
  const run = async (): Promise<string> => {
    try {
      return await host.docker(`run -d --name ${name} ${how} probe`)
    } catch (cause) {
      await host.docker(['rm', '-f', name])
      throw cause
    }
  }
  await eventually(`${name} runs`, run, { timeoutMs: 60_000 })
}

test('guest ipvlan: l2: in the LAN with the MAC of the parent; the host has its place', async () => {
  const { host, client } = await guest()
  await makes(host, `${create} ${lan} -o host_access=192.0.2.120,fd00:2::120 a`)
  await runs(host, 'one', '--network a --ip 192.0.2.140 --ip6 fd00:2::140')
  await runs(host, 'two', '--network a --ip 192.0.2.141 --ip6 fd00:2::141 -p 8080:80')
  const [one, two] = [await netOf(host, 'one'), await netOf(host, 'two')]
  const mac = (await host.run('cat /sys/class/net/eth0/address')).trim()
  assert.match(await one.run('ip -o link show eth0'), mac)
  assert.match(await one.run('ip route show default'), 'via 192.0.2.12')
  assert.not.match(await host.docker('network ls'), 'docker_gwbridge')
  await rows({
    neighbour: () => seenBy(two, '192.0.2.140'),
    'neighbour v6': () => seenBy(two, 'fd00:2::140'),
    'from the LAN': () => seenBy(client, '192.0.2.140'),
    'into the LAN': () => pings(one, client.ip4),
    'from the host': async () => {
      assert.is(await seenBy(host, '192.0.2.140'), '192.0.2.120')
    },
    'from the host, v6': async () => {
      assert.is(await seenBy(host, 'fd00:2::140'), 'fd00:2::120')
    },
    'to the host': () => pings(one, '192.0.2.120'),
    published: async () => {
      assert.is(await seenBy(client, host.ip4, { port: 8080 }), '192.0.2.120')
    },
  })
  assert.match(
    await host.docker('run --network a --mac-address 02:42:00:00:00:07 probe true', { fails: true }),
    /ipvlan interfaces do not support custom mac address assignment/,
  )
  assert.match(
    await host.docker(`${create} --subnet 10.31.0.0/24 -o parent=eth0 -o ipvlan_mode=l3 b`, { fails: true }),
    /already using parent interface eth0 in another mode \(l2, bridge\)/,
  )
  assert.match(
    await host.docker('network create -d weft-macvlan --subnet 10.31.0.0/24 -o parent=eth0 b', { fails: true }),
    /ipvlan network \w+ is using it/,
  )
})

test("guest ipvlan: l3: behind the parent, by the host's answers or by a route of the LAN, with weft's own IPAM", async () => {
  const { host, client } = await guest()
  const own = '--ipam-driver weft-ipvlan -o parent=eth0 -o ipvlan_mode=l3 --subnet'
  const proxy = '-o host_access=true -o weft.proxy=true'
  await makes(host, `${create} ${own} 192.0.2.128/26 --ipv6 --subnet fd00:2::80/121 ${proxy} a`)
  const ndp = async (): Promise<string> => (await host.run('cat /proc/sys/net/ipv6/conf/eth0/proxy_ndp')).trim()
  assert.is(await ndp(), '0')
  await makes(host, `${create} ${own} 10.31.0.0/24 b`)
  await runs(host, 'one', '--network a --ip 192.0.2.140 --ip6 fd00:2::8c')
  await runs(host, 'two', '--network b --ip 10.31.0.9')
  const two = await netOf(host, 'two')
  await client.run(`ip route replace 10.31.0.0/24 via ${host.ip4}`)
  assert.match(await two.run('ip route show default'), /^default dev eth0/)
  assert.not.match(await host.docker('network ls'), 'docker_gwbridge')
  await rows({
    'another network of the parent': () => seenBy(two, '192.0.2.140'),
    'from the LAN, which has no route': () => seenBy(client, '192.0.2.140'),
    'from the LAN, which has no route, v6': () => seenBy(client, 'fd00:2::8c'),
    'from the LAN, by a route': () => seenBy(client, '10.31.0.9'),
    'from the host': () => seenBy(host, '192.0.2.140'),
  })
  assert.match(await host.docker('run --network a --ip 192.0.2.140 probe true', { fails: true }), /address .*in use/i)
  await client.run('ip route delete 10.31.0.0/24')
  assert.is(await ndp(), '1')
  await host.docker('rm -f one')
  await eventually('the parent is as before', async () => (await ndp()) === '0', patience)
  await host.docker('network rm a')
  // Where it was on before it stays on, and a link of the host keeps its mode.
  await host.sh('echo 1 >/proc/sys/net/ipv6/conf/eth0/proxy_ndp')
  await makes(host, `${create} ${own} 192.0.2.128/26 --ipv6 --subnet fd00:2::80/121 ${proxy} a`)
  assert.is(await ndp(), '1')
  await host.docker('rm -f two')
  await host.docker('network rm a b')
  assert.is(await ndp(), '1')
  await host.sh('echo 0 >/proc/sys/net/ipv6/conf/eth0/proxy_ndp; ip link add ipvl0 link eth0 type ipvlan mode l2')
  assert.match(
    await host.docker(`${create} ${own} 10.31.0.0/24 b`, { fails: true }),
    /link ipvl0 of the host is already using parent interface eth0 in another mode \(l2, bridge\)/,
  )
  await host.run('ip link delete ipvl0')
})

if (!full) console.log('l3s, private, VLANs and no parent: a minute each, only with --full')
if (full) {
  test('guest ipvlan: l3s: the same', async () => {
    const { host, client } = await guest()
    await makes(host, `${create} --subnet 10.30.0.0/24 -o parent=eth0 -o ipvlan_mode=l3s a`)
    await runs(host, 'one', '--network a --ip 10.30.0.9')
    await client.run(`ip route replace 10.30.0.0/24 via ${host.ip4}`)
    await seenBy(client, '10.30.0.9')
    await client.run('ip route delete 10.30.0.0/24')
  })

  test('guest ipvlan: flag private keeps containers apart', async () => {
    const { host, client } = await guest()
    await makes(host, `${create} --subnet 192.0.2.0/24 --gateway 192.0.2.12 -o parent=eth0 -o ipvlan_flag=private a`)
    await runs(host, 'one', '--network a --ip 192.0.2.140')
    await runs(host, 'two', '--network a --ip 192.0.2.141')
    const two = await netOf(host, 'two')
    await pings(two, client.ip4)
    await pingsNot(two, '192.0.2.140')
  })

  test('guest ipvlan: a VLAN is made, shared, and goes with the last network; one of the host stays', async () => {
    const { host, client } = await guest()
    await client.run('ip link add link eth0 name eth0.50 type vlan id 50')
    await client.run('ip address add 10.50.0.1/24 dev eth0.50')
    await client.run('ip link set eth0.50 up')
    const vlan = async (): Promise<boolean> => (await host.run('ip -o link')).includes('eth0.50@eth0')
    await makes(host, 'network create -d weft-macvlan --subnet 10.50.0.0/24 --gateway 10.50.0.1 -o parent=eth0.50 a')
    assert.ok(await vlan())
    await makes(host, 'network create -d weft-macvlan --subnet 10.51.0.0/24 -o parent=eth0.50 b')
    await runs(host, 'one', '--network a --ip 10.50.0.9')
    await pings(await netOf(host, 'one'), '10.50.0.1')
    await host.docker('network rm b')
    await pings(await netOf(host, 'one'), '10.50.0.1')
    await host.docker('rm -f one')
    await host.docker('network rm a')
    await eventually('the VLAN is gone', async () => !(await vlan()), patience)
    await host.run('ip link add link eth0 name eth0.50 type vlan id 50')
    await makes(host, 'network create -d weft-macvlan --subnet 10.50.0.0/24 -o parent=eth0.50 a')
    await host.docker('network rm a')
    assert.ok(await vlan())
    await host.run('ip link delete eth0.50')
    await client.run('ip link delete eth0.50')
  })

  test('guest ipvlan: without a parent containers reach each other and nobody else', async () => {
    const { host, client } = await guest()
    await makes(host, `${create} --subnet 10.30.0.0/24 a`)
    await runs(host, 'one', '--network a --ip 10.30.0.9')
    await runs(host, 'two', '--network a --ip 10.30.0.10')
    const two = await netOf(host, 'two')
    await pings(two, '10.30.0.9')
    assert.match(await two.run(['ping', '-c', '1', '-W', '1', client.ip4], { fails: true }), /unreachable/i)
  })
}

test('guest ipvlan: nothing is left', async () => {
  const { host, before } = await guest()
  await asBefore(host, before)
})

test.run()
