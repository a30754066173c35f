/** What the kernel says about the link that is to be asked on, and about addresses of the machine itself. */
import { setTimeout as sleep } from 'node:timers/promises'
import { kernelError } from '../netlink/errors.ts'
import { request, type NetlinkSocket } from '../netlink/socket.ts'
import { addressInfoOf, getAddress } from '../rtnl/addr.ts'
import { IFF_UP } from '../rtnl/ifinfomsg.ts'
import { getLink, SKIP_STATS } from '../rtnl/link.ts'
import { addressOf, familyOf, type Ip } from '../value/ip.ts'
import { macFromBytes, type Mac } from '../value/mac.ts'
import type { Holder } from './ethernet.ts'

export interface Link {
  readonly index: number
  readonly mac: Mac
}

/** For errors: `probe`, `10.0.0.5 on eth0`. */
export interface About {
  readonly op: string
  readonly object: string
}

/** Source: include/uapi/linux/if_arp.h. */
const ARPHRD_ETHER = 1
/** Source: include/uapi/linux/if.h: up, with carrier, and allowed to send. */
const IFF_RUNNING = 0x40
/** The kernel looks at carriers once a second. */
const startMs = 1200
const looks = 24
const families = { 4: 2, 6: 10 } as const

/**
 * A link whose carrier came just now drops what it is given until the kernel has started its queue: that is waited for.
 * Rejects with KernelError: ENODEV not there, ENETDOWN not up, ENOLINK nobody at the other end, EOPNOTSUPP not
 * Ethernet.
 */
export async function linkToAsk(kernel: NetlinkSocket, name: string, about: About): Promise<Link> {
  for (let look = 1; ; look += 1) {
    const question = request(getLink, {}, { ifname: name, extMask: SKIP_STATS }, about)
    const [found] = await kernel.find(getLink, [question], [])
    if (!found) throw kernelError('ENODEV', about)
    const { header, attrs } = found
    const mac = attrs.address
    if (header.type !== ARPHRD_ETHER || mac === undefined) {
      throw kernelError('EOPNOTSUPP', { ...about, kernelText: 'not an Ethernet link' })
    }
    if ((header.flags & IFF_UP) === 0) throw kernelError('ENETDOWN', { ...about, kernelText: 'the link is down' })
    if (header.flags & IFF_RUNNING) return { index: header.index, mac }
    if (attrs.carrier === 0 || look === looks) {
      throw kernelError('ENOLINK', { ...about, kernelText: 'the link has no carrier' })
    }
    await sleep(startMs / looks)
  }
}

export interface OwnHolder extends Holder {
  /** The link of this namespace that has the address. */
  readonly link: string
}

/** Those of the addresses that links of the same namespace have: they do not answer questions of their own machine. */
export async function heldHere(
  kernel: NetlinkSocket,
  wanted: ReadonlySet<Ip>,
  about: About,
): Promise<readonly OwnHolder[]> {
  const holders: OwnHolder[] = []
  for (const family of new Set(Array.from(wanted, familyOf))) {
    for (const entry of await kernel.dump(getAddress, { family: families[family] }, {}, about)) {
      const info = addressInfoOf(entry.header, entry.attrs)
      if (!info || !wanted.has(addressOf(info.cidr))) continue
      const question = request(getLink, { index: info.linkIndex }, { extMask: SKIP_STATS }, about)
      const [link] = await kernel.find(getLink, [question], ['ENODEV'])
      if (!link) continue
      const { ifname = '', address: mac = macFromBytes(new Uint8Array()) } = link.attrs
      holders.push({ address: addressOf(info.cidr), mac, link: ifname })
    }
  }
  return holders
}
