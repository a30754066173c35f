/**
 * Duplicate address detection: before an address is used in a segment, everybody there is asked who has it.
 *
 * What a link hears is what comes in on it. So on a parent of macvlan links the wire is asked, but not the machine's
 * own macvlan links, which do not hear their parent; on a macvlan link in bridge mode both are. Addresses of the
 * namespace itself are looked up, since a machine does not answer its own questions.
 */
import { inNetns, type Netns } from '../ffi/netns.ts'
import { SystemError } from '../ffi/errno.ts'
import { asKernelError, kernelError } from '../netlink/errors.ts'
import { NetlinkSocket, protocols } from '../netlink/socket.ts'
import { familyOf, type Ip } from '../value/ip.ts'
import type { Mac } from '../value/mac.ts'
import { arpHolder, arpProbe } from './arp.ts'
import type { Holder } from './ethernet.ts'
import { claims, sentBy } from './filters.ts'
import { heldHere, linkToAsk, type About, type Link, type OwnHolder } from './link.ts'
import * as ndp from './ndp.ts'
import { talk, type Talk } from './talk.ts'
import { scheduleOf, type Timing } from './timing.ts'

export type { Holder, OwnHolder, Timing }

interface Where {
  /** That of the calling thread when left out. */
  readonly netns?: Netns
  /** Name of an Ethernet link, up. */
  readonly link: string
  /** `fast` when left out. */
  readonly timing?: Timing
  /** Rejects with its reason. */
  readonly signal?: AbortSignal
}

export interface Probe extends Where {
  readonly addresses: readonly Ip[]
  /** Who is going to use them; the link itself when left out. Frames are sent from it. */
  readonly mac?: Mac
}

export interface MacSearch extends Where {
  readonly mac: Mac
  /** Those that it is going to have: whoever has the MAC and one of them is found for certain. */
  readonly addresses?: readonly Ip[]
}

/** Silence that ends a probe, once somebody has answered. */
const graceMs = 100
/** The link went down (ENETDOWN) or away (ENODEV, ENXIO) meanwhile. */
const lost = ['ENETDOWN', 'ENODEV', 'ENXIO']

/**
 * Who else has one of the addresses, or is about to use it: as soon as all are known, or when 0.1 s after an answer
 * there was no more, so that some may be missing. Empty: nobody answered until the end; they are free. Of two that
 * probe at the same time one at least hears of the other. Whoever has `mac` itself is no other: switches that answer
 * for their hosts name it when a container comes back. An address of this namespace is always somebody else's.
 *
 * Rejects with KernelError: ENODEV, ENETDOWN when the link is not there or down, now or meanwhile; ENOLINK when it has
 * no carrier, so that nobody could be asked; EOPNOTSUPP when it is not an Ethernet link.
 */
export async function probe(wish: Probe): Promise<readonly (Holder | OwnHolder)[]> {
  const wanted = new Set(wish.addresses)
  if (wanted.size === 0) return []
  const found = new Map<string, Holder>()
  const enough = new AbortController()
  const unknown = new Set(wanted)
  let grace: NodeJS.Timeout | undefined
  const note = (holder: Holder): void => {
    found.set(`${holder.address} ${holder.mac}`, holder)
    unknown.delete(holder.address)
  }
  const ask = async (segment: Segment): Promise<void> => {
    const { link, kernel, about } = segment
    for (const own of await heldHere(kernel, wanted, about)) note(own)
    if (found.size > 0) return
    const mac = wish.mac ?? link.mac
    await segment.talk({
      filter: claims,
      frames: Array.from(wanted, address =>
        familyOf(address) === 4 ? arpProbe(address, mac) : ndp.duplicateSolicitation(address, mac),
      ),
      hearing: mac === link.mac ? groupsOf(wanted) : [mac, ...groupsOf(wanted)],
      enough: enough.signal,
      onFrame: frame => {
        const holder = arpHolder(frame) ?? ndp.ndpHolder(frame)
        if (!holder || holder.mac === mac || !wanted.has(holder.address)) return
        note(holder)
        if (unknown.size === 0) enough.abort()
        clearTimeout(grace)
        grace = setTimeout(() => {
          enough.abort()
        }, graceMs)
      },
    })
  }
  try {
    await inSegment(wish, { op: 'probe', object: `${listed(wish.addresses)} on ${wish.link}` }, ask)
  } finally {
    clearTimeout(grace)
  }
  return [...found.values()]
}

/**
 * Does somebody in the segment have this MAC already? True is certain: a frame came in that it sent. False is not: who
 * has it may be silent. It is asked for its IPv6 link-local address, by a ping to all nodes that only it can hear, and
 * for `addresses`; so a Linux machine with IPv6 is found, and one without when it has one of the addresses, or happens
 * to speak to everybody. To be called before `probe`, whose frames make the switches look for this MAC at this link.
 * Not for the MAC of the link itself, so not for ipvlan. Links on the same parent are found by their records: in all
 * modes but vepa nothing of them comes in.
 *
 * Rejects as `probe` does.
 */
export async function findMac(wish: MacSearch): Promise<boolean> {
  const { mac, addresses = [] } = wish
  const enough = new AbortController()
  await inSegment(wish, { op: 'look for', object: `MAC ${mac} on ${wish.link}` }, async segment => {
    const from = segment.link.mac
    await segment.talk({
      filter: sentBy(mac),
      frames: [
        ndp.neighbourSolicitation(ndp.linkLocal(mac), from),
        ndp.pingMac(mac, from),
        ...addresses.map(address =>
          familyOf(address) === 4 ? arpProbe(address, from) : ndp.neighbourSolicitation(address, from),
        ),
      ],
      hearing: [ndp.allNodesMac, ndp.groupMac(ndp.solicitedNode(ndp.linkLocal(from)))],
      enough: enough.signal,
      onFrame: () => {
        enough.abort()
      },
    })
  })
  return enough.signal.aborted
}

interface Segment {
  readonly kernel: NetlinkSocket
  readonly about: About
  readonly link: Link
  readonly talk: (what: Pick<Talk, 'filter' | 'frames' | 'hearing' | 'enough' | 'onFrame'>) => Promise<void>
}

/** Asks on a link that is able to carry the question from its beginning to its end. */
async function inSegment(where: Where, about: About, ask: (segment: Segment) => Promise<void>): Promise<void> {
  const { netns, timing = 'fast', signal } = where
  const place = <T>(work: () => T): T => (netns === undefined ? work() : inNetns(netns, work))
  signal?.throwIfAborted()
  try {
    await using kernel = place(() => new NetlinkSocket(protocols.route))
    const link = await linkToAsk(kernel, where.link, about)
    const check = async (): Promise<void> => {
      signal?.throwIfAborted()
      const { index } = await linkToAsk(kernel, where.link, about)
      if (index !== link.index) throw kernelError('ENODEV', { ...about, kernelText: 'the link was made anew' })
    }
    try {
      await ask({
        ...{ kernel, about, link },
        talk: async what => {
          const enough = signal ? AbortSignal.any([signal, what.enough]) : what.enough
          await talk({ ...what, place, linkIndex: link.index, schedule: scheduleOf(timing), enough })
          if (!what.enough.aborted) await check()
        },
      })
    } catch (error) {
      if (error instanceof SystemError && lost.includes(error.code)) await check()
      throw error
    }
  } catch (error) {
    throw asKernelError(error, about.op, about.object)
  }
}

function groupsOf(addresses: ReadonlySet<Ip>): readonly Mac[] {
  const groups = Array.from(addresses)
    .filter(address => familyOf(address) === 6)
    .map(address => ndp.groupMac(ndp.solicitedNode(address)))
  return groups.length === 0 ? [] : [...new Set([ndp.allNodesMac, ...groups])]
}

/** `10.0.0.5, fd00::5 and 7 more` */
function listed(addresses: readonly Ip[]): string {
  const some = addresses.slice(0, 2).join(', ')
  return addresses.length > 2 ? `${some} and ${addresses.length - 2} more` : some
}
