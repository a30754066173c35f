/** Addresses that the host answers for. Mark: weft's neighbour protocol number, which kernels from 5.0 on keep. */
import { kernelError } from '../../netlink/errors.ts'
import { NEIGHBOUR_PROTOCOL, type NeighbourOp, type ProxyInfo } from '../../rtnl/neigh.ts'
import { keyOf, type IfName, type Observed, type ProxyNeighbour } from '../resource.ts'
import type { Kind, Machine } from './kind.ts'

export const proxy: Kind<ProxyNeighbour> = {
  async observe({ rtnl }, wishes, links) {
    const wished = new Set(wishes.filter(({ type }) => type === 'proxy').map(keyOf))
    const names = new Map(links.map(({ index, name }) => [index, name]))
    return (await rtnl.proxies()).flatMap(({ linkIndex, address, protocol }): readonly Observed[] => {
      const link = names.get(linkIndex) as IfName | undefined
      if (link === undefined) return []
      const resource: ProxyNeighbour = { type: 'proxy', link, address }
      const foreign = protocol !== NEIGHBOUR_PROTOCOL
      return foreign && !wished.has(keyOf(resource)) ? [] : [{ resource, foreign }]
    })
  },
  create: add,
  update: add,
  async remove(machine, have) {
    const { linkIndex, there } = await look(machine, have)
    if (linkIndex !== undefined && there?.protocol === NEIGHBOUR_PROTOCOL) {
      await change(machine, { op: 'remove', type: 'proxy', linkIndex, address: have.address })
    }
  },
}

/** One that is there already stays as it is: the mark would make it weft's to remove. */
async function add(machine: Machine, want: ProxyNeighbour): Promise<void> {
  const { address, link } = want
  const { linkIndex, there } = await look(machine, want)
  if (linkIndex === undefined) throw kernelError('ENODEV', { op: 'set', object: `proxy ${address} on ${link}` })
  if (!there) await change(machine, { op: 'set', type: 'proxy', linkIndex, address })
}

async function look({ rtnl }: Machine, { link, address }: ProxyNeighbour): Promise<Found> {
  const linkIndex = rtnl.indexOf(link)
  const there = (await rtnl.proxies()).find(found => found.linkIndex === linkIndex && found.address === address)
  return { linkIndex, there }
}
interface Found {
  readonly linkIndex: number | undefined
  readonly there: ProxyInfo | undefined
}

async function change({ rtnl }: Machine, entry: NeighbourOp): Promise<void> {
  const [error] = await rtnl.neighbours([entry])
  if (error) throw error
}
