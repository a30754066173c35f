/** The bridge driver's tables and their elements in the kernel's own nf_tables, each test in a namespace of its own. */
import { execFileSync, spawnSync } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bridgeTables } from '../../drivers/bridge/rules.ts'
import { bridgeRulesets } from '../../drivers/bridge/ruleset.ts'
import { tableName } from '../../drivers/names.ts'
import { inNetns } from '../../native/ffi/netns.ts'
import type { AcceptRule, Element, Ruleset } from '../../native/kernel/resource.ts'
import { KernelError } from '../../native/netlink/errors.ts'
import { loadHere } from '../../native/nft/compile.ts'
import { hasLegacyAccept, insertLegacyAccept, legacyFilters, removeLegacyAccept } from '../../native/nft/legacy.ts'
import { parseCidr } from '../../native/value/ip.ts'
import { pick, random } from '../support/random.ts'
import { scratch, type Scratch } from '../support/scratch.ts'

// The old iptables' tables are those of the process.
if (!process.env['WEFT_TEST_NETNS']) {
  const env = { ...process.env, WEFT_TEST_NETNS: '1' }
  const child = spawnSync('unshare', ['--net', process.execPath, import.meta.filename], { env, stdio: 'inherit' })
  process.exit(child.status ?? 1)
}

const marks = { allowed: 0x100000, hairpin: 0x200000, acceptValue: 0x400000, acceptMask: 0xc00000 }
const ruleset = routed(marks)

/** The table that most of this is shown with. */
function routed(bits: typeof marks): Ruleset {
  return bridgeRulesets(bits).find(({ table }) => table === tableName) as Ruleset
}

function element(set: string, key: string, value?: string): Element {
  return { type: 'element', table: tableName, set, key, ...(value !== undefined && { value }) }
}

async function rejection(promise: Promise<unknown>): Promise<KernelError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof KernelError) return error
    throw error
  }
  throw new Error('it did not fail')
}

/** Without what weft adds to the table itself. */
function listing(net: Scratch): string {
  return net.run('nft list ruleset').replace(/ # progname.*|\n\tcomment .*|\n\tflags .*persist.*/g, '')
}

test('nft: the replayed programs list like the rules that nft loaded itself', async () => {
  using ours = scratch()
  using theirs = scratch()
  await using nft = ours.nft({ owner: false })
  await nft.commit(bridgeRulesets(marks).map(each => ({ op: 'replace', ruleset: each, elements: [] })))
  inNetns(theirs.path, () => {
    for (const table of bridgeTables(marks)) loadHere(table)
  })
  assert.match(listing(theirs), /chain from_br/)
  assert.is(listing(ours), listing(theirs))
})

test('nft: a table says which rule set it holds', async () => {
  using net = scratch()
  await using nft = net.nft()
  assert.is(await nft.readTable(ruleset), undefined)
  await nft.commit([{ op: 'replace', ruleset, elements: [] }])
  assert.equal(await nft.readTable(ruleset), { digest: ruleset.digest, owned: true, persist: true })
  assert.match(net.run('nft list table inet weft'), new RegExp(`comment "weft ${ruleset.digest}"`))
})

test('nft: nobody else can change a table that has an owner', async () => {
  using net = scratch()
  await using nft = net.nft()
  await nft.commit([{ op: 'replace', ruleset, elements: [element('bridges', 'wbabc')] }])
  const before = net.run('nft list ruleset')
  for (const command of [
    'delete table inet weft',
    'add element inet weft bridges { wbother }',
    'flush chain inet weft to_br',
  ]) {
    assert.throws(() => net.run('nft', command), /Operation not permitted/, command)
  }
  net.run('nft flush ruleset')
  await using other = net.nft()
  assert.not((await other.readTable(ruleset))?.owned)
  const error = await rejection(other.commit([{ op: 'replace', ruleset, elements: [] }]))
  assert.is(error.errno, 'EPERM')
  assert.match(error.message, /^load ruleset weft/)
  assert.is(net.run('nft list ruleset'), before)
})

test('nft: the table outlives its owner, and the next one takes it over in one step', async () => {
  using net = scratch()
  const first = net.nft()
  await first.commit([{ op: 'replace', ruleset, elements: [element('bridges', 'wbabc')] }])
  await first[Symbol.asyncDispose]()
  assert.match(net.run('nft list table inet weft'), /elements = { "wbabc" }/)

  await using second = net.nft()
  second.learn(ruleset)
  assert.equal(await second.readTable(ruleset), { digest: ruleset.digest, owned: false, persist: true })
  assert.ok(second.owner)
  const before = net.generation()
  await second.commit([{ op: 'replace', ruleset, elements: [element('bridges', 'wbdef')] }])
  assert.is(net.generation(), before + 1)
  assert.equal(await second.readTable(ruleset), { digest: ruleset.digest, owned: true, persist: true })
  assert.equal(await second.listElements(tableName, 'bridges'), [{ key: 'wbabc' }, { key: 'wbdef' }])
})

test('nft: replacing the rules keeps the elements, also those that arrive meanwhile', async () => {
  using net = scratch()
  await using nft = net.nft()
  const port = (value: string): Element => element('pub4any', 'tcp . 80', value)
  await nft.commit([{ op: 'replace', ruleset, elements: [element('masq4', '10.0.0.0/8'), port('10.0.0.2 . 80')] }])
  const other = routed({ ...marks, allowed: 0x10000, hairpin: 0x20000 })
  const late = Array.from({ length: 20 }, (_, i) => `wb${i}`)
  await nft.commit([{ op: 'add', element: element('masq4', '11.0.0.0/8') }])
  await Promise.all([
    nft.commit([
      { op: 'remove', element: element('masq4', '11.0.0.0/8') },
      { op: 'replace', ruleset: other, elements: [port('10.0.0.3 . 80')] },
    ]),
    ...late.map(name => nft.commit([{ op: 'add', element: element('bridges', name) }])),
  ])
  assert.is((await nft.readTable(ruleset))?.digest, other.digest)
  assert.equal(await nft.listElements(tableName, 'masq4'), [{ key: '10.0.0.0/8' }])
  assert.equal(await nft.listElements(tableName, 'pub4any'), [{ key: 'tcp . 80', value: '10.0.0.3 . 80' }])
  assert.is((await nft.listElements(tableName, 'bridges')).length, late.length)
})

test('nft: sets of another version of the rules are as good as empty', async () => {
  using net = scratch()
  await using nft = net.nft({ owner: false })
  for (const set of ['bridges { type ipv4_addr; elements = { 10.0.0.1 }; }', 'same { type ifname . ifname; }']) {
    net.run('nft', `add table inet weft; add set inet weft ${set}`)
  }
  net.run('nft add element inet weft same', '{ wbabc . wbabc }')
  nft.learn(ruleset)
  assert.equal(await nft.listElements(tableName, 'bridges'), [])
  await nft.commit([{ op: 'replace', ruleset, elements: [] }])
  assert.equal(await nft.listElements(tableName, 'bridges'), [])
  assert.equal(await nft.listElements(tableName, 'same'), [{ key: 'wbabc . wbabc' }])
})

const everything: readonly Element[] = [
  element('bridges', 'wbk3fq7w2m4xa'),
  element('hairpin', 'wbk3fq7w2m4xa . wbk3fq7w2m4xa'),
  element('guarded', 'ipv4'),
  element('guarded', 'ipv6'),
  element('masq4', '172.18.0.0/16'),
  element('masq4', '0.0.0.0/8'),
  element('masq4', '255.255.255.128/25'),
  element('masq6', 'fd00:18::/64'),
  element('masq6', 'ffff::/16'),
  element('pub4', '192.0.2.1 . udp . 53', '172.18.0.2 . 5353'),
  element('pub4any', 'tcp . 8080', '172.18.0.2 . 80'),
  element('pub6', '2001:db8::1 . tcp . 443', 'fd00:18::2 . 8443'),
  element('pub6any', 'udp . 65535', 'fd00:18::2 . 1'),
]

for (const features of [undefined, { owned: false, destroy: false }]) {
  const kernel = features ? 'an older kernel' : 'this kernel'

  test(`nft: elements are read back as they were written, on ${kernel}`, async () => {
    using net = scratch()
    await using nft = net.nft({ owner: true, ...(features && { features }) })
    await nft.commit([{ op: 'replace', ruleset, elements: everything }])
    await nft.commit([{ op: 'delete', family: 'inet', table: tableName }])
    await nft.commit([{ op: 'replace', ruleset, elements: [] }])
    await nft.commit(everything.map(item => ({ op: 'add', element: item })))
    for (const set of new Set(everything.map(item => item.set))) {
      const want = everything.filter(item => item.set === set).map(item => `${item.key} ${item.value ?? ''}`)
      const have = (await nft.listElements(tableName, set)).map(item => `${item.key} ${item.value ?? ''}`)
      assert.equal(have.toSorted(), want.toSorted(), set)
    }
    const listed = net.run('nft -n list map inet weft pub4')
    assert.match(listed, /elements = { 192\.0\.2\.1 \. 17 \. 53 : 172\.18\.0\.2 \. 5353 }/)
    await nft.commit(everything.map(item => ({ op: 'remove', element: item })))
    for (const set of new Set(everything.map(item => item.set)))
      assert.equal(await nft.listElements(tableName, set), [])
  })

  test(`nft: adding and removing twice is no error, another value replaces the first, on ${kernel}`, async () => {
    using net = scratch()
    await using nft = net.nft({ owner: true, ...(features && { features }) })
    const first = element('pub4any', 'tcp . 80', '172.18.0.2 . 80')
    const second = element('pub4any', 'tcp . 80', '172.18.0.3 . 80')
    const bridge = element('bridges', 'wbabc')
    const pool = element('masq4', '10.0.0.0/8')
    await nft.commit([{ op: 'replace', ruleset, elements: [first, bridge, pool] }])
    await nft.commit([first, bridge, pool].map(item => ({ op: 'add', element: item })))
    await nft.commit([
      { op: 'add', element: second },
      { op: 'add', element: element('bridges', 'wbdef') },
    ])
    assert.equal(await nft.listElements(tableName, 'pub4any'), [{ key: 'tcp . 80', value: '172.18.0.3 . 80' }])
    assert.is((await nft.listElements(tableName, 'bridges')).length, 2)
    for (let round = 0; round < 2; round += 1) {
      await nft.commit([second, bridge, pool].map(item => ({ op: 'remove', element: item })))
    }
    assert.equal(await nft.listElements(tableName, 'pub4any'), [])
    assert.equal(await nft.listElements(tableName, 'masq4'), [])
  })
}

test('nft: one refused element takes the whole batch back, and is named', async () => {
  using net = scratch()
  await using nft = net.nft()
  await nft.commit([{ op: 'replace', ruleset, elements: [element('masq4', '10.0.0.0/8')] }])
  const before = net.run('nft list ruleset')
  const error = await rejection(
    nft.commit([
      { op: 'add', element: element('bridges', 'wbabc') },
      { op: 'add', element: element('masq4', '10.1.0.0/16') },
      { op: 'add', element: element('bridges', 'wbdef') },
    ]),
  )
  assert.is(error.errno, 'EEXIST')
  assert.match(error.message, /^add element masq4 10\.1\.0\.0\/16: /)
  assert.is(net.run('nft list ruleset'), before)
})

test('nft: a rule set that cannot be loaded leaves the old one', async () => {
  using net = scratch()
  await using nft = net.nft()
  await nft.commit([{ op: 'replace', ruleset, elements: [element('bridges', 'wbabc')] }])
  const before = net.run('nft list ruleset')
  const elements = [element('masq4', '10.0.0.0/8'), element('masq4', '10.1.0.0/16')]
  const error = await rejection(nft.commit([{ op: 'replace', ruleset: { ...ruleset, digest: '0' }, elements }]))
  assert.match(error.message, /^add element masq4 \(2 elements\): /)
  assert.is(net.run('nft list ruleset'), before)
})

test('nft: elements of a table that is not there are a named error', async () => {
  using net = scratch()
  await using nft = net.nft()
  nft.learn(ruleset)
  const error = await rejection(nft.commit([{ op: 'add', element: element('bridges', 'wbabc') }]))
  assert.is(error.errno, 'ENOENT')
  assert.equal(await nft.listElements(tableName, 'bridges'), [])
  await nft.commit([{ op: 'remove', element: element('bridges', 'wbabc') }])
  await nft.commit([{ op: 'delete', family: 'inet', table: tableName }])
})

test('nft: adjacent pools come and go in any order', async () => {
  using net = scratch()
  await using nft = net.nft()
  const sets = [
    ['masq4', Array.from({ length: 12 }, (_, i) => `10.0.${i}.0/24`)],
    ['masq4', ['0.0.0.0/2', '64.0.0.0/2', '128.0.0.0/2', '192.0.0.0/2']],
    ['masq6', Array.from({ length: 8 }, (_, i) => parseCidr(`fd00:0:0:${i}::/64`) ?? '')],
  ] as const
  const chance = random(7)
  for (const [set, pools] of sets) {
    await nft.commit([{ op: 'delete', family: 'inet', table: tableName }])
    await nft.commit([{ op: 'replace', ruleset, elements: [] }])
    const present = new Set<string>()
    for (let step = 0; step < 150; step += 1) {
      const pool = pick<string>(chance, pools)
      const op = present.has(pool) ? 'remove' : 'add'
      await nft.commit([{ op, element: element(set, pool) }])
      if (op === 'add') present.add(pool)
      else present.delete(pool)
      const keys = (await nft.listElements(tableName, set)).map(({ key }) => key)
      assert.equal(keys.toSorted(), [...present].toSorted(), `${set} step ${step}: ${op} ${pool}`)
    }
  }
})

test('nft: a table without an owner that somebody took rules out of is known to have changed', async () => {
  using net = scratch()
  await using nft = net.nft({ owner: false })
  await nft.commit([{ op: 'replace', ruleset, elements: [] }])
  assert.equal(await nft.readTable(ruleset), { digest: ruleset.digest, owned: false, persist: false })
  net.run('nft flush chain inet weft to_br')
  assert.equal(await nft.readTable(ruleset), { digest: undefined, owned: false, persist: false })
  await nft.commit([{ op: 'replace', ruleset, elements: [] }])
  assert.is((await nft.readTable(ruleset))?.digest, ruleset.digest)
  net.run('nft flush ruleset')
  assert.is(await nft.readTable(ruleset), undefined)
})

for (const [family, iptables] of [
  ['ip', 'iptables-nft'],
  ['ip6', 'ip6tables-nft'],
] as const) {
  test(`nft: ${iptables} shows the accept rule with its condition`, async () => {
    using net = scratch()
    await using nft = net.nft()
    const rule: AcceptRule = { type: 'accept', family, chain: 'DOCKER-USER', backend: 'nft', mark: marks.allowed }
    net.run(`${iptables} -P FORWARD DROP`)
    assert.equal(await nft.foreignFilters(), [{ family, drops: true, dockerUser: false }])
    net.run(`${iptables} -N DOCKER-USER`)
    net.run(`${iptables} -A DOCKER-USER -j RETURN`)
    assert.equal(await nft.foreignFilters(), [{ family, drops: true, dockerUser: true }])
    assert.equal(await nft.findAccept(rule), [])
    for (let round = 0; round < 2; round += 1) await nft.commit([{ op: 'accept', rule }])
    const accept = '-m mark --mark 0x100000/0x100000 -m comment --comment weft -j ACCEPT'
    const want = `-N DOCKER-USER\n-A DOCKER-USER ${accept}\n-A DOCKER-USER -j RETURN\n`
    assert.is(net.run(`${iptables} -S DOCKER-USER`), want)
    assert.equal(await nft.findAccept({ ...rule, mark: 0x400000 }), [])

    // A firewall that saves and restores writes the rule in its own way.
    net.run('sh -c', `${iptables}-save | ${iptables}-restore`)
    assert.is((await nft.findAccept(rule)).length, 1)
    await nft.commit([{ op: 'unaccept', rule }])
    assert.is(net.run(`${iptables} -S DOCKER-USER`), '-N DOCKER-USER\n-A DOCKER-USER -j RETURN\n')
    await nft.commit([{ op: 'unaccept', rule }])
    await rejection(nft.commit([{ op: 'accept', rule: { ...rule, chain: 'NOWHERE' } }]))
  })
}

test('legacy: the accept rule is put into the old tables by their own program', async () => {
  assert.equal(await legacyFilters(), [])
  for (const [family, iptables] of [
    ['ip', 'iptables-legacy'],
    ['ip6', 'ip6tables-legacy'],
  ] as const) {
    const run = (...words: readonly string[]): string => execFileSync(iptables, words, { encoding: 'utf8' })
    const rule: AcceptRule = { type: 'accept', family, chain: 'DOCKER-USER', backend: 'legacy', mark: marks.allowed }
    assert.not(await hasLegacyAccept(rule))
    run('-P', 'FORWARD', 'DROP')
    run('-N', 'DOCKER-USER')
    run('-A', 'DOCKER-USER', '-j', 'RETURN')
    assert.equal((await legacyFilters()).at(-1), { family, drops: true, dockerUser: true })
    for (let round = 0; round < 2; round += 1) await insertLegacyAccept(rule)
    const accept = '-m mark --mark 0x100000/0x100000 -m comment --comment weft -j ACCEPT'
    const want = `-N DOCKER-USER\n-A DOCKER-USER ${accept}\n-A DOCKER-USER -j RETURN\n`
    assert.is(run('-S', 'DOCKER-USER'), want)
    assert.ok(await hasLegacyAccept(rule))
    for (let round = 0; round < 2; round += 1) await removeLegacyAccept(rule)
    assert.is(run('-S', 'DOCKER-USER'), '-N DOCKER-USER\n-A DOCKER-USER -j RETURN\n')
    const error = await rejection(insertLegacyAccept({ ...rule, chain: 'NOWHERE' }))
    assert.match(error.message, /^insert accept rule in old ip6? filter NOWHERE: /)
  }
})

test('nft: figures', async () => {
  using net = scratch()
  await using nft = net.nft()
  const ports = Array.from({ length: 10_000 }, (_, i) => element('pub4any', `tcp . ${i + 1}`, '172.18.0.2 . 80'))
  const time = async (what: string, times: number, work: (round: number) => Promise<unknown>): Promise<void> => {
    const start = performance.now()
    for (let round = 0; round < times; round += 1) await work(round)
    console.log(`${what}: ${((performance.now() - start) / times).toFixed(3)} ms`)
  }
  await time('load the rule set', 1, () => nft.commit([{ op: 'replace', ruleset, elements: [] }]))
  await time('replace the rule set', 20, () => nft.commit([{ op: 'replace', ruleset, elements: [] }]))
  const last = ports.at(-1) as Element
  await time('add one element to none', 1, () => nft.commit([{ op: 'add', element: last }]))
  await time('replace, with 10,000 elements', 3, () => nft.commit([{ op: 'replace', ruleset, elements: ports }]))
  await time('list 10,000 elements', 3, () => nft.listElements(tableName, 'pub4any'))
  await time('add one element to 10,000', 200, round =>
    nft.commit([{ op: 'add', element: element('pub4any', `udp . ${round + 1}`, '172.18.0.2 . 80') }]),
  )
  await time('remove one element of 10,000', 200, round =>
    nft.commit([{ op: 'remove', element: element('pub4any', `udp . ${round + 1}`) }]),
  )
  await time('add 500 elements in one batch', 1, () =>
    nft.commit(
      ports
        .slice(0, 500)
        .map(({ key }) => ({ op: 'add', element: element('pub4any', key.replace('tcp', 'udp'), '172.18.0.2 . 80') })),
    ),
  )
  await time('look at the table', 50, () => nft.readTable(ruleset))
  assert.is((await nft.listElements(tableName, 'pub4any')).length, 10_500)
})

test.run()
