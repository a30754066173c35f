/** A network namespace of its own for a lab test; gone when the test is over. Needs root. */
import { execFileSync } from 'node:child_process'
import { closeSync } from 'node:fs'
import { inNetns, openScratchNetns } from '../../native/ffi/netns.ts'
import { Nft } from '../../native/nft/batch.ts'
import { getGeneration } from '../../native/nft/messages.ts'
import { NetlinkSocket, protocols } from '../../native/netlink/socket.ts'

const about = { op: 'read', object: 'generation' }

export interface Scratch extends Disposable {
  readonly path: string
  /** Standard output of a command inside; throws with its standard error. */
  run(command: string, ...more: readonly string[]): string
  /** Number of the last change to nf_tables. */
  generation(): number
  nft(options?: ConstructorParameters<typeof Nft>[1]): Nft
}

export function scratch(): Scratch {
  const fd = openScratchNetns()
  const path = `/proc/${process.pid}/fd/${fd}`
  return {
    path,
    run(command, ...more) {
      const words = [...command.split(' '), ...more]
      return execFileSync('nsenter', [`--net=${path}`, '--', ...words], { encoding: 'utf8', stdio: 'pipe' })
    },
    generation: () =>
      inNetns(fd, () => new NetlinkSocket(protocols.netfilter)).requestSync(getGeneration, {}, {}, about)?.attrs.id ??
      0,
    nft: (options = { owner: true }) =>
      new Nft(
        inNetns(fd, () => new NetlinkSocket(protocols.netfilter)),
        options,
      ),
    [Symbol.dispose]: () => {
      closeSync(fd)
    },
  }
}
