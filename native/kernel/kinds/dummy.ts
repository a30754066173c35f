/** Links that lead nowhere, of the kind that this kernel has. Mark: the link's alias begins with `weft `. */
import { dummyKinds } from '../../rtnl/requests.ts'
import type { Dummy, IfName, Observed } from '../resource.ts'
import type { Kind } from './kind.ts'
import { isMarked, removeLink } from './link.ts'

const kinds: readonly (string | undefined)[] = dummyKinds

export const dummy: Kind<Dummy> = {
  async observe(_machine, _wishes, links) {
    const own = links.filter(link => isMarked(link) && kinds.includes(link.kind))
    return own.map(({ name, mac, mtu, alias = '', up }): Observed => {
      return { resource: { type: 'dummy', name: name as IfName, mac, mtu, alias, down: !up }, foreign: false }
    })
  },
  create: ({ rtnl }, want) => rtnl.createDummy(want),
  async update({ rtnl }, { name, mtu, mac, alias }) {
    await rtnl.change(name, { up: true, alias, mtu, mac })
  },
  remove: removeLink,
}
