/** Links on top of another one: what is asked of the kernel for them, and what a refusal means. */
import { kernelError, type KernelError } from '../netlink/errors.ts'
import { flags } from '../netlink/message.ts'
import { request } from '../netlink/socket.ts'
import type { Mac } from '../value/mac.ts'
import { IFF_ALLMULTI, IFF_PROMISC, IFF_UP } from './ifinfomsg.ts'
import type { IpvlanFlag, IpvlanMode } from './ipvlan.ts'
import { newLink, setLink, type LinkAttributes, type LinkInfo } from './link.ts'
import type { MacvlanMode } from './macvlan.ts'
import type { Creation } from './requests.ts'
import { looseBinding } from './vlan.ts'

export type ChildSpec = {
  readonly name: string
  /** Name of the link below. */
  readonly parent: string
  readonly mac?: Mac | undefined
  /** At most the parent's. */
  readonly mtu?: number | undefined
  readonly alias: string
  readonly up: boolean
  /** Packets. */
  readonly txQueueLength?: number | undefined
  readonly promisc?: boolean | undefined
  readonly allMulticast?: boolean | undefined
} & (MacvlanSpec | IpvlanSpec | VlanSpec)

interface MacvlanSpec {
  readonly kind: 'macvlan'
  readonly mode: MacvlanMode
  readonly bcqueuelen?: number | undefined
  readonly bclim?: number | undefined
}
interface IpvlanSpec {
  readonly kind: 'ipvlan'
  readonly mode: IpvlanMode
  readonly flag?: IpvlanFlag | undefined
}
interface VlanSpec {
  readonly kind: 'vlan'
  readonly id: number
}

export function createChild(spec: ChildSpec, parentIndex: number): Creation {
  const about = aboutChild(spec)
  const { name: ifname, mac: address, mtu, alias, kind, txQueueLength } = spec
  const birth = { ifname, address, mtu, link: parentIndex, txQueueLength, linkinfo: { kind, data: dataOf(spec) } }
  const bits = (spec.up ? IFF_UP : 0) | (spec.promisc ? IFF_PROMISC : 0) | (spec.allMulticast ? IFF_ALLMULTI : 0)
  return [
    request(newLink, { flags: bits, change: bits }, birth, { ...about, flags: flags.create | flags.excl }),
    request(setLink, {}, { ifname, alias }, about),
  ]
}

export function aboutChild({ kind, name, parent }: ChildSpec): { readonly op: string; readonly object: string } {
  return { op: 'create', object: `${kind} ${name} on ${parent}` }
}

function dataOf(spec: ChildSpec): NonNullable<LinkAttributes['linkinfo']>['data'] {
  switch (spec.kind) {
    case 'macvlan': {
      const { mode, bcqueuelen: queueLength, bclim: cutoff } = spec
      return { mode, queueLength, cutoff }
    }
    case 'ipvlan':
      return { mode: spec.mode, flag: spec.flag ?? 'bridge' }
    case 'vlan':
      return { id: spec.id, protocol: '802.1Q', binding: looseBinding }
  }
}

/** What the kernel would refuse without a word. */
export function refusalOf(spec: ChildSpec, parent: LinkInfo): KernelError | undefined {
  if (spec.mtu === undefined || spec.mtu <= parent.mtu) return undefined
  const kernelText = `MTU ${spec.mtu} is more than the ${parent.mtu} of ${parent.name}`
  return kernelError('EINVAL', { ...aboutChild(spec), kernelText })
}

/** The same error, with words where the kernel had none for what only it knows: other links of the parent. */
export function inWords(error: KernelError, spec: ChildSpec, parent: LinkInfo): KernelError {
  const { op, object, errno, attribute } = error
  const kernelText = error.kernelText === undefined ? reasonOf(errno, spec, parent) : undefined
  return kernelText === undefined ? error : kernelError(errno, { op, object, attribute, kernelText, cause: error })
}

function reasonOf(errno: string, spec: ChildSpec, parent: LinkInfo): string | undefined {
  switch (errno) {
    case 'EBUSY':
      return parent.master === undefined
        ? `${parent.name} has links of another kind: macvlan and ipvlan cannot share a parent`
        : `${parent.name} is a port of another link, a bridge or a bond`
    case 'EADDRINUSE':
      return `${parent.name}, or another link on it, has this MAC address`
    case 'EINVAL':
      if (!isEthernet(parent)) return `${parent.name} is no Ethernet link`
      if (spec.kind !== 'macvlan') return undefined
      return spec.mode === 'passthru'
        ? `${parent.name} has other macvlan links: passthru needs it alone`
        : `a macvlan link in mode passthru has ${parent.name} alone`
    default:
      return undefined
  }
}

function isEthernet({ mac }: LinkInfo): boolean {
  return mac.length === '00:00:00:00:00:00'.length && mac !== '00:00:00:00:00:00'
}
