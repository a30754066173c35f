/** For `weft uninstall`: everything in the kernel that carries weft's mark goes. The daemon must not run. */
import { ownTables } from '../drivers/names.ts'
import { surplus } from '../native/kernel/diff.ts'
import { describe } from '../native/kernel/resource.ts'
import { LinuxKernel } from '../native/kernel/linux.ts'
import { NetlinkSocket, protocols } from '../native/netlink/socket.ts'
import { Nft } from '../native/nft/batch.ts'
import { removeZone } from '../native/nft/firewalld.ts'
import { Rtnl } from '../native/rtnl/rtnl.ts'

/** A line for each thing that was removed. */
export async function sweepKernel(): Promise<readonly string[]> {
  const failures: unknown[] = []
  await using rtnl = new Rtnl()
  // Taking the ownership of the table is a change of it, and not needed to delete it.
  await using nft = new Nft(new NetlinkSocket(protocols.netfilter), { owner: false })
  using kernel = new LinuxKernel({
    rtnl,
    nft,
    tables: ownTables,
    onLost: (_name, cause) => failures.push(cause),
  })
  const changes = surplus(await kernel.observe([]), () => false)
  await kernel.apply(changes)
  await kernel.idle()
  if (failures.length > 0) throw new AggregateError(failures, 'some links could not be removed')
  return [...changes.map(change => `removed ${describe(change.have)}`), ...(await removeZone())]
}
