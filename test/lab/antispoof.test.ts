/** What a container sends with an address that is not its own goes nowhere; all the rest goes on. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseIp } from '../../native/value/ip.ts'
import { parseMac } from '../../native/value/mac.ts'
import { arrivals, frames, groupFrames, sendsBy, untold, type Station } from '../support/matrix-frames.ts'
import { Ground } from '../support/matrix-ground.ts'
import { engines, shared } from '../support/scene.ts'

const create = 'network create -d weft-bridge'
const pair = (n: number): string => `--subnet 10.${n}.0.0/24 --ipv6 --subnet fd00:${n}::/64`
const at = (n: number, last: number): string => `--ip 10.${n}.0.${last} --ip6 fd00:${n}::${last}`

for (const engine of engines('28.5')) {
  const scene = shared({ engine })

  test(`antispoof, engine ${engine}: no frame with another's MAC, IPv4, ARP, IPv6 or neighbour discovery`, () =>
    scene.play(async scene => {
      const { server } = scene
      await using ground = new Ground(scene)
      await server.docker(`${create} ${pair(30)} a`)
      await server.docker(`${create} ${pair(31)} -o weft.antispoof=false b`)
      await ground.containers({
        evil: `--network a ${at(30, 9)} --cap-add NET_ADMIN -p 8080:5000`,
        victim: `--network a ${at(30, 10)}`,
        third: `--network a ${at(30, 11)}`,
        freely: `--network b ${at(31, 9)}`,
        witness: `--network b ${at(31, 10)}`,
        bystander: `--network b ${at(31, 11)}`,
      })
      await ground.endpoint('router', 'a', ['weft.antispoof=false'], at(30, 12))
      const run = (name: string, from: string, to: string, other: string) => async (): Promise<void> => {
        const [own, peer, third] = await Promise.all([from, to, other].map(one => station(ground, one)))
        assert.ok(own && peer && third)
        const { true: honest, untrue } = frames(own, peer, third)
        const closed = name === 'closed'
        const [start, end] = [ground.spot(from).netns, ground.spot(to).netns]
        const arrived = await arrivals(start, end, untrue, closed ? honest : new Map([...untrue, ...honest]))
        if (closed)
          assert.equal(
            [...untrue.keys()].filter(one => arrived.has(one)),
            [],
            `${from} to ${to}`,
          )
      }
      for (const onOff of [1, 0]) {
        await server.sh(`for t in iptables ip6tables; do echo ${onOff} >/proc/sys/net/bridge/bridge-nf-call-$t; done`)
        // Opened first: it proves that such frames get through where nobody looks.
        await run('open', 'freely', 'witness', 'bystander')()
        await run('open', 'router', 'victim', 'third')()
        await run('closed', 'evil', 'victim', 'third')()
      }
      await server.sh('for t in iptables ip6tables; do echo 1 >/proc/sys/net/bridge/bridge-nf-call-$t; done')
      for (const from of ['evil', 'router', 'freely']) {
        const [own, other] = await Promise.all([from, 'third'].map(one => station(ground, one)))
        assert.ok(own && other)
        const { group, everybody } = groupFrames(own, other)
        const [start, around] = [ground.spot(from).netns, ground.spot(from === 'freely' ? 'witness' : 'victim').netns]
        const host = await arrivals(start, ground.spot('host').netns, group, everybody, { heard: true })
        assert.equal([...host].sort(), [...everybody.keys()], `${from} to the host`)
        assert.equal([...(await arrivals(start, around, group, everybody))].sort(), [...everybody.keys()], from)
      }
      assert.not.match(await server.run('bridge fdb show'), untold)
      assert.is(await server.sh('cd /proc/sys/net/ipv6/conf; for i in wv*; do cat $i/accept_ra; done | sort -u'), '0')
      const evil = await station(ground, 'evil')
      await ground.holds(
        'true addresses',
        `
        evil    10.30.0.10     5001      10.30.0.9
        evil    fd00:30::10    5001/udp  fd00:30::9
        victim  fd00:30::9     5001      fd00:30::10
        evil    192.0.2.12     5000      192.0.2.11
        evil    fd00:2::12     5000      fd00:2::11
        lan     192.0.2.11     8080      192.0.2.12
        lan     fd00:2::11     8080      fd00:2::12
        victim  ${evil.linkLocal}%eth0  ping  yes`,
      )
    }))

  test(`antispoof, engine ${engine}: a container that gives itself another MAC or address is not heard`, () =>
    scene.play(async scene => {
      const { server } = scene
      await using ground = new Ground(scene)
      await server.docker(`${create} ${pair(30)} a`)
      await ground.containers({
        evil: `--network a ${at(30, 9)} --cap-add NET_ADMIN`,
        victim: `--network a ${at(30, 10)}`,
      })
      await ground.endpoint('free', 'a', ['weft.antispoof=false'], `${at(30, 11)} --cap-add NET_ADMIN`)
      const known = 'evil 10.30.0.10 5001 10.30.0.9\nevil fd00:30::10 5001 fd00:30::9'
      await ground.holds('to begin with', known)
      const { mac } = await station(ground, 'evil')
      await server.docker('exec evil ip link set eth0 address 02:00:00:00:00:99')
      await ground.holds('another MAC', 'evil 10.30.0.10 5001 -\nevil 10.30.0.1 ping -\nevil fd00:30::10 5001 -')
      assert.not.match(await server.run('bridge fdb show'), '02:00:00:00:00:99')
      await server.docker(`exec evil ip link set eth0 address ${mac}`)
      // Not preferred: it goes on asking with its own.
      for (const name of ['evil', 'free']) {
        const last = name === 'evil' ? 77 : 78
        await server.docker(`exec ${name} ip address add 10.30.0.${last}/24 dev eth0`)
        await server.docker(`exec ${name} ip address add fd00:30::${last}/64 dev eth0 nodad preferred_lft 0`)
      }
      await ground.holds(
        'more addresses',
        `
        victim  10.30.0.77   5001  -
        victim  fd00:30::77  5001  -
        host    10.30.0.77   5001  -
        victim  10.30.0.78   5001  10.30.0.10
        victim  fd00:30::78  5001  fd00:30::10
        ${known}`,
      )
    }))

  test(`antispoof, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()

async function station(ground: Ground, name: string): Promise<Station> {
  const spot = ground.spot(name)
  const text = await spot.run('ip -o address show eth0')
  const link = await spot.run('ip -o link show eth0')
  const address = (pattern: RegExp): Station['v4'] => {
    const ip = parseIp(pattern.exec(text)?.[1] ?? '')
    if (!ip) throw new Error(`${name} has no such address: ${text}`)
    return ip
  }
  const mac = parseMac(/ether (\S+)/.exec(link)?.[1] ?? '')
  if (!mac) throw new Error(link)
  sendsBy(spot.netns, Number.parseInt(link, 10))
  return {
    mac,
    v4: address(/inet ([\d.]+)/),
    v6: address(/inet6 (fd\S+?)\//),
    linkLocal: address(/inet6 (fe80\S+?)\//),
  }
}
