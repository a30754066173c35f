import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { kernelError, type KernelError } from '../../../native/netlink/errors.ts'
import { DeleteLane, type LaneOptions, type LinkRemoval } from '../../../native/netlink/lane.ts'
import type { Request } from '../../../native/netlink/socket.ts'

const spoken = (op: string, object: string): Request => ({
  bytes: new Uint8Array(),
  op,
  object,
  attributeAt: () => undefined,
})
const messages: LinkRemoval = {
  setGroup: (name, group) => spoken('group', `${name} ${group}`),
  removeGroup: group => spoken('removeGroup', String(group)),
  remove: name => spoken('remove', name),
}

/** A kernel that remembers what it was told, and refuses what a test wants refused. */
function kernel(refusals: Readonly<Record<string, string>> = {}, options: LaneOptions = {}) {
  const told: string[] = []
  const socket = {
    async batch(requests: readonly Request[]): Promise<readonly (KernelError | undefined)[]> {
      await new Promise(setImmediate)
      return requests.map(({ op, object }) => {
        told.push(`${op} ${object}`)
        const errno = refusals[`${op} ${object}`]
        return errno === undefined ? undefined : kernelError(errno, { op, object })
      })
    },
  }
  return { told, lane: new DeleteLane(socket, messages, { firstGroup: 7, collectMs: 1, ...options }) }
}

test('lane: links that come together are one group, each group is new', async () => {
  const { told, lane } = kernel()
  await Promise.all([lane.remove('a'), lane.remove('b')])
  await Promise.all([lane.remove('c'), lane.remove('d')])
  assert.equal(told, ['group a 7', 'group b 7', 'removeGroup 7', 'group c 8', 'group d 8', 'removeGroup 8'])
})

test('lane: a single link needs no group', async () => {
  const { told, lane } = kernel()
  await lane.remove('a')
  assert.equal(told, ['remove a'])
})

test('lane: a link that is not there is removed', async () => {
  const { told, lane } = kernel({ 'remove a': 'ENODEV', 'group b 7': 'ENODEV', 'group c 7': 'ENODEV' })
  await lane.remove('a')
  await Promise.all([lane.remove('b'), lane.remove('c')])
  assert.equal(told, ['remove a', 'group b 7', 'group c 7'])
})

test('lane: a group that vanished meanwhile is removed', async () => {
  const { told, lane } = kernel({ 'removeGroup 7': 'ENODEV' })
  await Promise.all([lane.remove('a'), lane.remove('b')])
  assert.is(told.length, 3)
})

test('lane: a group that is refused is removed one by one, and each link has its own answer', async () => {
  const { told, lane } = kernel({ 'removeGroup 7': 'EOPNOTSUPP', 'remove b': 'EBUSY', 'remove c': 'ENODEV' })
  const results = await Promise.allSettled([lane.remove('a'), lane.remove('b'), lane.remove('c')])
  assert.equal(
    results.map(result => result.status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  assert.match(String((results[1] as PromiseRejectedResult).reason), /EBUSY/)
  assert.equal(told.slice(4), ['remove a', 'remove b', 'remove c'])
})

test('lane: what cannot join the group is removed alone', async () => {
  const { told, lane } = kernel({ 'group b 7': 'EPERM' })
  await Promise.all([lane.remove('a'), lane.remove('b')])
  assert.equal(told, ['group a 7', 'group b 7', 'removeGroup 7', 'remove b'])
})

test('lane: asking twice is asking once, and afterwards once more', async () => {
  const { told, lane } = kernel()
  assert.is(lane.remove('a'), lane.remove('a'))
  assert.equal([...lane.removing], ['a'])
  await lane.finished('a')
  assert.equal([...lane.removing], [])
  await lane.remove('a')
  assert.equal(told, ['remove a', 'remove a'])
})

test('lane: groups have a limit', async () => {
  const { told, lane } = kernel({}, { groupLimit: 2 })
  await Promise.all(['a', 'b', 'c'].map(name => lane.remove(name)))
  assert.equal(told, ['group a 7', 'group b 7', 'removeGroup 7', 'remove c'])
})

test('lane: idle when nothing is queued or under way', async () => {
  const { told, lane } = kernel()
  await lane.idle()
  const removals = [lane.remove('a')]
  setTimeout(() => removals.push(lane.remove('b')), 0)
  await lane.idle()
  assert.is(lane.removing.size, 0)
  await Promise.all(removals)
  assert.ok(told.length > 0)
})

test('lane: a kernel that cannot be reached is told to everyone who waits', async () => {
  const socket = { batch: () => Promise.reject(new Error('gone')) }
  const lane = new DeleteLane(socket, messages, { collectMs: 1 })
  const results = await Promise.allSettled([lane.remove('a'), lane.remove('b')])
  assert.equal(
    results.map(result => result.status),
    ['rejected', 'rejected'],
  )
  await lane.idle()
})

test.run()
