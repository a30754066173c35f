/** The guest itself as a host of the lab, with a neighbour: for tests that run inside. */
import { imageTar } from '../../../scripts/engines.ts'
import { dirname } from 'node:path'
import { Host } from '../lab/host.ts'
import { words } from '../lab/process.ts'
import { accepting } from '../lab/socket.ts'
import type { Place } from '../lab/probe.ts'
import type { Snapshot } from '../lab.ts'
import { removeAll } from '../scene.ts'
import { guestVariable } from './outcome.ts'

const checkout = dirname(dirname(dirname(import.meta.dirname)))

/** The guest is a tenth as fast as the machine, and that may have other work. */
export const patience = { timeoutMs: 200_000 }
/** What the kernel does not load by itself before weft asks whether it is there. */
const modules = ['ipvlan', 'macvlan', '8021q', 'dummy', 'sctp']

export interface Guest {
  readonly host: Host
  /** A namespace of its own at the other end of the guest's eth0. */
  readonly client: Place & { readonly ip4: string; readonly ip6: string }
  readonly before: Snapshot
}

let made: Guest | undefined

/**
 * With an engine and weftd, which the first file of a run starts and leaves to the others: a start takes as long as three
 * tests. There is no tear-down, the guest is thrown away.
 */
export async function guest(): Promise<Guest> {
  if (made) {
    // What a test before left when it failed.
    await removeAll(made.host)
    return made
  }
  const wired = await wire()
  const { host } = wired
  if (!(await accepting(host.path('/run/docker.sock')))) {
    await host.run(['modprobe', '-a', ...modules])
    const daemons = [await host.startWeft(patience), await host.startEngine(patience)]
    for (const daemon of daemons) daemon.unref()
    await host.image()
    // What the kernel and the engine make once and keep.
    await host.docker('run --rm -p 65000:80 probe true')
    // A restored rule set reads the same as the first one then.
    await host.sh('iptables-save | iptables-restore; ip6tables-save | ip6tables-restore')
  }
  made = { ...wired, before: await host.snapshot() }
  return made
}

/** 192.0.2.11 and fd00:2::11 (eth0), and a neighbour with 12, its way out, unless a file before has wired them. */
async function wire(): Promise<Omit<Guest, 'before'>> {
  if (!process.env[guestVariable]) throw new Error('this would change the machine itself: run it by scripts/test guest')
  const [ip4, ip6] = ['192.0.2.11', 'fd00:2::11']
  const host = await Host.boot({
    ...{ name: 'guest', ip4, ip6, directory: '/tmp', checkout, cgroup: '/weft-guest', imageTar: await imageTar() },
    env: { PATH: process.env['PATH'] ?? '', HOME: '/root', LANG: 'C.UTF-8' },
    boot: () => Promise.resolve({ pid: 1, end: () => Promise.reject(new Error('the guest ends by itself')) }),
  })
  const client = { ip4: '192.0.2.12', ip6: 'fd00:2::12' }
  const inside = ['ip', 'netns', 'exec', 'client']
  await host.sh(`
    [ ! -e /run/netns/client ] || exit 0
    ip netns add client
    ip link add eth0 type veth peer name eth0 netns client
    ip link set eth0 up
    ip address add ${ip4}/24 dev eth0
    ip address add ${ip6}/64 dev eth0 nodad
    ip -n client link set lo up
    ip -n client link set eth0 up
    ip -n client address add ${client.ip4}/24 dev eth0
    ip -n client address add ${client.ip6}/64 dev eth0 nodad
    ip route add default via ${client.ip4}
    ip -6 route add default via ${client.ip6}`)
  return {
    host,
    client: { ...client, run: (command, options) => host.run([...inside, ...words(command)], options) },
  }
}
