/** Every sort of resource that is changed one at a time. Those of nftables are in nftables.ts. */
import type { Resource } from '../resource.ts'
import { legacyAccept } from './accept.ts'
import { address } from './address.ts'
import { child } from './child.ts'
import { dummy } from './dummy.ts'
import type { Kind } from './kind.ts'
import { link } from './link.ts'
import { port } from './port.ts'
import { proxy } from './proxy.ts'
import { route } from './route.ts'
import { sysctl } from './sysctl.ts'

export const kinds = { link, child, dummy, address, route, proxy, sysctl, port, legacyAccept } as const

/** A kind is only ever handed resources of its own sort: the one place where that is not in the types. */
export function kindOf(resource: Resource): Kind<Resource> {
  switch (resource.type) {
    case 'bridge':
    case 'veth':
      return link
    case 'child':
      return child
    case 'dummy':
      return dummy
    case 'address':
      return address
    case 'route':
      return route
    case 'proxy':
      return proxy
    case 'sysctl':
      return sysctl
    case 'port':
      return port
    case 'accept':
      return legacyAccept
    case 'ruleset':
    case 'element':
      throw new TypeError(`${resource.type} is changed in batches`)
  }
}
