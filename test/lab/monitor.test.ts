/** Events of the kernel: who is told what, how fast, and what happens when it is too much. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { watchKernel, type KernelEvent } from '../../native/diag/events.ts'
import { setsockopt } from '../../native/ffi/libc.ts'
import { openNetlink, protocols } from '../../native/netlink/channel.ts'
import { Monitor } from '../../native/netlink/monitor.ts'
import type { Cidr } from '../../native/value/ip.ts'
import { enterOwnNetns, place, vethSpec, type Place } from '../support/netlink.ts'

enterOwnNetns(import.meta.filename)

/** Events as they come, and a way to wait for one. */
function record(net: Place, monitor: Monitor) {
  const seen: KernelEvent[] = []
  let look = (): void => undefined
  net.in(() => {
    watchKernel(monitor, events => {
      seen.push(...events)
      look()
    })
  })
  return {
    seen,
    async until(what: string, wanted: (event: KernelEvent) => boolean): Promise<void> {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => {
          reject(new Error(`no event: ${what}; seen: ${JSON.stringify(seen)}`))
        }, 5000)
        look = () => {
          if (!seen.some(wanted)) return
          clearTimeout(timer)
          resolve()
        }
        look()
      })
    },
  }
}

test('events: links, addresses and routes, ours and those of others', async () => {
  await using net = place()
  await using monitor = new Monitor()
  const events = record(net, monitor)
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  const index = net.rtnl.indexOf('wb0')
  await events.until('a link', event => event.type === 'link' && event.alias === 'weft test')
  await net.rtnl.addAddress('wb0', '10.9.0.1/24' as Cidr)
  await events.until('an address', ({ type }) => type === 'address')
  net.run('ip route add default dev wb0')
  await events.until('a default route', e => e.type === 'route' && e.destination === '0.0.0.0/0')
  net.run('ip addr del 10.9.0.1/24 dev wb0')
  await events.until('an address less', event => event.type === 'address' && event.op === 'del')
  await net.rtnl.remove('wb0')
  await events.until('a link less', event => event.type === 'link' && event.op === 'del')
  const last = events.seen.findLast(({ type }) => type === 'link')
  const wb0 = { type: 'link', op: 'del', index, name: 'wb0', alias: 'weft test', up: false, newNetnsId: undefined }
  assert.equal(last, wb0)
})

test('events: a link that was moved away is not one that was deleted', async () => {
  await using net = place()
  await using container = place()
  await using monitor = new Monitor()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  await net.rtnl.createVeth(vethSpec(1))
  const events = record(net, monitor)
  net.run(`ip link set wp1 netns ${container.path}`)
  await events.until('moved', e => e.type === 'link' && e.op === 'del' && e.name === 'wp1' && e.newNetnsId === 0)
})

test('events: a port that leaves its bridge is still a link', async () => {
  await using net = place()
  await using monitor = new Monitor()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  await net.rtnl.createVeth(vethSpec(1))
  const events = record(net, monitor)
  net.run('bridge link set dev wv1 isolated on')
  await events.until('a changed port', e => e.type === 'link' && e.name === 'wv1')
  net.run('ip link set wv1 nomaster')
  net.run('ip link del wb0')
  await events.until('the end', e => e.type === 'link' && e.op === 'del')
  const gone = events.seen.flatMap(event => (event.type === 'link' && event.op === 'del' ? [event.name] : []))
  assert.equal(gone, ['wb0'])
})

test('events: a transaction of nftables, with its tables and its author', async () => {
  await using net = place()
  await using monitor = new Monitor()
  const events = record(net, monitor)
  net.run(
    'nft -f -',
    'table inet a { set s { type ipv4_addr; elements = { 10.0.0.1 }; }; }\ntable ip b { chain c { }; }',
  )
  await events.until('the first', ({ type }) => type === 'nftables')
  net.run('nft flush ruleset')
  await events.until('the second', event => event.type === 'nftables' && event.generation === 3)
  const [first, second] = events.seen.flatMap(event => (event.type === 'nftables' ? [event] : []))
  assert.equal(first?.tables, ['inet a', 'ip b'])
  assert.equal([...(second?.tables ?? [])].sort(), ['inet a', 'ip b'])
  assert.equal([first?.program, first?.generation], ['nft', 2])
  assert.ok((first?.portId ?? 0) > 0)
})

test('events: one thread hears of several namespaces, soon', async () => {
  await using one = place()
  await using two = place()
  await using monitor = new Monitor()
  const heard: { where: string; at: number }[] = []
  for (const [where, net] of Object.entries({ one, two })) {
    net.in(() => {
      watchKernel(monitor, () => heard.push({ where, at: performance.now() }))
    })
    await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  }
  const delays: number[] = []
  for (let round = 0; round < 200; round += 1) {
    const [net, where] = round % 2 ? [one, 'one'] : [two, 'two']
    heard.length = 0
    await net.rtnl.change('wb0', { alias: `weft ${round}` })
    const changed = performance.now()
    let first: { at: number } | undefined
    while (!(first = heard.find(event => event.where === where))) await new Promise(setImmediate)
    delays.push(first.at - changed)
  }
  delays.sort((a, b) => a - b)
  const [middle = 0, slow = 0] = [delays[100], delays[197]]
  console.log(`event after the answer to the change: p50 ${middle.toFixed(2)} ms, p99 ${slow.toFixed(2)} ms`)
})

const manyAddresses = Array.from({ length: 1000 }, (_, i) => `addr add 10.9.${i >> 8}.${i & 255}/32 dev wb0`).join('\n')

test('events: too many for the buffer are an overrun, after which it goes on', async () => {
  await using net = place()
  await using monitor = new Monitor()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  const told: string[] = []
  const fd = net.in(() => openNetlink(protocols.route, { groups: 1 << 4 }))
  // SO_RCVBUF
  setsockopt(fd, 1, 8, 4096)
  monitor.add(fd, {
    onOverrun: () => told.push('overrun'),
    onFrames: frames => told.push(...frames.map(() => 'frame')),
  })
  net.run('ip -batch -', manyAddresses)
  for (let wait = 0; wait < 500 && !told.includes('overrun'); wait += 1) await new Promise(setImmediate)
  assert.ok(told.includes('overrun'), 'told of the overrun')
  const before = told.length
  net.run('ip addr add 10.8.0.1/32 dev wb0')
  for (let wait = 0; wait < 500 && told.length === before; wait += 1) await new Promise(setImmediate)
  assert.equal(told.slice(before), ['frame'])
})

test('events: a thousand changes at once are all heard', async () => {
  await using net = place()
  await using monitor = new Monitor()
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  const events = record(net, monitor)
  net.run('ip -batch -', manyAddresses)
  await events.until('the last', event => event.type === 'address' && event.cidr === '10.9.3.231/32')
  const addresses = new Set(events.seen.flatMap(event => (event.type === 'address' ? [event.cidr] : [])))
  assert.is(addresses.size, 1000)
  assert.not(events.seen.some(({ type }) => type === 'overrun'))
})

test('events: a socket that is removed is silent and closed, the others go on', async () => {
  await using net = place()
  await using monitor = new Monitor()
  const told: string[] = []
  const [first, second] = ['first', 'second'].map(name => {
    const fd = net.in(() => openNetlink(protocols.route, { groups: 1 }))
    monitor.add(fd, { onOverrun: () => undefined, onFrames: () => told.push(name) })
    return fd
  })
  monitor.remove(first ?? 0)
  monitor.remove(first ?? 0)
  await net.rtnl.createBridge({ name: 'wb0', alias: 'weft test' })
  while (!told.includes('second')) await new Promise(setImmediate)
  assert.not(told.includes('first'))
  assert.ok((second ?? 0) > 0)
})

const source = JSON.stringify(join(import.meta.dirname, '../../native/netlink/monitor.ts'))
const endings: Readonly<Record<string, string>> = {
  'process.exit while it waits': 'new Monitor(); setTimeout(() => process.exit(0), 50)',
  'disposed of': 'const m = new Monitor(); setTimeout(() => m[Symbol.asyncDispose](), 50)',
  'an error': 'new Monitor(); setTimeout(() => { throw new Error("on purpose") }, 50)',
}
for (const [name, ending] of Object.entries(endings)) {
  test(`monitor: does not hold up the end of the program: ${name}`, () => {
    const program = `const { Monitor } = await import(${source}); ${ending}`
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      timeout: 5000,
      encoding: 'utf8',
    })
    assert.is(child.signal, null, 'it ended by itself')
    assert.is(child.status, name === 'an error' ? 1 : 0, child.stderr)
  })
}

test.run()
