/** Tables of both families with one of everything, through weft's own messages, and what packets make of them. */
import { spawnSync } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { inNetns } from '../../native/ffi/netns.ts'
import { surplus } from '../../native/kernel/diff.ts'
import { batchOf, observeNft } from '../../native/kernel/kinds/nftables.ts'
import { digestOf, fillMarks, placeholders, type NftTable } from '../../native/kernel/nftables.ts'
import type { Element, Ruleset } from '../../native/kernel/resource.ts'
import { KernelError } from '../../native/netlink/errors.ts'
import type { Nft } from '../../native/nft/batch.ts'
import { compileHere, loadHere } from '../../native/nft/compile.ts'
import { pings, pingsNot, routedScene, switchedScene } from '../support/nft-scenes.ts'
import { routedTable, switchedTable } from '../support/nft-tables.ts'
import { pick, random } from '../support/random.ts'
import { scratch, type Scratch } from '../support/scratch.ts'

// Compiling is done in the namespace of the process.
if (!process.env['WEFT_TEST_NETNS']) {
  const env = { ...process.env, WEFT_TEST_NETNS: '1' }
  const child = spawnSync('unshare', ['--net', process.execPath, import.meta.filename], { env, stdio: 'inherit' })
  process.exit(child.status ?? 1)
}

const marks = { allowed: 0x100000, hairpin: 0x200000, acceptValue: 0x7, acceptMask: 0xff }
const own = [
  { family: 'inet', table: 'routed' },
  { family: 'bridge', table: 'switched' },
] as const
const tableOf = new Map<string, string>()
const routed = await compiled(routedTable(placeholders))
const switched = await compiled(switchedTable)
const both = [routed, switched]

async function compiled(table: NftTable, filled = marks): Promise<Ruleset> {
  for (const { name } of table.sets) tableOf.set(name, table.name)
  const program = fillMarks(await compileHere(table), filled)
  return { type: 'ruleset', family: table.family, table: table.name, program, digest: digestOf(program) }
}

function element(set: string, key: string, value?: string): Element {
  return { type: 'element', table: tableOf.get(set) ?? '', set, key, ...(value !== undefined && { value }) }
}

const everything: readonly Element[] = [
  element('asked', 'ipv6 . sctp . 5000'),
  element('open', 'ipv4 . br0'),
  element('limited4', '10.2.0.2'),
  element('from4', '172.18.0.2 . 10.0.0.0/8'),
  element('from4', '172.18.0.2 . 192.0.2.1/32'),
  element('from4', '172.18.0.3 . 0.0.0.0/0'),
  element('from6', 'fd00::2 . fd00:1::/32'),
  element('blackhole4', 'br0 . 10.0.0.0/9'),
  element('blackhole4', 'br1 . 10.0.0.0/8'),
  element('blackhole6', 'br0 . ::/0'),
  element('masq4', '10.0.0.0/8'),
  element('snat4', '10.9.0.0/24', '192.0.2.1'),
  element('snat4', '10.9.1.0/24', '192.0.2.2'),
  element('snat4', '255.255.255.0/24', '192.0.2.3'),
  element('snat6', 'fd00::/64', '2001:db8::1'),
  element('pub4', 'tcp . 80', '172.18.0.2 . 8080'),
  element('ports', 'wv1'),
  element('ports_mac', 'wv1 . 02:42:0a:00:00:02'),
  element('ports4', 'wv1 . 02:42:0a:00:00:02 . 10.0.0.2'),
  element('ports6', 'wv1 . 02:42:0a:00:00:02 . fd00::2'),
]

function print({ set, key, value = '' }: Element): string {
  return `${set} ${key} ${value}`
}

async function contents(nft: Nft): Promise<readonly string[]> {
  const seen = await observeNft(nft, both, own)
  return seen.flatMap(({ resource }) => (resource.type === 'element' ? [print(resource)] : [])).toSorted()
}

/** Without what weft adds to the tables itself. */
function listing(net: Scratch): string {
  return net.run('nft list ruleset').replace(/ # progname.*|\n\tcomment .*|\n\tflags .*persist.*/g, '')
}

async function load(nft: Nft, elements: readonly Element[] = []): Promise<void> {
  await nft.commit(
    both.map(ruleset => ({
      op: 'replace',
      ruleset,
      elements: elements.filter(({ table }) => table === ruleset.table),
    })),
  )
}

function change(op: 'add' | 'remove', elements: readonly Element[]): Parameters<Nft['commit']>[0] {
  return elements.map(item => ({ op, element: item }))
}

test('tables: the replayed programs list like the rules that nft loaded itself', async () => {
  using ours = scratch()
  using theirs = scratch()
  await using nft = ours.nft({ owner: false })
  await load(nft)
  inNetns(theirs.path, () => {
    loadHere(routedTable(marks))
    loadHere(switchedTable)
  })
  assert.match(listing(theirs), /table bridge switched/)
  assert.is(listing(ours), listing(theirs))
})

test('tables: both have their owner, and are replaced in one step', async () => {
  using net = scratch()
  await using nft = net.nft()
  await load(nft, everything)
  const before = net.generation()
  await load(nft)
  assert.is(net.generation(), before + 1)
  for (const ruleset of both) {
    assert.equal(await nft.readTable(ruleset), { digest: ruleset.digest, owned: true, persist: true })
  }
  const state = net.run('nft list ruleset')
  for (const command of [
    'delete table bridge switched',
    'add element bridge switched ports { wv2 }',
    'flush chain bridge switched port',
    'delete table inet routed',
    'add element inet routed from4 { 10.0.0.1 . 10.0.0.2 }',
    'add element inet routed admitted4 { 10.0.0.1 . 10.0.0.2 . udp . 1 }',
  ]) {
    assert.throws(() => net.run('nft', command), /Operation not permitted/, command)
  }
  net.run('nft flush ruleset')
  assert.is(net.run('nft list ruleset'), state)
})

test('tables: whoever wishes nothing any more finds both, and deletes them', async () => {
  using net = scratch()
  {
    await using first = net.nft()
    await load(first, everything)
  }
  await using nft = net.nft({ owner: false })
  const seen = await observeNft(nft, [], own)
  const found = seen.map(({ resource }) => resource)
  assert.equal(
    found.map(resource => resource.type === 'ruleset' && `${resource.family} ${resource.table}`),
    ['inet routed', 'bridge switched'],
  )
  await nft.commit(batchOf(surplus(seen, () => false)))
  assert.is(net.run('nft list ruleset'), '')
})

test('tables: one that nobody owns and was tampered with is known to have changed', async () => {
  using net = scratch()
  await using nft = net.nft({ owner: false })
  await load(nft)
  net.run('nft flush chain bridge switched port')
  assert.is((await nft.readTable(switched))?.digest, undefined)
  assert.is((await nft.readTable(routed))?.digest, routed.digest)
})

for (const features of [undefined, { owned: false, destroy: false }]) {
  const kernel = features ? 'an older kernel' : 'this kernel'

  test(`sets: elements of every shape are written, listed and removed, on ${kernel}`, async () => {
    using net = scratch()
    await using nft = net.nft({ owner: true, ...(features && { features }) })
    const want = everything.map(print).toSorted()
    await load(nft, everything)
    assert.equal(await contents(nft), want)
    for (let round = 0; round < 2; round += 1) {
      await nft.commit(change('remove', everything))
      assert.equal(await contents(nft), [])
    }
    for (let round = 0; round < 2; round += 1) {
      await nft.commit(change('add', everything))
      assert.equal(await contents(nft), want)
    }
    const shown = net.run('nft -n list ruleset').replace(/\s+/g, ' ')
    for (const part of [
      '172.18.0.2 . 10.0.0.0/8',
      '172.18.0.2 . 192.0.2.1',
      '"br0" . 10.0.0.0/9',
      '"br0" . ::/0',
      '10.9.0.0/24 : 192.0.2.1',
      'fd00::/64 : 2001:db8::1',
      '"wv1" . 02:42:0a:00:00:02 . 10.0.0.2',
      '"wv1" . 02:42:0a:00:00:02 . 0xfd000000000000000000000000000002',
    ]) {
      assert.ok(shown.includes(part), `${part} in ${shown}`)
    }
  })

  test(`sets: another value takes the place of the first, with prefixes too, on ${kernel}`, async () => {
    using net = scratch()
    await using nft = net.nft({ owner: true, ...(features && { features }) })
    await load(nft, everything)
    await nft.commit(change('add', [element('snat4', '10.9.0.0/24', '192.0.2.9')]))
    const snat = await nft.listElements('routed', 'snat4')
    assert.equal(snat, [
      { key: '10.9.0.0/24', value: '192.0.2.9' },
      { key: '10.9.1.0/24', value: '192.0.2.2' },
      { key: '255.255.255.0/24', value: '192.0.2.3' },
    ])
  })

  test(`sets: prefixes in keys and in maps come and go in any order, on ${kernel}`, async () => {
    using net = scratch()
    await using nft = net.nft({ owner: true, ...(features && { features }) })
    await load(nft)
    const chance = random(11)
    // None overlaps another one.
    const all = [1, 2, 3, 4].flatMap(i => [
      element('from4', `172.18.0.${i + 5} . 10.0.0.0/8`),
      element('from4', `172.18.0.2 . 10.${i}.0.0/16`),
      element('blackhole6', `br${i} . fd00::/16`),
      element('blackhole6', `br0 . fd00:${i}::/32`),
      element('snat4', `10.0.${i}.0/24`, `192.0.2.${i}`),
      element('snat6', `fd00:0:0:${i}::/64`, `2001:db8::${i}`),
    ])
    const present = new Map<string, Element>()
    for (let step = 0; step < 200; step += 1) {
      const item = pick(chance, all)
      const op = present.has(print(item)) ? 'remove' : 'add'
      await nft.commit(change(op, [item]))
      if (op === 'add') present.set(print(item), item)
      else present.delete(print(item))
      assert.equal(await contents(nft), [...present.keys()].toSorted(), `step ${step}: ${op} ${print(item)}`)
    }
  })
}

test('sets: single addresses that somebody else wrote are listed as prefixes', async () => {
  using net = scratch()
  await using nft = net.nft({ owner: false })
  await load(nft)
  net.run('nft add element inet routed from4', '{ 172.18.0.2 . 10.0.0.1, 172.18.0.2 . 10.0.1.1-10.0.1.3 }')
  assert.equal(
    (await nft.listElements('routed', 'from4')).map(({ key }) => key),
    ['172.18.0.2 . 10.0.0.1/32', '172.18.0.2 . 10.0.1.1-10.0.1.3'],
  )
})

test('sets: a prefix that overlaps another one of the same begin of the key is refused, and named', async () => {
  using net = scratch()
  await using nft = net.nft()
  await load(nft, [element('from4', '172.18.0.2 . 10.0.0.0/8')])
  const error = await nft
    .commit(change('add', [element('from4', '172.18.0.2 . 10.1.0.0/16')]))
    .catch((cause: unknown) => cause)
  assert.instance(error, KernelError)
  assert.is((error as KernelError).errno, 'EEXIST')
  assert.match((error as KernelError).message, /^add element from4 172\.18\.0\.2 \. 10\.1\.0\.0\/16: /)
})

test('sets: replacing the rules keeps the elements of all but what the rules have learnt', async () => {
  await using scene = routedScene()
  const { nft } = scene
  await load(nft, everything)
  scene.left.run('bash -c', 'echo hello >/dev/udp/10.2.0.2/99')
  assert.match(scene.host.run('nft list set inet routed admitted4'), /10\.1\.0\.2 \. 10\.2\.0\.2 \. udp \. 99 expires/)
  assert.equal(await contents(nft), everything.map(print).toSorted())
  await load(nft)
  assert.equal(await contents(nft), everything.map(print).toSorted())
  assert.not.match(scene.host.run('nft list set inet routed admitted4'), /elements/)
})

test('packets: a blackhole, a list of sources and a mark decide', async () => {
  await using scene = routedScene()
  const { nft, host, left } = scene
  await load(nft)
  await pings(left, '10.2.0.2')
  await nft.commit(
    change('add', [element('blackhole4', 'left . 10.2.0.0/24'), element('blackhole4', 'br . 0.0.0.0/0')]),
  )
  await pingsNot(left, '10.2.0.2')
  host.run('nft add table ip marker')
  host.run('nft add chain ip marker pre', '{ type filter hook prerouting priority -150; }')
  host.run('nft add rule ip marker pre meta mark set 0x1207')
  await pings(left, '10.2.0.2')
  host.run('nft flush chain ip marker pre')
  await pingsNot(left, '10.2.0.2')
  await nft.commit(change('remove', [element('blackhole4', 'left . 10.2.0.0/24')]))
  await pings(left, '10.2.0.2')

  await nft.commit(change('add', [element('limited4', '10.2.0.2'), element('from4', '10.2.0.2 . 10.1.0.128/25')]))
  await pingsNot(left, '10.2.0.2')
  await pings(left, '10.2.0.3')
  await nft.commit(change('add', [element('from4', '10.2.0.2 . 10.1.0.0/30')]))
  await pings(left, '10.2.0.2')
})

test('packets: a mask that was not configured accepts nothing', async () => {
  await using scene = routedScene()
  const closed = await compiled(routedTable(placeholders), { ...marks, acceptMask: 0, acceptValue: 0 })
  await scene.nft.commit([{ op: 'replace', ruleset: closed, elements: [element('blackhole4', 'left . 10.2.0.0/16')] }])
  await pingsNot(scene.left, '10.2.0.2')
})

test('packets: a source address is chosen by its prefix', async () => {
  await using scene = routedScene()
  const { nft, host, left, right } = scene
  await load(nft, [element('snat4', '10.1.0.0/24', '10.2.0.77'), element('snat4', '10.1.1.0/24', '10.2.0.78')])
  // Only the chosen address can be answered.
  right.run('ip route del 10.1.0.0/16')
  host.run('ip addr add 10.2.0.77/16 dev right')
  await pings(left, '10.2.0.2')
  left.run('ip addr add 10.1.2.2/16 dev eth0')
  await pingsNot(left, '10.2.0.2', '-I', '10.1.2.2')
})

test('packets: no port passes for another one', async () => {
  await using scene = switchedScene()
  const { nft, one, two } = scene
  const macs = [macOf(one), macOf(two)] as const
  const port = (index: 0 | 1, v4: string, v6: string): readonly Element[] => [
    element('ports', `port${index}`),
    element('ports_mac', `port${index} . ${macs[index]}`),
    element('ports4', `port${index} . ${macs[index]} . ${v4}`),
    element('ports6', `port${index} . ${macs[index]} . ${v6}`),
  ]
  await load(nft, [...port(0, '10.3.0.1', 'fd00:3::1'), ...port(1, '10.3.0.2', 'fd00:3::2')])
  await pings(one, '10.3.0.2')
  await pings(one, 'fd00:3::2')
  await pings(two, '10.3.0.1')

  one.run('ip addr add 10.3.0.9/16 dev eth0')
  one.run('ip addr add fd00:3::9/64 dev eth0 nodad')
  await pingsNot(one, '10.3.0.2', '-I', '10.3.0.9')
  await pingsNot(one, 'fd00:3::2', '-I', 'fd00:3::9')
  // Neither does it answer for an address that it was not given.
  await pingsNot(two, '10.3.0.9')
  await pingsNot(two, 'fd00:3::9')
  await nft.commit(change('add', port(0, '10.3.0.9', 'fd00:3::9')))
  await pings(one, '10.3.0.2', '-I', '10.3.0.9')
  await pings(two, 'fd00:3::9')

  one.run('ip link set eth0 address 02:00:00:00:00:99')
  await pingsNot(one, '10.3.0.2')
  await pingsNot(one, 'fd00:3::2')
})

test('packets: an address is probed for before it is used', async () => {
  await using scene = switchedScene()
  const { nft, one, two } = scene
  const probing = [element('ports', 'port0'), element('ports_mac', `port0 . ${macOf(one)}`)]
  // A host without an address asks with the sender 0.0.0.0.
  one.run('ip addr flush dev eth0 scope global')
  one.run('ip route add 10.3.0.0/16 dev eth0')
  await load(nft, probing.slice(0, 1))
  await pingsNot(one, '10.3.0.2')
  assert.not.match(one.run('ip neigh show 10.3.0.2'), /lladdr/)
  await nft.commit(change('add', probing))
  one.run('ip neigh flush dev eth0')
  await pingsNot(one, '10.3.0.2')
  assert.ok(one.run('ip neigh show 10.3.0.2').includes(`lladdr ${macOf(two)}`))
})

function macOf(place: Scratch): string {
  return /link\/ether (\S+)/.exec(place.run('ip link show eth0'))?.[1] ?? ''
}

test.run()
