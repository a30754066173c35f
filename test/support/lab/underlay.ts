/** The network between the hosts: a bridge in a namespace of its own, which is also their way "out" (192.0.2.1). */
import type { Host } from './host.ts'
import { run, words } from './process.ts'

export interface Connection {
  readonly name: string
  readonly pid: number
  readonly ip4: string
  readonly ip6: string
  readonly forward: 0 | 1
}

const cutTable = `
table bridge part {
  set cut { type ifname; }
  chain forward { type filter hook forward priority 0; policy accept; iifname @cut drop; oifname @cut drop
  }
}`

export class Underlay {
  /** The host on which the bridge lives: a place outside of all others, without engine. */
  readonly outside: Host

  private constructor(outside: Host) {
    this.outside = outside
  }

  static async start(outside: Host): Promise<Underlay> {
    await outside.sh(`
      ip link add ul0 type bridge mcast_snooping 0
      ip address add ${outside.ip4}/24 dev ul0
      ip address add ${outside.ip6}/64 dev ul0 nodad
      ip link set ul0 up
      nft -f - <<'TABLE'${cutTable}\nTABLE`)
    return new Underlay(outside)
  }

  /** Gives a host its eth0. The peer is born inside the host, so that no link ever stands in the machine's namespace. */
  async connect({ name, pid, ip4, ip6, forward }: Connection): Promise<void> {
    // The machine's own ip, which sees the machine's process numbers; newer ones look the namespace up in /proc.
    // A machine has the same card after a reboot, and its neighbours know it.
    const mac = `02:00:00:00:02:${Number(ip4.split('.').at(-1)).toString(16).padStart(2, '0')}`
    const veth = `ip link add u-${name} master ul0 up type veth peer name eth0 address ${mac} netns ${pid}`
    // The one from before a reboot goes with its namespace, which the kernel may not have got round to.
    await this.outside.sh(`[ ! -e /sys/class/net/u-${name} ] || ip link delete u-${name}`)
    await run(['nsenter', '-t', String(this.outside.pid), '-n', '--', ...words(veth)])
    await run([
      ...['nsenter', '-t', String(pid), '-m', '-n', '--', 'bash', '-euc'],
      `echo ${forward} >/proc/sys/net/ipv4/ip_forward
       echo 0 >/proc/sys/net/ipv6/conf/all/forwarding
       ip address add ${ip4}/24 dev eth0
       ip address add ${ip6}/64 dev eth0 nodad
       ip link set eth0 up
       ip route add default via ${this.outside.ip4}
       ip -6 route add default via ${this.outside.ip6}`,
    ])
    // Until the kernel has seen its carrier, which a busy machine takes seconds for, a link drops what it is given.
    const isUp = (link: string): string => `until ip -br link show ${link} | grep -q ' UP '; do sleep 0.02; done`
    await run(['nsenter', '-t', String(pid), '-n', '--', 'sh', '-c', isUp('eth0')])
    await run(['nsenter', '-t', String(this.outside.pid), '-n', '--', 'sh', '-c', isUp(`u-${name}`)])
  }

  /** Loses every frame of a host, both ways, without the host seeing its carrier go. */
  async cut(host: Host): Promise<void> {
    await this.outside.run(['nft', 'add', 'element', 'bridge', 'part', 'cut', `{ u-${host.name} }`])
  }

  async heal(host: Host): Promise<void> {
    await this.outside.run(['nft', 'delete', 'element', 'bridge', 'part', 'cut', `{ u-${host.name} }`])
  }

  /** Pulls the cable: the host sees NO-CARRIER. */
  async unplug(host: Host): Promise<void> {
    await this.outside.run(`ip link set u-${host.name} down`)
  }

  async plug(host: Host): Promise<void> {
    await this.outside.run(`ip link set u-${host.name} up`)
  }
}
