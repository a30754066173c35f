/** Links. Source: include/uapi/linux/if_link.h. Only what weft sets or reads is listed; a new kind is one line here. */
import { attrs, dispatch, i32, message, str, u32, u8, type Infer } from '../netlink/codec.ts'
import { macFromBytes, type Mac } from '../value/mac.ts'
import { bridge, bridgePort, type Bridge } from './bridge.ts'
import { birth, IFF_UP, ifinfomsg } from './ifinfomsg.ts'
import { ipvlan, type Ipvlan, type IpvlanFlag, type IpvlanMode } from './ipvlan.ts'
import { macvlan, type Macvlan, type MacvlanMode } from './macvlan.ts'
import { veth } from './veth.ts'
import { vlan, type Vlan, type VlanProtocol } from './vlan.ts'

const linkInfo = attrs({
  kind: [1, str],
  data: [2, dispatch('kind', { bridge, veth, macvlan, ipvlan, vlan })],
  slaveKind: [4, str],
  slaveData: [5, dispatch('slaveKind', { bridge: bridgePort })],
})

export const linkAttributes = attrs({
  ...birth,
  /** Index of the link below, or of a veth's other end; in the namespace `linkNetnsId` if that is present. */
  link: [5, u32],
  master: [10, u32],
  /** The port's part of an AF_BRIDGE message. */
  protinfo: [12, bridgePort],
  txQueueLength: [13, u32],
  /** RFC 2863: 2 down, 6 up. */
  operState: [16, u8],
  linkinfo: [18, linkInfo],
  /** Not accepted at creation. */
  alias: [20, str],
  group: [27, u32],
  /** RTEXT_FILTER_*: what a dump shall hold. */
  extMask: [29, u32],
  carrier: [33, u8],
  linkNetnsId: [37, i32],
  /** In RTM_DELLINK: the link was moved to this namespace, not deleted. */
  newNetnsId: [45, i32],
  targetNetnsId: [46, i32],
  newIndex: [49, i32],
})
export type LinkAttributes = Infer<typeof linkAttributes>

/** RTEXT_FILTER_SKIP_STATS: counters are a quarter of a dump. */
export const SKIP_STATS = 8

export const newLink = message({ name: 'newlink', type: 16, header: ifinfomsg, attrs: linkAttributes })
/** Changes a link that exists; what is missing is ENODEV, where `newLink` would change whole groups on old kernels. */
export const setLink = message({ name: 'setlink', type: 19, header: ifinfomsg, attrs: linkAttributes })
export const delLink = message({ name: 'dellink', type: 17, header: ifinfomsg, attrs: linkAttributes })
export const getLink = message({ name: 'getlink', type: 18, reply: 16, header: ifinfomsg, attrs: linkAttributes })

/** A link as it is. */
export interface LinkInfo {
  readonly index: number
  readonly name: string
  /** `veth`; undefined for what has no kind: loopback, hardware. */
  readonly kind: string | undefined
  /** Empty for links that have none. */
  readonly mac: Mac
  readonly mtu: number
  readonly up: boolean
  /** Index of the bridge that it is a port of. */
  readonly master: number | undefined
  readonly alias: string | undefined
  readonly group: number
  /** Index of a veth's other end, or of the link below. */
  readonly peerIndex: number | undefined
  /** Present when the other end is in another namespace; the number means something in this one only. */
  readonly peerNetnsId: number | undefined
  /** Only for ports of a bridge. */
  readonly slave: Slave | undefined
  /** Only for bridges; also false where the kernel cannot do it. */
  readonly mcastSnooping?: boolean
  /** Only for links on top of another one. */
  readonly stacked?: Stacked
}

export interface Slave {
  readonly isolated: boolean
  readonly hairpin: boolean
  readonly groupForwardMask: number
}

export type Stacked =
  | { readonly kind: 'macvlan'; readonly mode: MacvlanMode }
  | { readonly kind: 'ipvlan'; readonly mode: IpvlanMode; readonly flag: IpvlanFlag }
  | { readonly kind: 'vlan'; readonly id: number; readonly protocol: VlanProtocol }

export function linkInfoOf(header: Infer<typeof ifinfomsg>, attributes: LinkAttributes): LinkInfo {
  const { linkinfo } = attributes
  const port = linkinfo?.slaveKind === 'bridge' ? linkinfo.slaveData : undefined
  const stacked = stackedOf(linkinfo)
  return {
    index: header.index,
    name: attributes.ifname ?? '',
    kind: linkinfo?.kind,
    mac: attributes.address ?? macFromBytes(new Uint8Array()),
    mtu: attributes.mtu ?? 0,
    up: (header.flags & IFF_UP) !== 0,
    master: attributes.master,
    alias: attributes.alias,
    group: attributes.group ?? 0,
    peerIndex: attributes.link,
    peerNetnsId: attributes.linkNetnsId,
    slave: port && {
      isolated: port.isolated ?? false,
      hairpin: port.hairpin ?? false,
      groupForwardMask: port.groupForwardMask ?? 0,
    },
    ...(linkinfo?.kind === 'bridge' && {
      mcastSnooping: (linkinfo.data as Bridge | undefined)?.mcastSnooping ?? false,
    }),
    ...(stacked && { stacked }),
  }
}

/** undefined also for what weft has no name for, as macvlan's mode "source". */
function stackedOf(linkinfo: LinkAttributes['linkinfo']): Stacked | undefined {
  const { kind, data = {} } = linkinfo ?? {}
  if (kind === 'macvlan') {
    const { mode } = data as Macvlan
    return mode && { kind, mode }
  }
  if (kind === 'ipvlan') {
    const { mode, flag } = data as Ipvlan
    return mode && flag && { kind, mode, flag }
  }
  if (kind === 'vlan') {
    const { id, protocol } = data as Vlan
    return id === undefined || !protocol ? undefined : { kind, id, protocol }
  }
  return undefined
}
