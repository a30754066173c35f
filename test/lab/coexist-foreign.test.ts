/** Beside things that have nothing to do with weft: they do not notice it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { engineRoot } from '../../scripts/engines.ts'
import { difference, eventually, lab, type Host, type Place, type Snapshot } from '../support/lab.ts'
import { run, words } from '../support/lab/process.ts'
import { closed, netOf, pings, sees } from '../support/reach.ts'
import { agrees, engines, open, removeAll, rows, together, unchanged } from '../support/scene.ts'
import { streams } from '../support/streams.ts'

/** Two virtual machines on a bridge, as libvirt makes it: translated on the way out, closed from outside. */
const machines = `
  ip link add virbr0 type bridge; ip address add 10.122.0.1/24 dev virbr0; ip link set virbr0 up
  for n in 1 2; do
    ip netns add vm$n; ip link add vnet$n type veth peer name eth0 netns vm$n
    ip link set vnet$n master virbr0 up
    ip -n vm$n address add 10.122.0.1$n/24 dev eth0; ip -n vm$n link set eth0 up
    ip -n vm$n route add default via 10.122.0.1
  done
  iptables -t nat -A POSTROUTING -s 10.122.0.0/24 ! -d 10.122.0.0/24 -j MASQUERADE
  for chain in FWX FWI FWO; do iptables -N LIBVIRT_$chain; iptables -A FORWARD -j LIBVIRT_$chain; done
  iptables -A LIBVIRT_FWX -i virbr0 -o virbr0 -j ACCEPT
  iptables -A LIBVIRT_FWI -d 10.122.0.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
  iptables -A LIBVIRT_FWI -o virbr0 -j REJECT
  iptables -A LIBVIRT_FWO -s 10.122.0.0/24 -i virbr0 -j ACCEPT
  iptables -A LIBVIRT_FWO -i virbr0 -j REJECT`

/** Written by a newer nft: an older one dies of it in whatever it does. */
const trap = `table ip docker-bridges {
  map jumps { type ifname : verdict; elements = { "docker0" : accept } }
  map any { typeof iifname . ip daddr : meta mark; }
  chain forward { type filter hook forward priority 0; iifname vmap @jumps; }
}
`

for (const engine of engines('28.5')) {
  for (const calls of [0, 1] as const) {
    test(`foreign, engine ${engine}: virtual machines do not notice weft, br_netfilter ${calls}`, async () => {
      await using net = await lab({ hosts: 2, engine, forward: 1 })
      const [server, client] = net.hosts
      await server.sh(machines)
      await server.startEngine()
      await server.image()
      await server.docker('run --rm -p 65000:80 probe true')
      await server.sh(
        `for name in iptables ip6tables; do echo ${calls} >/proc/sys/net/bridge/bridge-nf-call-$name; done`,
      )
      const before = await ofOthers(server)
      const [one, two] = [vm(server, 'vm1'), vm(server, 'vm2')]
      const machineTraffic = {
        'a machine out': { host: server, netns: 'vm1', address: client.ip4 },
        'a machine to the other': { host: server, netns: 'vm1', address: '10.122.0.12' },
      }
      const asked = await streams({ closed: {}, open: machineTraffic })
      await server.startWeft()
      assert.is(difference(before, await ofOthers(server)), '', 'once weft runs')

      await server.docker('network create -d weft-bridge --subnet 10.30.0.0/24 web')
      await server.docker('run -d --name www --network web --ip 10.30.0.9 -p 8080:80 probe')
      await server.docker('run -d --name www-b --network web --ip 10.30.0.10 probe')
      const www = await netOf(server, 'www')
      await client.run(['ip', 'route', 'replace', '10.122.0.0/24', 'via', server.ip4])
      await together('a network and machines', {
        'a machine to the network': () => closed(one, '10.30.0.9'),
        'the network to a machine': () => closed(www, '10.122.0.11'),
        'the LAN to a machine': () => closed(client, '10.122.0.11'),
        // By the machines' own translation.
        'a machine to what is published': sees(two, server.ip4, '10.30.0.1', { port: 8080 }),
        'a machine to the other': () => pings(two, '10.122.0.11'),
        'a machine out': () => pings(two, client.ip4),
        neighbours: sees(www, '10.30.0.10', '10.30.0.9'),
        out: () => pings(www, client.ip4),
      })
      assert.is(policyOf(await server.run('iptables -S FORWARD')), 'ACCEPT')
      assert.equal(await bridgeCalls(server), `${calls}\n${calls}`)
      assert.match(await server.run('iptables -S LIBVIRT_FWO'), '-i virbr0 -j REJECT')

      await server.weftd?.stop()
      await server.startWeft()
      await removeAll(server)
      await eventually('only what was there before is there', async () => {
        const left = difference(before, await ofOthers(server))
        if (left !== '') throw new Error(left)
        return true
      })
      const { lost } = await asked.stop()
      assert.equal(lost, { 'a machine out': 0, 'a machine to the other': 0 })
    })
  }
}

test("foreign: tables of a newer nft, of which the host's own dies", async () => {
  const engine = '20.10'
  await using scene = await open({ engine })
  const { server, client } = scene
  server.write('/run/trap', trap)
  const newer = ['nsenter', '-t', String(server.pid), '-n', '--', 'chroot', await engineRoot('28.5'), 'nft']
  const ask = (command: string): Promise<string> =>
    run([...newer, ...words(command)], { stdin: server.path('/run/trap') })
  await ask('-f -')
  await server.sh('! nft list tables')

  await scene.restartWeft()
  await server.docker('network create -d weft-bridge --subnet 10.30.0.0/24 --ipv6 --subnet fd00:30::/64 web')
  await server.docker('run -d --name www --network web --ip 10.30.0.9 --ip6 fd00:30::9 -p 8080:80 probe')
  const www = await netOf(server, 'www')
  const works = {
    published: sees(client, server.ip4, client.ip4, { port: 8080 }),
    'published, v6': sees(client, server.ip6, client.ip6, { port: 8080 }),
    out: () => pings(www, client.ip4),
  }
  await rows(works)
  await server.sh('iptables -F DOCKER-USER')
  await ask('flush table ip filter')
  await together('after a flush', { ...works, 'the LAN': () => closed(client, '10.30.0.9') })
  await agrees(server)
  await removeAll(server)
  await ask('delete table ip docker-bridges')
  await scene.restartEngine()
  await unchanged(server, scene.before, { anyOrder: true })
})

test.run()

function vm(server: Host, name: string): Place {
  return { run: (command, options) => server.run(['ip', 'netns', 'exec', name, ...words(command)], options) }
}

/** What is neither a record of weft's, nor its table. */
async function ofOthers(server: Host): Promise<Snapshot> {
  const sections = Object.entries(await server.snapshot()).filter(([name]) => name !== 'weft')
  return Object.fromEntries(sections)
}

function policyOf(rules: string): string | undefined {
  return /^-P FORWARD (\S+)/.exec(rules)?.[1]
}

function bridgeCalls(server: Host): Promise<string> {
  return server.sh('cat /proc/sys/net/bridge/bridge-nf-call-iptables /proc/sys/net/bridge/bridge-nf-call-ip6tables')
}
