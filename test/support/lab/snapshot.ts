/** What networking leaves in a host, as text: taken before and after, the difference must be empty. */
import type { Status } from '../../../daemon/view.ts'
import type { Host } from './host.ts'

/**
 * Lines by section, sorted where the kernel's order means nothing. Counters, indices and times are left out, and what a
 * bridge of the engine gains with its first carrier and keeps: link-local addresses and their routes.
 */
export type Snapshot = Readonly<Record<string, readonly string[]>>

/** Sections whose order is meaning: rules. */
const ordered = new Set(['nft', 'iptables', 'ip6tables', 'iptables-legacy', 'ip6tables-legacy'])

const sections: Readonly<Record<string, string>> = {
  links: 'ip -d -j link',
  addresses: 'ip -o address',
  routes: 'ip route show table all; ip -6 route show table all',
  policies: 'ip rule; ip -6 rule',
  neighbours: 'ip neigh show nud permanent; ip -6 neigh show nud permanent',
  namespaces: 'ls /run/netns',
  listeners: 'ss -Hltun',
  nft: 'nft list ruleset',
  iptables: 'iptables-save',
  ip6tables: 'ip6tables-save',
  'iptables-legacy': 'iptables-legacy-save',
  'ip6tables-legacy': 'ip6tables-legacy-save',
  sysctls: String.raw`sysctl -a -r '^net\.(ipv4\.(ip_|conf)|ipv6\.conf|bridge)' | grep -E 'ip_forward|reserved|forwarding|localnet|rp_filter|_local|proxy|send_red|disable_ipv6|accept_ra |bridge-nf'`,
}

const mark = '=== '

export async function takeSnapshot(host: Host): Promise<Snapshot> {
  const script = Object.entries(sections).map(([name, command]) => `echo '${mark}${name}'; ${command}`)
  // Warnings of iptables about rules made by nft go to stderr, every run.
  const text = await host.run(['bash', '-c', `{ ${script.join('\n')}\n} 2>/dev/null`])
  const snapshot: Record<string, readonly string[]> = {}
  for (const part of text.split(mark).slice(1)) {
    const [name = '', ...lines] = part.split('\n')
    const cleaned = (name === 'links' ? linkLines(lines.join('')) : lines.map(clean)).filter(line => !boring.test(line))
    snapshot[name] = ordered.has(name) ? cleaned : cleaned.sort()
  }
  if (host.weftd) snapshot['weft'] = promised((await host.admin('/v1/status')).body)
  return snapshot
}

const boring = /^$|^#|scope link|fe80::|ff00::/

interface LinkJson {
  readonly ifname: string
  readonly mtu: number
  readonly flags: readonly string[]
  readonly group: string
  readonly address?: string
  readonly master?: string
  readonly linkinfo?: { readonly info_kind?: string; readonly info_slave_data?: Readonly<Record<string, unknown>> }
}

/** One line per link, without its carrier and the hundred settings nobody makes. */
function linkLines(json: string): readonly string[] {
  return (JSON.parse(json) as readonly LinkJson[]).map(link => {
    const { hairpin, learning, isolated, neigh_suppress: suppress } = link.linkinfo?.info_slave_data ?? {}
    const port = link.master ? `master ${link.master} ${JSON.stringify({ hairpin, learning, isolated, suppress })}` : ''
    const up = link.flags.includes('UP') ? 'up' : 'down'
    const kind = link.linkinfo?.info_kind ?? ''
    return `${link.ifname} ${kind} ${up} mtu ${link.mtu} group ${link.group} ${link.address ?? ''} ${port}`.trim()
  })
}

/** Takes out what changes by itself: interface numbers, counters, lifetimes. */
function clean(line: string): string {
  return line
    .replace(/^\d+: /, '')
    .replace(/@if\d+/g, '')
    .replace(/(valid_lft|preferred_lft|expires) \S+/g, '')
    .replace(/packets \d+ bytes \d+/g, '')
    .replace(/\[\d+:\d+\]/g, '')
    .replace(/qlen \d+/g, '')
    .replace(/\blinkdown\b/, '')
    .replace(/\s+/g, ' ')
    .trim()
}

/** How many records of each kind weftd keeps, and what it cannot keep up. */
function promised(body: string): readonly string[] {
  const status = JSON.parse(body) as Pick<Status, 'counts' | 'settle'>
  return [
    ...Object.entries(status.counts).map(([kind, count]) => `${kind} ${String(count)}`),
    ...status.settle.degraded,
  ]
}

/** What came (+) and went (-), by section; the empty string when both are alike. */
export function difference(before: Snapshot, after: Snapshot): string {
  const lines: string[] = []
  for (const section of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const had = before[section] ?? []
    const has = after[section] ?? []
    const changes = [...surplus(had, has).map(line => `- ${line}`), ...surplus(has, had).map(line => `+ ${line}`)]
    if (changes.length > 0) lines.push(`${section}:`, ...changes.map(line => `  ${line}`))
    else if (had.join('\n') !== has.join('\n')) lines.push(`${section}: the same lines in another order`)
  }
  return lines.join('\n')
}

/** Lines of `a` that `b` lacks, as often as it lacks them. */
function surplus(a: readonly string[], b: readonly string[]): readonly string[] {
  const rest = [...b]
  return a.filter(line => {
    const at = rest.indexOf(line)
    if (at >= 0) rest.splice(at, 1)
    return at < 0
  })
}
