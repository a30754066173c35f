/**
 * Who reaches whom, and whom the server sees: what weft-bridge documents, as a function. A test asks every cell of real
 * networks and compares.
 *
 * | network  | what it is                              |
 * |----------|-----------------------------------------|
 * | web, app | gateway mode nat, the default           |
 * | hidden   | `--internal`                            |
 * | apart    | `enable_icc=false`                      |
 * | routed   | gateway mode routed                     |
 * | open     | gateway mode nat-unprotected            |
 * | docker   | of the engine's own bridge driver       |
 *
 * Each has a container `x1`, which publishes a port on every address of the host and another one on 127.0.0.1 and
 * `[::1]`, and a neighbour `x2`, which publishes nothing.
 */
export const networks = ['web', 'app', 'hidden', 'apart', 'routed', 'open', 'docker'] as const
export type NetworkName = (typeof networks)[number]

/** The host itself, a neighbour in the LAN that has routes to the networks, or a container. */
export type Who = 'host' | 'lan' | { readonly network: NetworkName; readonly name: 1 | 2 }

/**
 * To the container `x1` of a network. `ping`: by its own address, an echo request. `unpublished`, `direct`: by its own address, to a port that it does not publish or
 * does. `host`, `gateway`: to the published port by the host's address in the LAN, or by the gateway of the one who asks
 * (from the LAN: of the one who is asked). `loopback`: to the same by 127.0.0.1 or `[::1]`, on the host only. `local`:
 * to the port that is published on 127.0.0.1 and `[::1]` only; `localByHost`: the same port by the host's address.
 */
export const ways = ['ping', 'unpublished', 'direct', 'host', 'gateway', 'loopback', 'local', 'localByHost'] as const
export type Way = (typeof ways)[number]

/** `yes`: pings are answered. `own`: the client's own address. `gateway`: that of the server's gateway. `host`: that of the host in the LAN. */
export type Seen = 'own' | 'gateway' | 'host' | 'yes' | 'closed'

export interface Surroundings {
  /** Do frames that are switched within a bridge pass the host's rules? */
  readonly brNetfilter: boolean
  /** Of the chain FORWARD. It makes no difference. */
  readonly policy: 'DROP' | 'ACCEPT'
}

/** Undefined: nothing that weft has a say in, not asked. */
export function expected(who: Who, target: NetworkName, way: Way, around: Surroundings): Seen | undefined {
  const loopback = way === 'loopback' || way === 'local'
  if (loopback && who !== 'host') return undefined
  // What the engine's own networks are to the host, the LAN and themselves is the engine's to say.
  if (target === 'docker' && (who === 'host' || who === 'lan' || who.network === 'docker')) return undefined
  if (way === 'ping') {
    // A process for each: those of one container in a network will do.
    if (typeof who !== 'string' && who.name !== 1) return undefined
    // Mode routed answers whom its published ports answer.
    return byOwnAddress(who, target, 'direct') === 'closed' ? 'closed' : 'yes'
  }
  if (way === 'unpublished' || way === 'direct') return byOwnAddress(who, target, way)
  if (way === 'localByHost') return 'closed'
  // Internal networks publish nothing; routed ones are open by their own addresses instead.
  if (target === 'hidden' || target === 'routed') return 'closed'
  return published(who, target, way, around)
}

function byOwnAddress(who: Who, target: NetworkName, way: 'unpublished' | 'direct'): Seen {
  // The host is a neighbour in all its networks.
  if (who === 'host') return 'gateway'
  // Mode routed: published ports, for everyone but internal networks.
  const routed = target === 'routed' && way === 'direct'
  // Mode nat-unprotected: every port, for everyone but other networks of weft.
  if (who === 'lan') return routed || target === 'open' ? 'own' : 'closed'
  if (who.network === target) return target !== 'apart' || who.name === 1 ? 'own' : 'closed'
  // Its own driver masquerades what leaves it.
  if (who.network === 'docker') return routed || target === 'open' ? 'gateway' : 'closed'
  return routed && who.network !== 'hidden' ? 'own' : 'closed'
}

function published(who: Who, target: NetworkName, way: Way, { brNetfilter }: Surroundings): Seen {
  // The host keeps the address that it asked from, except where no container could answer: a loopback address.
  if (who === 'host') return way === 'host' ? 'host' : 'gateway'
  if (who === 'lan') return 'own'
  // An internal network reaches nobody, not even what others publish.
  if (who.network === 'hidden') return 'closed'
  if (who.network === target) {
    // Hairpin: the answer must come back the same way. With br_netfilter the frame is switched, between ports that
    // are isolated from each other, the own one included.
    return target === 'apart' && brNetfilter ? 'closed' : 'gateway'
  }
  if (who.network === 'docker') return 'gateway'
  // Out of weft's networks, to somebody else's: as to anywhere else, and not from mode routed.
  if (target === 'docker') return who.network === 'routed' ? 'own' : 'gateway'
  // Between weft's networks nothing is rewritten.
  return 'own'
}

export const everybody: readonly Who[] = [
  'host',
  'lan',
  ...networks.flatMap(network => ([1, 2] as const).map(name => ({ network, name }))),
]

/** `web1`; the host and the LAN by their names. */
export function nameOf(who: Who): string {
  return typeof who === 'string' ? who : `${who.network}${who.name}`
}

/** A row for each way to each network, a column for everybody. `rows` of cells as text. */
export function printed(cell: (who: Who, target: NetworkName, way: Way) => string): string {
  const words = [
    ['', ...everybody.map(nameOf)],
    ...networks.flatMap(target =>
      ways.map(way => [`${target}1 ${way}`, ...everybody.map(who => cell(who, target, way))]),
    ),
  ]
  const widths = words[0]?.map((_, column) => Math.max(...words.map(row => row[column]?.length ?? 0))) ?? []
  return words
    .map(row =>
      row
        .map((word, column) => word.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
