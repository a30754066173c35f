/** A namespace as weft's kernel, with a parent whose other end is a segment of its own; for tests of links on links. */
import { Reconciler, textOf } from '../../daemon/reconcile.ts'
import { inNetns } from '../../native/ffi/netns.ts'
import { LinuxKernel } from '../../native/kernel/linux.ts'
import type { Child, IfName, Macvlan } from '../../native/kernel/resource.ts'
import { KernelError } from '../../native/netlink/errors.ts'
import { NetlinkSocket, protocols } from '../../native/netlink/socket.ts'
import { Nft } from '../../native/nft/batch.ts'
import { eventually } from './lab.ts'
import { macOf, place, type Place } from './netlink.ts'

export interface Ground extends AsyncDisposable {
  readonly net: Place
  /** At the other end of the parent, `eth0`: 192.0.2.12 and fd00:2::12. */
  readonly lan: Place
  readonly reconciler: Reconciler
  /** What was changed, and what could not be. */
  settle(): Promise<readonly string[]>
  /** Makes `eth0` with its other end in the segment; of the host 192.0.2.11 and fd00:2::11. */
  wire(): void
  unwire(): void
}

export function ground(): Ground {
  const net = place()
  const lan = place()
  const kernel = new LinuxKernel({
    rtnl: net.rtnl,
    nft: new Nft(
      inNetns(net.fd, () => new NetlinkSocket(protocols.netfilter)),
      { owner: false },
    ),
    tables: [],
    onLost(name, cause) {
      throw new Error(`${name} could not be removed`, { cause })
    },
  })
  const reconciler = new Reconciler(kernel)
  const made: Ground = {
    net,
    lan,
    reconciler,
    async settle() {
      const lines: string[] = []
      for (const difference of await reconciler.differences()) {
        const { done, failed } = await reconciler.mend(difference)
        lines.push(...done.map(({ change }) => textOf(change)))
        lines.push(...failed.map(({ cause }) => `failed: ${cause instanceof Error ? cause.message : String(cause)}`))
      }
      await kernel.idle()
      return lines
    },
    wire() {
      net.run(`ip link add eth0 up type veth peer name eth0 netns ${lan.path}`)
      lan.run('ip link set eth0 up')
      for (const [spot, last] of [
        [net, 11],
        [lan, 12],
      ] as const) {
        spot.run(`ip address add 192.0.2.${last}/24 dev eth0`)
        spot.run(`ip address add fd00:2::${last}/64 dev eth0 nodad`)
      }
    },
    unwire() {
      net.run('ip link delete eth0')
    },
    async [Symbol.asyncDispose]() {
      kernel[Symbol.dispose]()
      await net[Symbol.asyncDispose]()
      await lan[Symbol.asyncDispose]()
    },
  }
  made.wire()
  return made
}

/** A namespace that got a link of the ground's, as an engine would do it: eth0 with these addresses. */
export function contain(net: Place, name: string, ...addresses: readonly string[]): Place {
  const inside = place()
  net.run(`ip link set ${name} netns ${inside.path} name eth0`)
  inside.run('ip link set eth0 up')
  for (const address of addresses) {
    inside.run(`ip address add ${address} dev eth0${address.includes(':') ? ' nodad' : ''}`)
  }
  return inside
}

export function macvlanOn(parent: string, number: number, more: Partial<Child & Macvlan> = {}): Child {
  return {
    ...{ type: 'child', kind: 'macvlan', name: `wm${number}` as IfName, parent: parent as IfName, mode: 'bridge' },
    ...{ mac: macOf(number), alias: `weft test ${number}`, handed: false },
    ...more,
  }
}

/** Is there an answer within a second? */
export function reaches(from: Place, address: string): boolean {
  try {
    from.run(`ping -n -c 1 -W 1 ${address}`)
    return true
  } catch {
    return false
  }
}

/** All of them answer in the end, also after neighbours that were away were given up. */
export async function allReach(
  what: string,
  ways: readonly (readonly [from: Place, address: string])[],
): Promise<void> {
  for (const [from, address] of ways) {
    await eventually(`${what}: ${address} answers`, () => reaches(from, address), { timeoutMs: 30_000 })
  }
}

/** What the kernel said, when it did not do it. */
export async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (cause) {
    if (cause instanceof KernelError) return cause.message
    throw cause
  }
  throw new Error('it was not refused')
}

/** `ip -d -j link`, of one link. */
export function shown(net: Place, name: string): Shown {
  const [link] = JSON.parse(net.run(`ip -d -j link show dev ${name}`)) as Shown[]
  if (!link) throw new Error(`ip shows no ${name}`)
  return link
}

export interface Shown {
  readonly link?: string
  readonly flags: readonly string[]
  readonly mtu: number
  readonly txqlen: number
  readonly address: string
  readonly ifalias?: string
  readonly linkinfo: { readonly info_kind: string; readonly info_data?: Readonly<Record<string, unknown>> }
}

/** Names of the links there, without the loopback. */
export async function linksOf({ rtnl }: Place): Promise<readonly string[]> {
  return (await rtnl.links())
    .map(({ name }) => name)
    .filter(name => name !== 'lo')
    .sort()
}
