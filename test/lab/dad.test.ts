/** Duplicate address detection among stations of one segment, each a network namespace with the kernel's own answers. */
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { probe, type Holder, type Probe } from '../../native/dad/dad.ts'
import type { Ip } from '../../native/value/ip.ts'
import { hex, openDescriptors, question, segment, up } from '../support/dad.ts'
import { eventually } from '../support/lab/eventually.ts'
import { enterOwnNetns, lagDuring, macOf } from '../support/netlink.ts'

enterOwnNetns(import.meta.filename)

const four = '10.7.0.9' as Ip
const six = 'fd07::9' as Ip
/** Of the container to be. */
const mac = macOf(0x777)

const ask = (at: { readonly path: string }, addresses: readonly Ip[], more: Partial<Probe> = {}) =>
  probe({ netns: at.path, link: 'eth0', addresses, mac, ...more })

/** One line each, in order. */
const lines = (holders: readonly Holder[]): readonly string[] =>
  holders.map(({ address, mac }) => `${address} ${mac}`).sort()

async function timed<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly ms: number }> {
  const start = performance.now()
  const result = await work()
  return { result, ms: performance.now() - start }
}

test('probe: a holder is named by its MAC, and soon', async () => {
  await using net = segment()
  const [host, holder] = [net.station(), net.station(four, six)]
  const took: string[] = []
  for (const [name, addresses] of [
    ['IPv4', [four]],
    ['IPv6', [six]],
    ['both', [four, six]],
  ] as const) {
    const times: number[] = []
    for (let round = 0; round < 5; round += 1) {
      const { result, ms } = await timed(() => ask(host, addresses))
      assert.equal(lines(result), lines(addresses.map(address => ({ address, mac: holder.mac }))))
      assert.ok(ms < 500, `${name}: ${ms} ms`)
      times.push(ms)
    }
    took.push(`${name} ${times.map(ms => ms.toFixed(0)).join(' ')} ms`)
  }
  console.log(`a holder is reported after: ${took.join(', ')}`)
})

test('probe: nobody; three questions of each family, as the kernel would put them', async () => {
  await using net = segment()
  const [host, other] = [net.station(), net.station('10.7.0.1', 'fd07::1')]
  using wire = other.wire()
  const { result, ms } = await timed(() => ask(host, [four, six]))
  assert.equal(result, [])
  assert.ok(ms > 500 && ms < 2000, `${ms} ms`)
  console.log(`nobody is reported after ${ms.toFixed(0)} ms`)
  const frames = wire.received()
  const round = [question(four, mac), question(six, mac)].map(hex)
  assert.equal(frames, [...round, ...round, ...round])

  // The kernel's own, without the nonce of RFC 7527.
  host.run(`ip link set eth0 address ${mac}`)
  for (const scope of ['all', 'eth0']) host.run(`sysctl -qw net.ipv6.conf.${scope}.enhanced_dad=0`)
  host.run(`ip address add ${six}/64 dev eth0`)
  await eventually('the kernel asks', () => wire.received().includes(hex(question(six, mac))))
})

test('probe: rfc5227 takes its time, and a holder does not', async () => {
  await using net = segment()
  const [host, holder] = [net.station(), net.station('10.7.0.10')]
  const [free, held] = await Promise.all([
    timed(() => ask(host, [four, six], { timing: 'rfc5227' })),
    timed(() => ask(host, ['10.7.0.10' as Ip], { timing: 'rfc5227' })),
  ])
  assert.equal(free.result, [])
  assert.ok(free.ms > 4000 && free.ms < 9000, `${free.ms} ms`)
  assert.equal(held.result, [{ address: '10.7.0.10', mac: holder.mac }])
  assert.ok(held.ms < 3000, `${held.ms} ms`)
})

test('probe: of two at the same time one at least gives way', async () => {
  await using net = segment()
  const [one, two] = [net.station(), net.station()]
  for (const address of [four, six, four, six]) {
    const asking = [ask(one, [address], { mac: macOf(0x111) }), ask(two, [address], { mac: macOf(0x222) })]
    const [first, second] = await Promise.all(asking)
    // Who hears the other at once asks no more, maybe before the other can hear it.
    const seen = lines([...(first ?? []), ...(second ?? [])])
    assert.ok(seen.length > 0)
    assert.equal(
      lines(first ?? []),
      seen.filter(line => line === `${address} ${macOf(0x222)}`),
    )
    assert.equal(
      lines(second ?? []),
      seen.filter(line => line === `${address} ${macOf(0x111)}`),
    )
  }
})

test('probe: whoever speaks from the address meanwhile is found; the own MAC and other addresses are not', async () => {
  await using net = segment()
  const [host, other] = [net.station(), net.station()]
  using wire = other.wire()
  for (const address of [four, six]) {
    const asking = ask(host, [address])
    await eventually('it asks', () => wire.received().length > 0)
    const neighbour = (address === four ? '10.7.0.8' : 'fd07::8') as Ip
    for (const [about, from] of [
      [address, mac],
      [neighbour, other.mac],
    ] as const)
      wire.send(question(about, from))
    await sleep(150)
    wire.send(question(address, macOf(0x333)))
    assert.equal(await asking, [{ address, mac: macOf(0x333) }])
  }
})

test('probe: two hundred addresses, half of them held by two at once', async () => {
  await using net = segment()
  const all = Array.from({ length: 100 }, (_, i) => [`10.7.1.${i}`, `fd07::1:${i}`] as Ip[]).flat()
  const held = all.slice(0, 100)
  const [host, ...holders] = [net.station(), net.station(...held), net.station(...held)]
  let found: Awaited<ReturnType<typeof probe>> = []
  const lag = await lagDuring(async () => {
    found = await ask(host, all)
  })
  console.log(`event loop away for ${lag.toFixed(1)} ms at most while 200 addresses are asked for`)
  assert.equal(lines(found), lines(held.flatMap(address => holders.map(({ mac }) => ({ address, mac })))))
})

test('probe: the link itself asks when no MAC is given; nothing to ask is nothing to do', async () => {
  await using net = segment()
  const [host, other] = [net.station(), net.station()]
  using wire = other.wire()
  assert.equal(await probe({ netns: host.path, link: 'eth0', addresses: [four] }), [])
  assert.equal(wire.received(), Array<string>(3).fill(hex(question(four, host.mac))))
  assert.equal(await probe({ link: 'none', addresses: [] }), [])
})

test('probe: an address of the machine itself is named with its link, whoever asks', async () => {
  await using net = segment()
  const host = net.station('10.7.0.1', 'fd07::1')
  for (const address of ['10.7.0.1', 'fd07::1'] as Ip[]) {
    const { result, ms } = await timed(() => ask(host, [four, address], { mac: host.mac }))
    assert.equal(result, [{ address, mac: host.mac, link: 'eth0' }])
    assert.ok(ms < 400, `${ms} ms`)
  }
})

test('probe: on the parent, answers to a link on top of it are heard, and other VLANs are not', async () => {
  await using net = segment()
  const [host, holder] = [net.station(), net.station(four, six)]
  // Down: the kernel drops what comes for it. In bridge mode it takes away what is for it.
  host.run(`ip link add mv0 link eth0 address ${mac} type macvlan mode bridge`)
  for (const state of ['down', 'up']) {
    if (state === 'up') up(host, 'mv0')
    const found = await ask(host, [four, six])
    assert.equal(lines(found), lines([four, six].map(address => ({ address, mac: holder.mac }))), state)
  }
  holder.run(`ip address flush dev eth0`)
  using wire = holder.wire()
  for (const [tag, expected] of [
    [7, 0],
    [0, 1],
  ] as const) {
    const asking = ask(host, [four])
    await eventually('it asks', () => wire.received().length > 0)
    const frame = question(four, macOf(0x333))
    wire.send(Buffer.concat([frame.subarray(0, 12), Uint8Array.of(0x81, 0, 0xe0, tag), frame.subarray(12)]))
    assert.is((await asking).length, expected, `VLAN ${tag}`)
    wire.received()
  }
})

test('probe: on a macvlan link in bridge mode, its neighbours on the same parent are asked, too', async () => {
  await using net = segment()
  const [host, container] = [net.station(), net.station()]
  for (const [name, number] of [
    ['mv0', 0x777],
    ['mv1', 0x778],
  ] as const) {
    host.run(`ip link add ${name} link eth0 address ${macOf(number)} type macvlan mode bridge`)
  }
  host.run(`ip link set mv1 netns ${container.path}`)
  // It would answer for the addresses of mv1.
  container.run('ip link set eth0 down')
  for (const address of [`${four}/24`, `${six}/64`]) container.run(`ip address add ${address} dev mv1 nodad`)
  up(container, 'mv1')
  up(host, 'mv0')
  const found = await ask(host, [four, six], { link: 'mv0' })
  assert.equal(lines(found), lines([four, six].map(address => ({ address, mac: macOf(0x778) }))))
  assert.equal(await ask(host, [four, six]), [])
})

test('probe: a link that takes in few groups only takes in those that are asked', async () => {
  await using net = segment()
  const [host, holder, other] = [net.station(), net.station(six), net.station()]
  host.run(`ip link add mv0 link eth0 address ${mac} type macvlan mode bridge`)
  host.run('sysctl -qw net.ipv6.conf.mv0.disable_ipv6=1')
  host.run('ip link set mv0 up')
  // 40: more groups than are asked for one by one.
  for (const more of [0, 40]) {
    const free = Array.from({ length: more }, (_, i) => `fd07::2:${i}` as Ip)
    const found = await ask(host, [six, ...free], { link: 'mv0' })
    assert.equal(lines(found), lines([{ address: six, mac: holder.mac }]))
    using wire = other.wire()
    const asking = ask(host, ['fd07::3:3' as Ip, ...free], { link: 'mv0' })
    await eventually('it asks', () => wire.received().length > 0)
    wire.send(question('fd07::3:3' as Ip, other.mac))
    assert.equal(lines(await asking), lines([{ address: 'fd07::3:3' as Ip, mac: other.mac }]))
  }
})

test('probe: a link that cannot carry the question is refused', async () => {
  await using net = segment()
  const host = net.station()
  const refused = async (link: string, pattern: RegExp): Promise<void> => {
    const asking = ask(host, [four, six, '10.7.0.10' as Ip], { link })
    await asking.then(
      () => {
        assert.unreachable(link)
      },
      (error: unknown) => {
        assert.match(String(error), pattern)
      },
    )
  }
  const what = 'KernelError: probe 10.7.0.9, fd07::9 and 1 more on'
  await refused('none', new RegExp(`^${what} none: No such device \\(ENODEV\\)$`))
  await refused('lo', new RegExp(`^${what} lo: not an Ethernet link \\(EOPNOTSUPP\\)$`))
  net.switch.run('ip link set p1 down')
  await refused('eth0', new RegExp(`^${what} eth0: the link has no carrier \\(ENOLINK\\)$`))
  net.switch.run('ip link set p1 up')
  for (const [command, pattern] of [
    ['ip link set p1 down', /no carrier \(ENOLINK\)$/],
    ['ip link set eth0 down', /the link is down \(ENETDOWN\)$/],
  ] as const) {
    const failing = refused('eth0', pattern)
    await sleep(250)
    const at = command.includes('p1') ? net.switch : host
    at.run(command)
    await failing
    at.run(command.replace('down', 'up'))
  }
  host.run('ip link set eth0 down')
  await refused('eth0', /the link is down \(ENETDOWN\)$/)
  host.run('ip link set eth0 up')
  const failing = refused('eth0', /eth0: No such device \(ENODEV\)$/)
  await sleep(250)
  net.switch.run('ip link delete p1')
  await failing
  await probe({ netns: '/run/netns/none', link: 'eth0', addresses: [four] }).then(
    () => {
      assert.unreachable()
    },
    (error: unknown) => {
      assert.match(String(error), /KernelError: probe 10.7.0.9 on eth0: .*ENOENT/)
    },
  )
})

test('probe: ends when it is told to; nothing stays open, whatever the end', async () => {
  await using net = segment()
  const [host] = [net.station(), net.station('10.7.0.1')]
  await ask(host, ['10.7.0.1' as Ip])
  const before = await eventually('all is closed', async () => {
    const count = openDescriptors()
    await sleep(200)
    return count === openDescriptors() ? count : undefined
  })
  for (const abortMs of [0, 100]) {
    const aborting = new AbortController()
    const asking = timed(() => ask(host, [four], { timing: 'rfc5227', signal: aborting.signal }).catch(String))
    if (abortMs > 0) await sleep(abortMs)
    aborting.abort(new Error('the engine went away'))
    const { result, ms } = await asking
    assert.is(result, 'Error: the engine went away')
    assert.ok(ms < abortMs + 500, `${ms} ms`)
  }
  await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      ask(host, [`10.7.0.${i}` as Ip], { link: i % 5 ? 'eth0' : 'none' }).catch(() => 0),
    ),
  )
  await eventually('all is closed', () => openDescriptors() === before)
})

test.run()
