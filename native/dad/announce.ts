/**
 * Telling a segment who has an address now. Whoever remembers another MAC for it goes on sending there for up to a
 * minute otherwise.
 */
import { inNetns, type Netns } from '../ffi/netns.ts'
import { asKernelError } from '../netlink/errors.ts'
import { NetlinkSocket, protocols } from '../netlink/socket.ts'
import { familyOf, type Ip } from '../value/ip.ts'
import type { Mac } from '../value/mac.ts'
import { arpAnnouncement } from './arp.ts'
import { claims } from './filters.ts'
import { linkToAsk } from './link.ts'
import { advertisement } from './ndp.ts'
import { talk } from './talk.ts'

export interface Announcement {
  /** That of the calling thread when left out. */
  readonly netns?: Netns
  /** Name of an Ethernet link, up. */
  readonly link: string
  readonly addresses: readonly Ip[]
  /** Who has them. Frames are sent from it. */
  readonly mac: Mac
}

/** RFC 5227 2.3 sends two, 2 s apart; RFC 4861 7.2.6 three, 1 s apart. */
const schedule = { pausesMs: [0, 1000, 1000], listenMs: 0 }

/** Resolves when the last one is sent. Rejects with KernelError, as `probe` does. */
export async function announce({ netns, link, addresses, mac }: Announcement): Promise<void> {
  const about = { op: 'announce', object: `${addresses.join(', ')} on ${link}` }
  const place = <T>(work: () => T): T => (netns === undefined ? work() : inNetns(netns, work))
  try {
    await using kernel = place(() => new NetlinkSocket(protocols.route))
    const { index } = await linkToAsk(kernel, link, about)
    await talk({
      ...{ place, linkIndex: index, filter: claims, hearing: [], schedule },
      frames: addresses.map(address =>
        familyOf(address) === 4 ? arpAnnouncement(address, mac) : advertisement(address, mac),
      ),
      onFrame: () => undefined,
      enough: new AbortController().signal,
    })
  } catch (error) {
    throw asKernelError(error, about.op, about.object)
  }
}
