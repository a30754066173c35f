/** Addresses of bridges, and of links that weft made. Mark: weft's address protocol number, which rtnl sets and kernels from 5.18 on keep. */
import { ADDRESS_PROTOCOL } from '../../rtnl/rtnl.ts'
import type { Address, IfName } from '../resource.ts'
import type { Kind } from './kind.ts'
import { isMarked } from './link.ts'

export const address: Kind<Address> = {
  async observe({ rtnl }, _wishes, links) {
    // The ends of pairs have none but what the kernel gives them, and there are many.
    const able = links.filter(link => link.kind === 'bridge' || (isMarked(link) && link.kind !== 'veth'))
    const names = new Map(able.map(({ index, name }) => [index, name]))
    return (await rtnl.addresses()).flatMap(({ linkIndex, cidr, protocol }) => {
      const name = names.get(linkIndex)
      if (name === undefined) return []
      return [{ resource: { type: 'address', link: name as IfName, cidr }, foreign: protocol !== ADDRESS_PROTOCOL }]
    })
  },
  create: ({ rtnl }, { link, cidr }) => rtnl.addAddress(link, cidr),
  update: ({ rtnl }, { link, cidr }) => rtnl.addAddress(link, cidr),
  /** One that was there before weft wished it, on an adopted bridge, is not weft's to remove. */
  async remove({ rtnl }, { link, cidr }) {
    const index = rtnl.indexOf(link)
    const there = (await rtnl.addresses()).find(found => found.linkIndex === index && found.cidr === cidr)
    if (there?.protocol === ADDRESS_PROTOCOL) await rtnl.removeAddress(link, cidr)
  },
}
