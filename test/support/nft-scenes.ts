/** Namespaces around a host with weft's tables: two routed neighbours, and two ports of a bridge. Needs root. */
import { execFile } from 'node:child_process'
import * as assert from 'uvu/assert'
import { inNetns, writeSysctl } from '../../native/ffi/netns.ts'
import type { Nft } from '../../native/nft/batch.ts'
import { scratch, type Scratch } from './scratch.ts'

export interface RoutedScene extends AsyncDisposable {
  readonly host: Scratch
  /** 10.1.0.2 behind the host's link `left`, 10.2.0.2 and 10.2.0.3 behind `right`. */
  readonly left: Scratch
  readonly right: Scratch
  readonly nft: Nft
}

export function routedScene(): RoutedScene {
  const host = scratch()
  const left = neighbour(host, 'left', ['10.1.0.2/16'])
  const right = neighbour(host, 'right', ['10.2.0.2/16', '10.2.0.3/16'])
  host.run('ip addr add 10.1.0.1/16 dev left')
  host.run('ip addr add 10.2.0.1/16 dev right')
  left.run('ip route add 10.2.0.0/16 via 10.1.0.1')
  right.run('ip route add 10.1.0.0/16 via 10.2.0.1')
  inNetns(host.path, () => {
    writeSysctl('net.ipv4.ip_forward', '1')
  })
  return withNft({ host, left, right })
}

export interface SwitchedScene extends AsyncDisposable {
  readonly host: Scratch
  /** 10.3.0.1 and fd00:3::1 behind `port0` of the bridge, and .2 and ::2 behind `port1`. */
  readonly one: Scratch
  readonly two: Scratch
  readonly nft: Nft
}

export function switchedScene(): SwitchedScene {
  const host = scratch()
  host.run('ip link add br0 type bridge mcast_snooping 0')
  host.run('ip link set br0 up')
  const [one, two] = ([0, 1] as const).map(index => {
    const last = index + 1
    const made = neighbour(host, `port${index}`, [`10.3.0.${last}/16`, `fd00:3::${last}/64`])
    host.run(`ip link set port${index} master br0`)
    return made
  }) as [Scratch, Scratch]
  return withNft({ host, one, two })
}

export async function pings(from: Scratch, address: string, ...options: readonly string[]): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    if (await answers(from, address, options)) return
    assert.ok(attempt < 10, `${address} does not answer`)
  }
}

export async function pingsNot(from: Scratch, address: string, ...options: readonly string[]): Promise<void> {
  assert.not(await answers(from, address, options), `${address} answers`)
}

function answers(from: Scratch, address: string, options: readonly string[]): Promise<boolean> {
  const words = [`--net=${from.path}`, '--', 'ping', '-c', '1', '-W', '1', ...options, address]
  return new Promise(resolve => {
    execFile('nsenter', words, error => {
      resolve(!error)
    })
  })
}

/** A namespace with eth0, whose other end is `link` of the host. */
function neighbour(host: Scratch, link: string, addresses: readonly string[]): Scratch {
  const made = scratch()
  host.run(`ip link add ${link} type veth peer name eth0 netns ${made.path}`)
  host.run(`ip link set ${link} up`)
  made.run('ip link set lo up')
  made.run('ip link set eth0 up')
  for (const address of addresses)
    made.run(`ip addr add ${address} dev eth0`, ...(address.includes(':') ? ['nodad'] : []))
  return made
}

function withNft<T extends Readonly<Record<string, Scratch>> & { readonly host: Scratch }>(
  places: T,
): T & AsyncDisposable & { readonly nft: Nft } {
  const nft = places.host.nft()
  return {
    ...places,
    nft,
    async [Symbol.asyncDispose]() {
      await nft[Symbol.asyncDispose]()
      for (const place of Object.values(places)) place[Symbol.dispose]()
    },
  }
}
