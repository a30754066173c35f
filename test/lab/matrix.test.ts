/**
 * The matrix of isolation and reachability: everybody, every network, every way, both families, tcp and udp, whatever
 * the firewalls around weft are like. The tables are printed; what is expected says test/support/matrix.ts.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Ground, type Cell } from '../support/matrix-ground.ts'
import { protocols, type Protocol } from '../support/matrix-probe.ts'
import {
  everybody,
  expected,
  nameOf,
  networks,
  printed,
  ways,
  type NetworkName,
  type Seen,
  type Surroundings,
  type Way,
  type Who,
} from '../support/matrix.ts'
import { engines, forwarding6, isNew, shared } from '../support/scene.ts'

type Family = 4 | 6
const families = [4, 6] as const
const surroundings = [true, false].flatMap(brNetfilter =>
  (['DROP', 'ACCEPT'] as const).map(policy => ({ brNetfilter, policy })),
)
const options: Readonly<Record<NetworkName, string>> = {
  web: '-d weft-bridge',
  app: '-d weft-bridge',
  hidden: '-d weft-bridge --internal',
  apart: '-d weft-bridge -o com.docker.network.bridge.enable_icc=false',
  routed: `-d weft-bridge ${modes('routed')}`,
  open: `-d weft-bridge ${modes('nat-unprotected')}`,
  docker: '-d bridge',
}
/** Chains and tables that stay when the last rule has gone. */
const warm = `
  for table in iptables ip6tables; do policy=$($table -S FORWARD | head -1); $table $policy; done
  docker network create --ipv6 --subnet fd00:99::/64 warm
  docker run --rm --network warm -p 65000:80 probe true
  docker network rm warm`

for (const engine of engines('28.5')) {
  const scene = shared({ engine, warm, except: forwarding6 })

  test(`matrix, engine ${engine}: who reaches whom, and whom the server sees`, () =>
    scene.play(async scene => {
      const { server, client } = scene
      await using ground = new Ground(scene)
      for (const [index, network] of networks.entries()) {
        const pools = `--subnet ${poolOf(index, 4)} --ipv6 --subnet ${poolOf(index, 6)}`
        await server.docker(`network create ${pools} ${options[network]} ${network}`)
        for (const [family, via] of [
          [4, server.ip4],
          [6, server.ip6],
        ] as const) {
          await client.run(['ip', 'route', 'replace', poolOf(index, family), 'via', via])
        }
      }
      await ground.containers(
        Object.fromEntries(everybody.flatMap(who => (typeof who === 'string' ? [] : [[nameOf(who), flagsOf(who)]]))),
      )
      // A way out that somebody sets up inside an internal network.
      const hidden = networks.indexOf('hidden')
      for (const name of ['hidden1', 'hidden2']) {
        for (const family of families) {
          await ground.spot(name).run(['ip', 'route', 'add', 'default', 'via', gatewayOf(hidden, family)])
        }
      }
      const policies = await server.sh('for t in iptables ip6tables; do $t -S FORWARD | head -1; done')
      const [policy4 = '', policy6 = ''] = policies.split('\n')
      const failures: string[] = []
      for (const around of surroundings) {
        await server.sh(`for t in iptables ip6tables; do
            $t -P FORWARD ${around.policy}; echo ${Number(around.brNetfilter)} >/proc/sys/net/bridge/bridge-nf-call-$t
          done`)
        const circumstances = `br_netfilter ${around.brNetfilter ? 'on' : 'off'}, FORWARD policy ${around.policy}`
        const cells = questions(around, engine)
        const answers = await ground.answers(cells)
        const seen = new Map(cells.map((cell, index) => [keyOf(cell), classOf(cell, answers[index] ?? '', server)]))
        console.log(`\nengine ${engine}, ${circumstances}: ${cells.length} questions\n${table(seen)}`)
        for (const cell of cells) {
          const [have, want] = [seen.get(keyOf(cell)), cell.want]
          if (have !== want) failures.push(`${circumstances}: ${keyOf(cell)}: ${have ?? ''}, expected ${want}`)
        }
      }
      await server.sh(`iptables ${policy4}; ip6tables ${policy6}
        for t in iptables ip6tables; do echo 1 >/proc/sys/net/bridge/bridge-nf-call-$t; done`)
      assert.is(failures.join('\n'), '')
    }))

  test(`matrix, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()

interface Question extends Cell {
  readonly who: Who
  readonly target: NetworkName
  readonly way: Way
  readonly family: Family
  readonly protocol: Protocol
  readonly want: Seen
}

function questions(around: Surroundings, engine: Parameters<typeof isNew>[0]): readonly Question[] {
  return everybody.flatMap(who =>
    networks.flatMap(target =>
      ways.flatMap(way =>
        families.flatMap(family =>
          protocols.flatMap(protocol => {
            const want = expected(who, target, way, around)
            // Before 27 the engine's own networks have no rules for IPv6.
            const own = target === 'docker' || (typeof who !== 'string' && who.network === 'docker')
            if (want === undefined || (own && family === 6 && !isNew(engine))) return []
            const { address, port } = whereOf(who, target, way, family)
            const seen = want === 'closed' ? '-' : want
            if (port === 'ping' && protocol === 'udp') return []
            return [{ from: nameOf(who), address, port, protocol, seen, who, target, way, family, want }]
          }),
        ),
      ),
    ),
  )
}

function whereOf(who: Who, target: NetworkName, way: Way, family: Family): Pick<Cell, 'address' | 'port'> {
  const index = networks.indexOf(target)
  const asker = typeof who === 'string' ? index : networks.indexOf(who.network)
  const [published, local] = [8000 + index, 8100 + index]
  const lan = family === 4 ? '192.0.2.11' : 'fd00:2::11'
  const loopback = family === 4 ? '127.0.0.1' : '::1'
  switch (way) {
    case 'ping':
      return { address: addressOf(index, family, 1), port: 'ping' }
    case 'unpublished':
      return { address: addressOf(index, family, 1), port: 5001 }
    case 'direct':
      return { address: addressOf(index, family, 1), port: 5000 }
    case 'host':
      return { address: lan, port: published }
    case 'gateway':
      return { address: gatewayOf(asker, family), port: published }
    case 'loopback':
      return { address: loopback, port: published }
    case 'local':
      return { address: loopback, port: local }
    case 'localByHost':
      return { address: lan, port: local }
  }
}

/** The address that the server saw, by whose it is. */
function classOf(cell: Question, answer: string, { ip4, ip6 }: { ip4: string; ip6: string }): string {
  const { who, target, family } = cell
  if (answer === '-') return 'closed'
  if (answer === 'yes') return answer
  if (answer === gatewayOf(networks.indexOf(target), family)) return 'gateway'
  if (answer === (family === 4 ? ip4 : ip6)) return 'host'
  const own =
    typeof who === 'string'
      ? { 4: '192.0.2.12', 6: 'fd00:2::12' }[family]
      : addressOf(networks.indexOf(who.network), family, who.name)
  return answer === own ? 'own' : answer
}

/** One word where both families and protocols agree; else tcp, udp of IPv4 and of IPv6. */
function table(seen: ReadonlyMap<string, string>): string {
  return printed((who, target, way) => {
    const words = families.flatMap(family =>
      protocols.flatMap(protocol => seen.get(keyOf({ who, target, way, family, protocol })) ?? []),
    )
    const [first = ''] = words
    return words.every(word => word === first) ? first.replace('closed', '-') : words.join('/')
  })
}

function keyOf({ who, target, way, family, protocol }: Omit<Question, keyof Cell | 'want'> & { protocol: Protocol }) {
  return `${nameOf(who)} to ${target}1, ${way}, IPv${family} ${protocol}`
}

function modes(mode: string): string {
  return families.map(family => `-o com.docker.network.bridge.gateway_mode_ipv${family}=${mode}`).join(' ')
}

function flagsOf({ network, name }: Exclude<Who, string>): string {
  const index = networks.indexOf(network)
  const ports = [`${8000 + index}:5000`, `127.0.0.1:${8100 + index}:5000`, `[::1]:${8100 + index}:5000`]
  const published = ports.flatMap(port => [`-p ${port}`, `-p ${port}/udp`]).join(' ')
  const addresses = `--ip ${addressOf(index, 4, name)} --ip6 ${addressOf(index, 6, name)}`
  return `--network ${network} ${addresses} ${name === 1 ? published : ''}`
}

function poolOf(index: number, family: Family): string {
  return family === 4 ? `10.3${index}.0.0/24` : `fd00:3${index}::/64`
}

function gatewayOf(index: number, family: Family): string {
  return family === 4 ? `10.3${index}.0.1` : `fd00:3${index}::1`
}

function addressOf(index: number, family: Family, name: 1 | 2): string {
  return family === 4 ? `10.3${index}.0.1${name}` : `fd00:3${index}::1${name}`
}
