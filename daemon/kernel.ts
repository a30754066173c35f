/** The kernel as the daemon uses it: the sockets, what changes it, and what is read from it. */
import type { Facts } from '../drivers/driver.ts'
import { ownTables } from '../drivers/names.ts'
import { Conntrack } from '../native/conntrack/conntrack.ts'
import type { ContainerSubnet } from '../native/conntrack/direct.ts'
import { announce } from '../native/dad/announce.ts'
import { findMac, probe } from '../native/dad/dad.ts'
import { LinkKinds } from '../native/kernel/features.ts'
import { isMarked } from '../native/kernel/kinds/link.ts'
import { LinuxKernel } from '../native/kernel/linux.ts'
import type { IfName, Resource } from '../native/kernel/resource.ts'
import type { KernelError } from '../native/netlink/errors.ts'
import { NetlinkSocket, protocols } from '../native/netlink/socket.ts'
import { Nft } from '../native/nft/batch.ts'
import { Rtnl } from '../native/rtnl/rtnl.ts'
import type { Cidr } from '../native/value/ip.ts'
import type { Config } from './config.ts'
import type { Segment } from './duplicates.ts'
import { gatherFacts, givenFacts, routedSubnets } from './facts.ts'
import type { Log } from './log.ts'

export interface HostKernel extends AsyncDisposable {
  readonly rtnl: Rtnl
  readonly nft: Nft
  readonly kernel: LinuxKernel
  readonly segment: Segment
  /** Of the socket that makes weft's own changes of nftables. */
  readonly nftPortId: number
  gather(): Promise<Omit<Facts, 'forwarded'>>
  /** Names of the links with weft's mark: others may have a name that a user once chose for one of weft's. */
  links(): Promise<ReadonlySet<IfName>>
  /** Where the host's routes lead to, as read last. */
  routed(): readonly Cidr[]
  readRoutes(): Promise<void>
  /** Ends flows to published ports that go elsewhere: an earlier process may have died before it did. */
  forgetFlows(published: readonly Resource[]): Promise<void>
  /** Ends flows that began while weft's rules were gone. */
  forgetDirect(subnets: readonly ContainerSubnet[]): Promise<void>
}

export interface KernelOptions {
  readonly config: Config
  readonly log: Log
  /** Called before and after every change: tests crash there. */
  readonly point: () => void
  /** A link whose removal was queued is still there. */
  readonly onLost: () => void
}

export async function openKernel({ config, log, point, onLost }: KernelOptions): Promise<HostKernel> {
  await using opened = new AsyncDisposableStack()
  const given = givenFacts(config)
  const rtnl = opened.use(new Rtnl())
  const netfilter = new NetlinkSocket(protocols.netfilter)
  const nft = opened.use(new Nft(netfilter, { owner: config.tableOwner === 'auto' }))
  const conntrack = opened.use(
    new Conntrack(new NetlinkSocket(protocols.netfilter), {
      addresses: () => rtnl.addresses(),
      onStale(cause) {
        log.warn({ err: cause }, 'flows to a published port may still go to where it led before')
      },
    }),
  )
  const kernel = opened.use(
    new LinuxKernel({
      rtnl,
      nft,
      conntrack,
      tables: ownTables,
      point,
      onLost(name, cause) {
        log.warn({ link: name, err: cause }, 'a link could not be removed')
        onLost()
      },
    }),
  )
  const linkKinds = new LinkKinds()
  let doubted = false
  const onDoubt = (cause: KernelError): void => {
    if (!doubted) log.warn({ err: cause }, 'another firewall cannot be read: it may drop what weft allows')
    doubted = true
  }
  let subnets: readonly Cidr[] = []
  let known: Omit<Facts, 'forwarded'> | undefined
  const all = opened.move()
  return {
    rtnl,
    nft,
    kernel,
    segment: {
      holders: question => probe(question),
      hasMac: question => findMac(question),
      async announce(news) {
        // The host itself does not hear what it says.
        const [link] = await rtnl.findLinks(news.link)
        const { addresses, mac } = news
        const entry = { op: 'remove', type: 'neighbour', linkIndex: link?.index ?? 0, mac } as const
        if (link) await rtnl.neighbours(addresses.map(address => ({ ...entry, address })))
        await announce(news)
      },
    },
    nftPortId: netfilter.portId,
    async gather() {
      known = await gatherFacts({ rtnl, nft, given, linkKinds, before: known, onDoubt })
      return known
    },
    async links() {
      return new Set((await rtnl.links()).filter(isMarked).map(({ name }) => name as IfName))
    },
    routed: () => subnets,
    async readRoutes() {
      subnets = routedSubnets(await rtnl.routes())
    },
    forgetFlows: published => conntrack.forget(published.map(want => ({ op: 'create', want }))),
    forgetDirect: subnets => conntrack.forgetDirect(subnets),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}
