/**
 * The bridge driver's rules with real packets: a host with four networks of weft, bridges of somebody else, and two
 * links to the outside. Every probe tells which source address the server saw, or that nothing came through.
 */
import { execFile } from 'node:child_process'
import { createServer } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bridgeRulesets } from '../../drivers/bridge/ruleset.ts'
import { tableName } from '../../drivers/names.ts'
import { inNetns, writeSysctl } from '../../native/ffi/netns.ts'
import type { Element } from '../../native/kernel/resource.ts'
import { scratch, type Scratch } from '../support/scratch.ts'

const marks = { allowed: 0x100000, hairpin: 0x200000, acceptValue: 1, acceptMask: 0 }

/** From, to, port, and the address that the server sees. */
type Case = readonly [from: string, to: string, port: number, seen: string]
const no = '-'
/** Probes under way: silence must not be want of time. */
const beside = 8

/** Bridges and their subnets: 172.N.0.0/16 and fd00:N::/64; containers are .2 and .3. */
const bridges = {
  wba: { net: 18, containers: ['a2', 'a3'] },
  wbb: { net: 19, containers: ['b2'] },
  wbi: { net: 20, containers: ['i2', 'i3'] },
  wbo: { net: 21, containers: ['o2', 'o3'] },
  other0: { net: 30, containers: ['f2'] },
  other1: { net: 31, containers: ['n2'] },
  up0: { net: 32, containers: ['u2', 'u3'] },
  up1: { net: 33, containers: ['w2'] },
} as const
const ours = ['wba', 'wbb', 'wbi', 'wbo'] as const

function elements(): readonly Element[] {
  const element = (set: string, key: string, value?: string): Element => ({
    type: 'element',
    table: tableName,
    set,
    key,
    ...(value !== undefined && { value }),
  })
  return [
    ...ours.flatMap(name => [element('bridges', name), element('hairpin', `${name} . ${name}`)]),
    ...(['wba', 'wbb', 'wbi'] as const).map(name => element('same', `${name} . ${name}`)),
    element('internal', 'wbi'),
    ...[18, 19, 21].flatMap(net => [element('masq4', `172.${net}.0.0/16`), element('masq6', `fd00:${net}::/64`)]),
    element('pub4any', 'tcp . 8080', '172.18.0.2 . 80'),
    element('pub6any', 'tcp . 8080', 'fd00:18::2 . 80'),
    element('pub4', '192.0.2.11 . tcp . 8081', '172.19.0.2 . 80'),
    element('pub4', '127.0.0.1 . tcp . 8083', '172.18.0.2 . 80'),
    element('pub4any', 'tcp . 8082', '172.21.0.2 . 80'),
    // As a bridge that was there before, and carries the host's own traffic.
    ...['wbb', 'up0', 'up1'].flatMap(name => [element('uplinks', name), element('switched', `${name} . ${name}`)]),
    element('open', 'ipv4 . wbo'),
    element('relayed4any', 'tcp . 80'),
    element('relayed6', 'fd00:20::1 . tcp . 80'),
    element('guarded', 'ipv4'),
    element('guarded', 'ipv6'),
  ]
}

class Town implements AsyncDisposable {
  readonly #places = new Map<string, Scratch>()
  readonly #servers: AsyncDisposable[] = []

  place(name: string): Scratch {
    const known = this.#places.get(name)
    if (known) return known
    const made = scratch()
    made.run('ip link set lo up')
    this.#places.set(name, made)
    return made
  }

  /** A pair of links: `link` on the host, eth0 in the other place. */
  connect(name: string, link: string, addresses: readonly string[], gateways: readonly string[]): void {
    const place = this.place(name)
    this.place('host').run(`ip link add ${link} type veth peer name eth0 netns ${place.path}`)
    this.place('host').run(`ip link set ${link} up`)
    place.run('ip link set eth0 up')
    for (const address of addresses) place.run(`ip addr add ${address} dev eth0 nodad`)
    for (const gateway of gateways) place.run(`ip route add default via ${gateway}`)
  }

  /** Answers every connection with the address that it came from. */
  serve(name: string): void {
    const server = createServer(socket => socket.on('error', () => undefined).end(socket.remoteAddress ?? no))
    // Without a host, Node binds at once, in the namespace that the thread is in.
    inNetns(this.place(name).path, () => {
      server.listen({ port: 80 })
    })
    this.#servers.push(server)
  }

  /** What the server at the address answered; `-` when nothing came. Silence where there should be none is tried again. */
  async probe([from, address, port, want]: Case): Promise<string> {
    for (const seconds of ['1', '3', '10']) {
      const answer = await this.#ask(from, address, port, seconds)
      if (answer !== no || want === no) return answer
    }
    return no
  }

  #ask(from: string, address: string, port: number, seconds: string): Promise<string> {
    const script = `exec 3<>/dev/tcp/${address}/${port} && cat <&3`
    const words = [`--net=${this.place(from).path}`, 'timeout', seconds, 'bash', '-c', script]
    return new Promise(resolve => {
      execFile('nsenter', words, (error, answer) => {
        resolve(error ? '-' : answer.replace('::ffff:', ''))
      })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) await server[Symbol.asyncDispose]()
    for (const place of this.#places.values()) place[Symbol.dispose]()
  }
}

interface Surroundings {
  /** bridge-nf-call-iptables */
  readonly bridgeCalls: '0' | '1'
  /** Policy of the other firewall. */
  readonly policy: 'DROP' | 'ACCEPT'
}

function build(town: Town, { bridgeCalls, policy }: Surroundings): void {
  const host = town.place('host')
  for (const [bridge, { net, containers }] of Object.entries(bridges)) {
    host.run(`ip link add ${bridge} type bridge`)
    host.run(`ip addr add 172.${net}.0.1/16 dev ${bridge}`)
    host.run(`ip addr add fd00:${net}::1/64 dev ${bridge} nodad`)
    host.run(`ip link set ${bridge} up`)
    for (const [index, name] of containers.entries()) {
      const last = index + 2
      town.connect(
        name,
        `v${name}`,
        [`172.${net}.0.${last}/16`, `fd00:${net}::${last}/64`],
        [`172.${net}.0.1`, `fd00:${net}::1`],
      )
      host.run(`ip link set v${name} master ${bridge}`)
      const isolated = bridge === 'wbo' ? 'on' : 'off'
      host.run(`ip link set v${name} type bridge_slave hairpin on isolated ${isolated}`)
      town.serve(name)
    }
  }
  for (const [name, link, net] of [
    ['out', 'eth0', '192.0.2'],
    ['far', 'eth1', '198.51.100'],
  ] as const) {
    const six = link === 'eth0' ? 'fd00:2' : 'fd00:3'
    town.connect(name, link, [`${net}.12/24`, `${six}::12/64`], [`${net}.11`, `${six}::11`])
    host.run(`ip addr add ${net}.11/24 dev ${link}`)
    host.run(`ip addr add ${six}::11/64 dev ${link} nodad`)
    town.serve(name)
  }
  const far = town.place('far')
  far.run('ip addr del 127.0.0.1/8 dev lo')
  far.run('ip route add 127.0.0.0/8 via 198.51.100.11')
  inNetns(far.path, () => {
    writeSysctl('net.ipv4.conf.eth0.route_localnet', '1')
  })
  inNetns(host.path, () => {
    const switches = [
      'net.ipv4.ip_forward',
      'net.ipv6.conf.all.forwarding',
      ...ours.map(name => `net.ipv4.conf.${name}.route_localnet`),
    ]
    for (const key of switches) writeSysctl(key, '1')
    writeSysctl('net.bridge.bridge-nf-call-iptables', bridgeCalls)
    writeSysctl('net.bridge.bridge-nf-call-ip6tables', bridgeCalls)
  })
  town.serve('host')
  // Another program's firewall, as an engine leaves it: closed but for its own bridge, one port published. Nothing leaves
  // its other bridge; what the host's links do is open.
  for (const iptables of ['iptables-nft', 'ip6tables-nft']) {
    host.run(`${iptables} -P FORWARD ${policy}`)
    host.run(`${iptables} -A FORWARD -i other1 -j DROP`)
    for (const bridge of ['other0', 'up0', 'up1']) host.run(`${iptables} -A FORWARD -i ${bridge} -j ACCEPT`)
    host.run(`${iptables} -A FORWARD -m conntrack --ctstate ESTABLISHED,DNAT -j ACCEPT`)
  }
  host.run('iptables-nft -t nat -A PREROUTING -p tcp --dport 9090 -j DNAT --to 172.30.0.2:80')
  host.run('iptables-nft -t nat -A POSTROUTING -s 172.30.0.0/16 ! -o other0 -j MASQUERADE')
}

const expected: readonly Case[] = [
  // One network.
  ['a3', '172.18.0.2', 80, '172.18.0.3'],
  ['a3', 'fd00:18::2', 80, 'fd00:18::3'],
  ['i3', '172.20.0.2', 80, '172.20.0.3'],
  ['o3', '172.21.0.2', 80, no],
  ['o3', 'fd00:21::2', 80, no],
  // The host.
  ['host', '172.18.0.2', 80, '172.18.0.1'],
  ['host', '172.20.0.2', 80, '172.20.0.1'],
  ['host', '172.21.0.2', 80, '172.21.0.1'],
  ['host', 'fd00:18::2', 80, 'fd00:18::1'],
  // Other networks, and bridges of other programs.
  ['b2', '172.18.0.2', 80, no],
  ['b2', 'fd00:18::2', 80, no],
  ['a2', '172.19.0.2', 80, no],
  ['b2', '172.20.0.2', 80, no],
  ['i2', '172.18.0.2', 80, no],
  ['a2', '172.30.0.2', 80, no],
  ['a2', 'fd00:30::2', 80, no],
  ['f2', '172.18.0.2', 80, no],
  ['f2', 'fd00:18::2', 80, no],
  // A network whose mode opens it, for those whose own firewall lets them.
  ['out', '172.21.0.2', 80, '192.0.2.12'],
  ['f2', '172.21.0.2', 80, '172.21.0.1'],
  ['n2', '172.21.0.2', 80, no],
  ['u2', '172.21.0.2', 80, '172.32.0.2'],
  // The way out.
  ['a2', '192.0.2.12', 80, '192.0.2.11'],
  ['a2', 'fd00:2::12', 80, 'fd00:2::11'],
  ['a2', '198.51.100.12', 80, '198.51.100.11'],
  ['o2', '192.0.2.12', 80, '192.0.2.11'],
  ['i2', '192.0.2.12', 80, no],
  ['i2', 'fd00:2::12', 80, no],
  ['f2', '192.0.2.12', 80, '192.0.2.11'],
  // From outside.
  ['out', '172.18.0.2', 80, no],
  ['out', 'fd00:18::2', 80, no],
  ['out', '172.20.0.2', 80, no],
  ['out', '192.0.2.11', 8080, '192.0.2.12'],
  ['out', 'fd00:2::11', 8080, 'fd00:2::12'],
  ['out', '192.0.2.11', 8081, '192.0.2.12'],
  ['far', '198.51.100.11', 8081, no],
  ['out', '192.0.2.11', 8082, '192.0.2.12'],
  ['out', '192.0.2.11', 8083, no],
  // A neighbour that routes 127.0.0.1 to the host.
  ['far', '127.0.0.1', 8083, no],
  ['far', '127.0.0.1', 8080, no],
  // A packet that is only passing through is not translated.
  ['out', '198.51.100.12', 8080, no],
  // Published, from the host and from containers.
  ['host', '192.0.2.11', 8080, '192.0.2.11'],
  ['host', 'fd00:2::11', 8080, 'fd00:2::11'],
  ['host', '127.0.0.1', 8080, '172.18.0.1'],
  ['host', '127.0.0.1', 8083, '172.18.0.1'],
  ['host', '127.0.0.1', 8081, no],
  ['a3', '192.0.2.11', 8080, '172.18.0.1'],
  ['a2', '192.0.2.11', 8080, '172.18.0.1'],
  ['a2', '172.18.0.1', 8080, '172.18.0.1'],
  ['a2', 'fd00:2::11', 8080, 'fd00:18::1'],
  ['b2', '192.0.2.11', 8080, '172.19.0.2'],
  ['b2', 'fd00:2::11', 8080, 'fd00:19::2'],
  // The other program masquerades whatever leaves its bridge.
  ['f2', '192.0.2.11', 8080, '172.18.0.1'],
  ['n2', '192.0.2.11', 8080, no],
  ['n2', 'fd00:2::11', 8080, no],
  ['u2', '192.0.2.11', 8080, '172.32.0.2'],
  ['i2', '192.0.2.11', 8080, no],
  // What the host serves itself, and the daemon's relays among that.
  ['i2', '172.20.0.1', 80, no],
  ['i2', '192.0.2.11', 80, no],
  ['i2', 'fd00:20::1', 80, no],
  ['i2', 'fd00:2::11', 80, 'fd00:20::2'],
  ['a2', '172.18.0.1', 80, '172.18.0.2'],
  ['out', '192.0.2.11', 80, '192.0.2.12'],
  ['a2', '192.0.2.11', 9090, '172.30.0.1'],
  // Links that are not weft's, on a host that forwards because weft made it.
  ['out', '198.51.100.12', 80, no],
  ['far', 'fd00:2::12', 80, no],
  ['out', '172.30.0.2', 80, no],
  ['u2', '172.33.0.2', 80, no],
  ['w2', 'fd00:32::2', 80, no],
  ['u2', '172.32.0.3', 80, '172.32.0.2'],
  ['out', '192.0.2.11', 9090, '192.0.2.12'],
]

const surroundings: readonly Surroundings[] = (['0', '1'] as const).flatMap(bridgeCalls =>
  (['DROP', 'ACCEPT'] as const).map(policy => ({ bridgeCalls, policy })),
)

for (const around of surroundings) {
  test(`ruleset: who reaches whom, bridge-nf-call-iptables ${around.bridgeCalls}, policy ${around.policy}`, async () => {
    await using town = new Town()
    build(town, around)
    await using nft = town.place('host').nft()
    const [routed] = bridgeRulesets(marks)
    assert.ok(routed)
    await nft.commit([{ op: 'replace', ruleset: routed, elements: elements() }])
    for (const family of ['ip', 'ip6'] as const) {
      const rule = { type: 'accept', family, chain: 'FORWARD', backend: 'nft', mark: marks.allowed } as const
      await nft.commit([{ op: 'accept', rule }])
    }
    // With br_netfilter the translated frame is switched, and the two ports are isolated from each other.
    const isolated = ['o3', '192.0.2.11', 8082, around.bridgeCalls === '0' ? '172.21.0.1' : no] as const
    const want = [...expected, isolated]
    const print = ([from, to, port, seen]: Case): string => `${from} -> ${to} ${port}: ${seen}`
    const have: string[] = []
    const rest = want.entries()
    const worker = async (): Promise<void> => {
      for (const [index, item] of rest) have[index] = print([item[0], item[1], item[2], await town.probe(item)])
    }
    await Promise.all(Array.from({ length: beside }, worker))
    assert.equal(have.join('\n'), want.map(print).join('\n'))
  })
}

test.run()
