/** Which flows began while weft's rules were gone, and would not begin beside them. Pure. */
import { addressOf, familyOf, ipToBytes, lengthOf, type Cidr } from '../value/ip.ts'
import type { Flow } from './messages.ts'
import { rawOf } from './translation.ts'

/** Addresses of containers. */
export interface ContainerSubnet {
  readonly pool: Cidr
  /** Nothing leaves it. */
  readonly internal: boolean
}

/** Of a flow's status: the other side has answered. IPS_SEEN_REPLY. */
const answered = 2

/**
 * Flows that enter a segment by the address of a container, or leave one untranslated: what is allowed of it begins anew
 * with its next packet. A flow that has left and is answered stays, its next packet may come from outside; but for
 * internal segments, which none leaves.
 */
export function directAmong(flows: readonly Flow[], segments: readonly ContainerSubnet[]): readonly Flow[] {
  const segmentOf = finder(segments)
  return flows.filter(({ original, reply, status = 0 }) => {
    const from = original?.ip?.source4 ?? original?.ip?.source6
    const to = original?.ip?.destination4 ?? original?.ip?.destination6
    const answering = reply?.ip?.source4 ?? reply?.ip?.source6
    const answeredAt = reply?.ip?.destination4 ?? reply?.ip?.destination6
    if (!from || !to || !answering || !answeredAt) return false
    if (rawOf(to) !== rawOf(answering) || rawOf(from) !== rawOf(answeredAt)) return false
    const [home, target] = [segmentOf(from), segmentOf(to)]
    if (home === target) return false
    return target !== undefined || home?.internal === true || (status & answered) === 0
  })
}

/** Pools never overlap. There are thousands of flows and of pools, but few lengths of prefixes. */
function finder(segments: readonly ContainerSubnet[]): (address: Uint8Array) => ContainerSubnet | undefined {
  const byLength = Map.groupBy(segments, ({ pool }) => `${familyOf(pool)} ${lengthOf(pool)}`)
  const tables = [...byLength.values()].flatMap(([first, ...others]) => {
    if (!first) return []
    const length = lengthOf(first.pool)
    const key = (address: Uint8Array): string => rawOf(masked(address, length))
    const found = new Map([first, ...others].map(each => [key(ipToBytes(addressOf(each.pool))), each]))
    return [{ size: familyOf(first.pool) === 4 ? 4 : 16, find: (address: Uint8Array) => found.get(key(address)) }]
  })
  return address => {
    for (const { size, find } of tables) {
      const segment = size === address.length ? find(address) : undefined
      if (segment) return segment
    }
    return undefined
  }
}

function masked(address: Uint8Array, length: number): Uint8Array {
  return address.map((byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, length - index * 8))))
}
