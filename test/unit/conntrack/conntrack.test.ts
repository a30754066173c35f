import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Conntrack } from '../../../native/conntrack/conntrack.ts'
import type { Flow } from '../../../native/conntrack/messages.ts'
import type { Change } from '../../../native/kernel/kernel.ts'
import { kernelError, type KernelError } from '../../../native/netlink/errors.ts'
import type { NetlinkSocket, Request } from '../../../native/netlink/socket.ts'
import { hostCidr, ipToBytes, type Ip } from '../../../native/value/ip.ts'

const published = (port: number, protocol = 'udp'): Change => ({
  op: 'create',
  want: { type: 'element', table: 'weft', set: 'pub4any', key: `${protocol} . ${port}`, value: '172.18.0.2 . 53' },
})
const untranslated = (port: number): Flow => ({
  original: {
    ip: { source4: bytes('192.0.2.12'), destination4: bytes('192.0.2.11') },
    proto: { protocol: 17, source: 5555, destination: port },
  },
  reply: {
    ip: { source4: bytes('192.0.2.11'), destination4: bytes('192.0.2.12') },
    proto: { protocol: 17, source: port, destination: 5555 },
  },
  id: port,
})

interface Script {
  readonly flows?: readonly Flow[]
  /** Of dumps with a filter, and of all. */
  readonly refusesFilter?: string
  readonly refuses?: string
  /** By `delete` of the flow at this place. */
  readonly refusesDeleting?: Readonly<Record<number, string>>
}

/** A kernel that remembers what it was told. */
function kernel({ flows = [], refusesFilter, refuses, refusesDeleting = {} }: Script = {}) {
  const told: string[] = []
  const causes: unknown[] = []
  const socket: Pick<NetlinkSocket, 'dump' | 'batch'> & AsyncDisposable = {
    async dump(_of, header, attrs, { op, object }) {
      await new Promise(setImmediate)
      const { filter, original } = attrs as Flow
      const { protocol = 'all', destination = 'all' } = filter ? (original?.proto ?? {}) : {}
      told.push(`dump ${protocol} ${destination}`)
      const errno = refuses ?? (filter ? refusesFilter : undefined)
      if (errno !== undefined) throw kernelError(errno, { op, object })
      return flows.map(attributes => ({ header, attrs: attributes })) as never
    },
    async batch(requests: readonly Request[]): Promise<readonly (KernelError | undefined)[]> {
      await new Promise(setImmediate)
      told.push(`delete ${requests.length}`)
      return requests.map(({ op, object }, index) => {
        const errno = refusesDeleting[index]
        return errno === undefined ? undefined : kernelError(errno, { op, object })
      })
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  const conntrack = new Conntrack(socket, {
    addresses: () => Promise.resolve([{ cidr: hostCidr('192.0.2.11' as Ip) }]),
    onStale: cause => causes.push(cause),
  })
  return { told, causes, conntrack }
}

test('conntrack: tcp alone costs nothing', async () => {
  const { told, conntrack } = kernel()
  await conntrack.forget([published(80, 'tcp')])
  assert.equal(told, [])
})

test('conntrack: the kernel chooses the flows of one port, or of one protocol', async () => {
  const { told, conntrack } = kernel({ flows: [untranslated(53), untranslated(99)] })
  await conntrack.forget([published(53)])
  await conntrack.forget([published(53), published(54), published(99), published(80, 'tcp'), published(9, 'sctp')])
  assert.equal(told, ['dump 17 53', 'delete 1', 'dump 17 all', 'delete 2', 'dump 132 9'])
})

test('conntrack: those who come during a look share the next one', async () => {
  const { told, conntrack } = kernel()
  const first = conntrack.forget([published(53)])
  await new Promise(setImmediate)
  await Promise.all([first, conntrack.forget([published(54)]), conntrack.forget([published(55)])])
  assert.equal(told, ['dump 17 53', 'dump 17 all'])
})

test('conntrack: a kernel that refuses the filter shows all flows', async () => {
  const { told, causes, conntrack } = kernel({ flows: [untranslated(53)], refusesFilter: 'EOPNOTSUPP' })
  await conntrack.forget([published(53)])
  assert.equal(told, ['dump 17 53', 'dump all all', 'delete 1'])
  assert.equal(causes, [])
})

test('conntrack: a flow that is gone meanwhile is no error', async () => {
  const { causes, conntrack } = kernel({ flows: [untranslated(53)], refusesDeleting: { 0: 'ENOENT' } })
  await conntrack.forget([published(53)])
  assert.equal(causes, [])
})

test('conntrack: a failure is told, and stops neither the caller nor the next look', async () => {
  const { told, causes, conntrack } = kernel({ flows: [untranslated(53)], refusesDeleting: { 0: 'EBUSY' } })
  await conntrack.forget([published(53), published(9, 'sctp')])
  assert.match(String(causes[0]), /^KernelError: delete flow of IP protocol 17 to port 53: .*EBUSY/)
  await conntrack.forget([published(53)])
  assert.is(causes.length, 2)
  assert.equal(told, ['dump 17 53', 'delete 1', 'dump 132 9', 'dump 17 53', 'delete 1'])
})

test('conntrack: a kernel that shows no flows', async () => {
  const { causes, conntrack } = kernel({ refuses: 'EINVAL' })
  await conntrack.forget([published(53)])
  assert.match(String(causes[0]), /^KernelError: list IPv4 flows: .*EINVAL/)
})

test('conntrack: thousands of flows are deleted in parts', async () => {
  const { told, conntrack } = kernel({ flows: Array.from({ length: 1200 }, () => untranslated(53)) })
  await conntrack.forget([published(53)])
  assert.equal(told, ['dump 17 53', 'delete 500', 'delete 500', 'delete 200'])
})

test.run()

function bytes(address: string): Uint8Array {
  return ipToBytes(address as Ip)
}
