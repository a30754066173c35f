/** The quick part of a snapshot: what calls of an engine change, and how many records there are. */
import type { Shell } from './crash-shell.ts'
import type { Host, Snapshot } from './lab.ts'

/** The carrier of links, which the kernel tells up to a second late. */
const carrier = /\b(UNKNOWN|DOWN|UP)\b(?!>)|NO-CARRIER,|,LOWER_UP| linkdown/g

export async function look(host: Host, shell: Shell): Promise<Snapshot> {
  const [kernel, status] = await Promise.all([
    shell.run(`ip -br link; ip -br address | sed 's/fe80[^ ]*//'; ip route show table all | grep -v -e fe80 -e ff00
      ss -Hltun; nft list table inet weft || true; ls /run/netns || true`),
    host.admin('/v1/status'),
  ])
  const { counts } = JSON.parse(status.body) as { readonly counts: object }
  const lines = kernel.split('\n').map(line => line.replace(carrier, '').replace(/ +/g, ' ').trimEnd())
  return { kernel: lines, records: [JSON.stringify(counts)] }
}
