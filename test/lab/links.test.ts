/** Many links: removal in groups, and what the kernel and the event loop make of it. */
import { execFileSync } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readConfig } from '../../daemon/config.ts'
import { openKernel } from '../../daemon/kernel.ts'
import { createLog } from '../../daemon/log.ts'
import type { IfName, Veth } from '../../native/kernel/resource.ts'
import { KernelError } from '../../native/netlink/errors.ts'
import { enterOwnNetns, lagDuring, macOf, place, vethSpec } from '../support/netlink.ts'

enterOwnNetns(import.meta.filename)

test('remove: 40 at once, none but those, and the program goes on', async () => {
  await using net = place()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  for (let i = 0; i < 42; i += 1) await net.rtnl.createVeth(vethSpec(i))
  let took = 0
  const lag = await lagDuring(async () => {
    const start = performance.now()
    await Promise.all(Array.from({ length: 40 }, (_, i) => net.rtnl.remove(`wv${i}`)))
    took = performance.now() - start
  })
  console.log(`40 links removed in ${took.toFixed(0)} ms, event loop away for ${lag.toFixed(1)} ms at most`)
  assert.equal(
    (await net.rtnl.links()).map(({ name }) => name),
    ['lo', 'wb0', 'wp40', 'wv40', 'wp41', 'wv41'],
  )
})

test('remove: a bridge together with its ports, and what is not there', async () => {
  await using net = place()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  for (let i = 0; i < 3; i += 1) await net.rtnl.createVeth(vethSpec(i))
  await Promise.all(['wv0', 'none', 'wb0', 'wv1', 'wp2'].map(name => net.rtnl.remove(name)))
  assert.equal(
    (await net.rtnl.links()).map(({ name }) => name),
    ['lo'],
  )
  assert.is(net.rtnl.removing.size, 0)
})

test('remove: what cannot be removed says so, the others go', async () => {
  await using net = place()
  net.run('ip link add d1 type bridge')
  const results = await Promise.allSettled([net.rtnl.remove('lo'), net.rtnl.remove('d1')])
  assert.equal(
    results.map(({ status }) => status),
    ['rejected', 'fulfilled'],
  )
  assert.match(String((results[0] as PromiseRejectedResult).reason), /^KernelError: remove link lo: .*\(EOPNOTSUPP\)$/)
})

test('remove: the same name is made again as soon as it is free', async () => {
  await using net = place()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  for (let round = 0; round < 3; round += 1) {
    await net.rtnl.createVeth(vethSpec(1))
    void net.rtnl.remove('wv1')
  }
  await net.rtnl.idle()
  assert.is(net.rtnl.indexOf('wv1'), undefined)
})

test('remove: a link of a name that a user once chose stays when others made it', async () => {
  // In the namespace of this file.
  const start = readConfig({ argv: [], env: {}, readFile: () => undefined })
  assert.ok(start.do === 'run')
  const log = createLog({ logLevel: 'error', logFormat: 'json' })
  await using host = await openKernel({ config: start.config, log, point() {}, onLost() {} })
  await host.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  await host.rtnl.createVeth(vethSpec(1, { name: 'web7' }))
  execFileSync('ip', ['link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1'])
  assert.equal([...(await host.links())].sort(), ['wb0', 'web7'])
  for (const name of ['web7', 'up0']) {
    await host.kernel.apply([{ op: 'remove', have: pairOf(name) }])
  }
  await host.kernel.idle()
  assert.equal([...(await host.links())], ['wb0'])
  assert.is.not(host.rtnl.indexOf('up0'), undefined)
})

test('a thousand links on one bridge: made, listed, removed', async () => {
  await using net = place()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  const took: string[] = []
  const timed = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    const start = performance.now()
    const lag = await lagDuring(work)
    took.push(`${what} ${(performance.now() - start).toFixed(0)} ms (event loop away ${lag.toFixed(1)} ms)`)
  }
  await timed('made', async () => {
    for (let i = 0; i < 1000; i += 1) await net.rtnl.createVeth(vethSpec(i))
  })
  await timed('listed', async () => {
    assert.is((await net.rtnl.links()).length, 2002)
  })
  await timed('removed', async () => {
    await Promise.all(Array.from({ length: 1000 }, (_, i) => net.rtnl.remove(`wv${i}`)))
  })
  console.log(took.join(', '))
  assert.is((await net.rtnl.links()).length, 2)
})

test('bridge: its limit of ports is an error of its own', async () => {
  await using net = place()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  // Both ends of 512 pairs, less one.
  const pairs = Array.from({ length: 512 }, (_, i) => `link add d${i} master wb0 type veth peer name e${i}`)
  const ends = Array.from({ length: 511 }, (_, i) => `link set e${i} master wb0`)
  net.run('ip -batch -', [...pairs, ...ends].join('\n'))
  await net.rtnl.createVeth(vethSpec(1)).then(
    () => {
      assert.unreachable()
    },
    (error: unknown) => {
      assert.instance(error, KernelError)
      assert.is((error as KernelError).message, 'create veth wv1: Exchange full (EXFULL)')
    },
  )
  assert.is(net.rtnl.indexOf('wv1'), undefined)
})

test.run()

function pairOf(name: string): Veth {
  const common = { type: 'veth', mac: macOf(1), master: 'wb0' as IfName, isolated: false, handed: true } as const
  return { ...common, name: name as IfName, peer: { name: '' as IfName, mac: macOf(2) }, alias: 'weft test' }
}
