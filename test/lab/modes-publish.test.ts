/** Who may use published ports: lists of sources, the host's own firewall, relays between families; and what is refused. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/lab.ts'
import { Ground } from '../support/matrix-ground.ts'
import { engines, isNew, shared } from '../support/scene.ts'

const docker = 'com.docker.network'
const create = 'network create -d weft-bridge'
const pair = (n: number): string => `--subnet 10.${n}.0.0/24 --ipv6 --subnet fd00:${n}::/64`
const at = (n: number, last = 9): string => `--ip 10.${n}.0.${last} --ip6 fd00:${n}::${last}`
const publish = (port: number): string => `-p ${port}:5000 -p ${port}:5000/udp`

for (const engine of engines('28.5')) {
  // Chains of iptables stay when they are empty.
  const warm = 'for t in iptables ip6tables; do $t -A INPUT -j ACCEPT; $t -F INPUT; done'
  const scene = shared({ engine, warm })

  test(`sources, engine ${engine}: weft.publish.from of a network, and of one container`, () =>
    scene.play(async scene => {
      const { server } = scene
      await using ground = new Ground(scene)
      await server.docker(`${create} ${pair(30)} -o weft.publish.from=192.0.2.12,fd00:2::10/125 a`)
      await server.docker(`${create} ${pair(31)} b`)
      await ground.containers({
        www: `--network a ${at(30)} ${publish(8080)}`,
        other: `--network b ${at(31)}`,
        neighbour: `--network a ${at(30, 10)}`,
      })
      await ground.endpoint('own', 'a', ['weft.publish.from=192.0.2.1'], `${at(30, 11)} ${publish(8081)}`)
      if (isNew(engine)) {
        const [network] = [`--network name=b,driver-opt=weft.publish.from=192.0.2.1`]
        await ground.container('short', `${network} ${publish(8082)}`)
        await ground.holds(
          'in one word',
          `
          far  192.0.2.11  8082      192.0.2.1
          lan  192.0.2.11  8082      -
          far  fd00:2::11  8082      -`,
        )
      }
      await ground.holds(
        'sources',
        `
        lan        192.0.2.11   8080      192.0.2.12
        lan        192.0.2.11   8080/udp  192.0.2.12
        lan        fd00:2::11   8080      fd00:2::12
        lan        fd00:2::11   8080/udp  fd00:2::12
        far        192.0.2.11   8080      -
        far        192.0.2.11   8080/udp  -
        far        fd00:2::11   8080      -
        other      192.0.2.11   8080      -
        far        192.0.2.11   8081      192.0.2.1
        far        192.0.2.11   8081/udp  192.0.2.1
        far        fd00:2::11   8081      -
        lan        192.0.2.11   8081      -
        lan        fd00:2::11   8081      -
        host       192.0.2.11   8080      192.0.2.11
        host       127.0.0.1    8081      10.30.0.1
        host       fd00:2::11   8081      fd00:2::11
        neighbour  10.30.0.9    5000      10.30.0.10
        www        192.0.2.1    5000      192.0.2.11`,
      )
    }))

  test(`host firewall, engine ${engine}: INPUT rules decide who reaches published ports`, () =>
    scene.play(async scene => {
      const { server } = scene
      await using ground = new Ground(scene)
      await server.docker(`${create} ${pair(30)} -o weft.publish=host-firewall a`)
      await server.docker(`${create} ${pair(31)} b`)
      await ground.containers({
        www: `--network a ${at(30)} ${publish(8080)} -p 192.0.2.11:8083:5000`,
        beside: `--network b ${at(31)} ${publish(8081)}`,
      })
      const each = (script: string): Promise<string> => server.sh(`for t in iptables ip6tables; do ${script}; done`)
      const closed = 'for p in tcp udp; do $t -A INPUT -i eth0 -p $p --dport 8080:8083 -j DROP; done'
      await each(closed)
      const shutTable = `
        lan   192.0.2.11   8080      -
        lan   192.0.2.11   8080/udp  -
        lan   fd00:2::11   8080      -
        lan   fd00:2::11   8080/udp  -
        lan   192.0.2.11   8083      -
        lan   192.0.2.11   8081      192.0.2.12`
      await ground.holds('all are refused', shutTable)
      await server.sh(`for p in tcp udp; do
          iptables -I INPUT -i eth0 -s 192.0.2.12 -p $p --dport 8080:8083 -j ACCEPT
          ip6tables -I INPUT -i eth0 -s fd00:2::12 -p $p --dport 8080:8083 -j ACCEPT
        done`)
      await ground.holds(
        'one is let in',
        `
        lan     192.0.2.11   8080      192.0.2.12
        lan     192.0.2.11   8080/udp  192.0.2.12
        lan     fd00:2::11   8080      fd00:2::12
        lan     fd00:2::11   8080/udp  fd00:2::12
        lan     192.0.2.11   8083      192.0.2.12
        far     192.0.2.11   8080      -
        far     192.0.2.11   8080/udp  -
        far     fd00:2::11   8080      -
        far     fd00:2::11   8080/udp  -
        far     192.0.2.11   8083      -
        host    192.0.2.11   8080      192.0.2.11
        host    127.0.0.1    8080      10.30.0.1
        host    127.0.0.1    8080/udp  10.30.0.1
        host    fd00:2::11   8080      fd00:2::11
        beside  192.0.2.11   8080      10.31.0.9
        www     192.0.2.11   8080      10.30.0.1`,
      )
      await each('$t -F INPUT')
      await ground.holds('without rules', 'far 192.0.2.11 8080 192.0.2.1')
    }))

  test(`relays, engine ${engine}: weft.publish.from says who is passed on, and the host always is`, () =>
    scene.play(async scene => {
      const { server } = scene
      await using ground = new Ground(scene)
      await server.docker(`${create} --subnet 10.30.0.0/24 -o weft.publish.from=fd00:2::12,192.0.2.0/24 one`)
      await server.docker(`${create} --subnet 10.31.0.0/24 -o weft.publish.from=fd00:2::1,fe80::/10 other`)
      await server.docker(`${create} --subnet 10.32.0.0/24 -o weft.publish.from=192.0.2.0/24 closed`)
      await ground.containers({
        one: `--network one ${publish(8080)}`,
        other: `--network other ${publish(8081)}`,
        closed: `--network closed ${publish(8082)}`,
      })
      await ground.holds(
        'lists',
        `
        lan   fd00:2::11  8080      10.30.0.1
        lan   fd00:2::11  8080/udp  10.30.0.1
        lan   fd00:2::11  8081      -
        lan   fd00:2::11  8081/udp  -
        lan   fd00:2::11  8082      -
        lan   fd00:2::11  8082/udp  -
        host  fd00:2::11  8082      10.32.0.1
        host  fd00:2::11  8082/udp  10.32.0.1
        host  ::1         8082      10.32.0.1`,
      )
    }))

  test(`relays, engine ${engine}: [::1], and hosts of one family to containers of the other`, () =>
    scene.play(async scene => {
      const { server } = scene
      await using ground = new Ground(scene)
      await server.docker(`${create} --subnet 10.30.0.0/24 four`)
      await server.docker(`${create} ${pair(31)} both`)
      await ground.containers({
        four: `--network four --ip 10.30.0.9 ${publish(8080)}`,
        both: `--network both ${at(31)} ${publish(8081)} -p [::1]:8083:5000 -p [::1]:8083:5000/udp`,
      })
      let [six, direct] = ['', '']
      if (isNew(engine)) {
        await server.docker(`${create} --ipv4=false --ipv6 --subnet fd00:32::/64 six`)
        await ground.container('six', `--network six --ip6 fd00:32::9 ${publish(8082)}`)
        direct = 'lan fd00:2::11 8082 fd00:2::12'
        six = `
        lan   192.0.2.11   8082      fd00:32::1
        lan   192.0.2.11   8082/udp  fd00:32::1
        host  127.0.0.1    8082      fd00:32::1
        host  192.0.2.11   8082/udp  fd00:32::1
        host  ::1          8082      fd00:32::1`
      }
      const translated = `
        lan   192.0.2.11   8080      192.0.2.12
        lan   fd00:2::11   8081      fd00:2::12
        host  127.0.0.1    8081      10.31.0.1
        ${direct}`
      const relayed = `
        lan   fd00:2::11   8080      10.30.0.1
        lan   fd00:2::11   8080/udp  10.30.0.1
        host  fd00:2::11   8080      10.30.0.1
        host  ::1          8080      10.30.0.1
        host  ::1          8080/udp  10.30.0.1
        host  ::1          8081      fd00:31::1
        host  ::1          8081/udp  fd00:31::1
        host  ::1          8083      fd00:31::1
        host  ::1          8083/udp  fd00:31::1
        ${six}`
      await ground.holds('weftd runs', `${translated}\n${relayed}\nlan fd00:2::11 8083 -`)
      server.weftd?.kill()
      await server.weftd?.exited
      await ground.holds('weftd is dead', `${translated}\n${silent(relayed)}`)
      await server.startWeft()
      await ground.holds('weftd runs again', `${translated}\n${relayed}`)
    }))

  test(`options, engine ${engine}: what is refused says why, and what is told to be ignored is`, () =>
    scene.play(async ({ server }) => {
      const refused: readonly (readonly [flags: string, text: string])[] = [
        ['-o weft.antispof=true', 'weft-bridge has no option weft.antispof. did you mean weft.antispoof?'],
        [`-o ${docker}.bridge.default_bridge=true`, 'weft-bridge does not serve'],
        [`-o ${docker}.bridge.gateway_mode_ipv4=flat`, 'value: "flat".*nat, nat-unprotected, routed, isolated'],
        [`-o ${docker}.bridge.trusted_host_interfaces=a/b`, 'value: "a/b".*separated by colons'],
        [`-o ${docker}.bridge.inhibit_ipv4=yes`, 'value: "yes".*true or false'],
        [`-o ${docker}.bridge.host_binding_ipv4=nowhere`, 'value: "nowhere".*an address of the host'],
        [`-o ${docker}.host_ipv4=fd00::1`, 'value: "fd00::1".*an IPv4 address'],
        [`-o ${docker}.host_ipv6=0::0`, 'value: "0::0".*an IPv6 address'],
        [`-o ${docker}.container_iface_prefix=7`, 'value: "7".*the beginning of an interface name'],
        [`-o ${docker}.advertise_addr_nmsgs=4`, 'from 0 to 3|range 0 to 3'],
        [`-o ${docker}.advertise_addr_ms=99`, 'from 100 to 2000|at least 100|range 100'],
        ['-o weft.publish=closed', 'value: "closed".*host-firewall'],
        ['-o weft.publish.from=192.0.2.0/33', 'value: "192.0.2.0/33".*addresses and prefixes'],
        ['-o weft.routes=0.0.0.0/0', 'value: "0.0.0.0/0".*blackhole PREFIX'],
        [`-o ${docker}.host_ipv4=192.0.2.11 -o ${docker}.bridge.enable_ip_masquerade=false`, 'has no meaning with'],
        // Engines from 27 on read it themselves: IPv6 is there, or not.
        ...(isNew(engine)
          ? []
          : [
              [
                `-o ${docker}.enable_ipv6=true`,
                'enable_ipv6=true, but the engine made a network without it.*--ipv6',
              ] as const,
              [
                `--ipv6 --subnet fd00:30::/64 -o ${docker}.enable_ipv6=false`,
                'enable_ipv6=false, but the engine made',
              ] as const,
            ]),
        [`--ipv6 --subnet fd00:30::/64 -o ${docker}.driver.mtu=1279`, 'MTU 1279 is too small for IPv6.*1280'],
        [`-o ${docker}.driver.mtu=67`, 'value: "67".*68 to 65535'],
        ['--subnet 10.30.0.0/24 --aux-address DefaultGatewayIPv6=10.30.0.7', 'default gateway ip must be part'],
        [
          '--ipam-driver weft-ipam --subnet 10.77.0.0/25',
          'conflicts with network .*networks have overlapping IPv4.*choose another',
        ],
        [`-o ${docker}.bridge.name=taken0`, 'networks have same bridge name: taken0'],
        [`-o ${docker}.bridge.gateway_mode_ipv4=isolated`, "gateway mode 'isolated' can only be used for an internal"],
        ['--ipam-driver null', 'ipv4 pool is empty'],
      ]
      await server.docker(`${create} --subnet 10.77.0.0/24 -o ${docker}.bridge.name=taken0 taken`)
      const routes = [...`${create} --subnet 10.30.0.0/24 -o`.split(' '), 'weft.routes=10.9.0.0/16 via 10.8.0.1', 'no']
      assert.match(await server.docker(routes, { fails: true }), 'route 10.9.0.0/16 leads by 10.8.0.1, which no subnet')
      for (const [flags, text] of refused) {
        const complaint = await server.docker(`${create} ${flags} no`, { fails: true })
        assert.match(complaint, new RegExp(text, 's'), `${flags}: ${complaint}`)
      }
      const known = `-o ${docker}.advertise_addr_nmsgs=0 -o ${docker}.advertise_addr_ms=100`
      await server.docker(`${create} -o weft.strict=false -o weft.antispof=true ${known} lenient`)
      await server.docker(`${create} --ipv6 --subnet fd00:30::/64 -o ${docker}.enable_ipv6=true six`)
      if (isNew(engine)) {
        await server.docker(`${create} -o ${docker}.enable_ipv6=true read`)
        assert.is(await server.docker(['network', 'inspect', '-f', '{{.EnableIPv6}}', 'read']), 'true')
      }
      await eventually('the log says what was ignored', () => server.weftd?.log().includes('weft.antispof'))
      await server.docker('create --name www probe')
      const options: readonly (readonly [option: string, text: string])[] = [
        ['weft.link=lo', 'value: "lo".*at most 15 characters'],
        ['weft.lnk=web', 'weft-bridge has no endpoint option weft.lnk.*weft.link'],
      ]
      for (const [option, text] of options) {
        await server.docker(['network', 'connect', '--driver-opt', option, 'lenient', 'www'])
        assert.match(await server.docker('start www', { fails: true }), new RegExp(text, 's'), option)
        await server.docker('network disconnect -f lenient www')
      }
      await server.docker('rm -f www')
    }))

  test(`publish modes, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()

/** The same table, with no answer anywhere. */
function silent(table: string): string {
  return table.replace(/\S+$/gm, '-')
}
