/** The rule sets on a kernel whose tables have no owner, and whose nf_tables loads its parts as modules. */
import { release } from 'node:os'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bridgeTables } from '../../drivers/bridge/rules.ts'
import { bridgeRulesets } from '../../drivers/bridge/ruleset.ts'
import { tableName } from '../../drivers/names.ts'
import { inNetns } from '../../native/ffi/netns.ts'
import type { Element, Ruleset } from '../../native/kernel/resource.ts'
import { loadHere } from '../../native/nft/compile.ts'
import { scratch, type Scratch } from '../support/scratch.ts'

const marks = { allowed: 0x100000, hairpin: 0x200000, acceptValue: 0x400000, acceptMask: 0xc00000 }
const rulesets = bridgeRulesets(marks)
const routed = rulesets.find(({ table }) => table === tableName) as Ruleset

function element(set: string, key: string, value?: string): Element {
  return { type: 'element', table: tableName, set, key, ...(value !== undefined && { value }) }
}

/** Handle of the first rule of the chain. */
function firstOf(net: Scratch, chain: string): string {
  const [, handle = ''] = /\n\t\t.* # handle (\d+)\n/.exec(net.run(`nft -a list chain inet weft ${chain}`)) ?? []
  return handle
}

/** Without what weft adds to the tables itself. */
function listing(net: Scratch): string {
  return net.run('nft list ruleset').replace(/ # progname.*|\n\tcomment .*/g, '')
}

test("guest rules: the kernel is Debian 12's", () => {
  assert.match(release(), /^6\.1\./)
})

test('guest rules: the replayed programs list like the rules that nft loads here itself', async () => {
  using ours = scratch()
  using theirs = scratch()
  await using nft = ours.nft()
  await nft.commit(rulesets.map(ruleset => ({ op: 'replace', ruleset, elements: [] })))
  inNetns(theirs.path, () => {
    for (const table of bridgeTables(marks)) loadHere(table)
  })
  assert.match(listing(ours), /chain from_br/)
  assert.is(listing(ours), listing(theirs))
})

test('guest rules: an owner is wanted, refused, and done without', async () => {
  using net = scratch()
  await using nft = net.nft({ owner: true })
  assert.not(nft.owner)
  await nft.commit(rulesets.map(ruleset => ({ op: 'replace', ruleset, elements: [] })))
  for (const ruleset of rulesets) {
    const want = { digest: ruleset.digest, owned: false, persist: false }
    assert.equal(await nft.readTable(ruleset), want, ruleset.table)
  }
  // Nobody owns it: another program's change is a fact, and is noticed.
  net.run('nft flush chain inet weft to_br')
  assert.is((await nft.readTable(routed))?.digest, undefined)
  await nft.commit([{ op: 'replace', ruleset: routed, elements: [] }])
  assert.is((await nft.readTable(routed))?.digest, routed.digest)
  net.run('nft', `insert rule inet weft to_br accept; delete rule inet weft to_br handle ${firstOf(net, 'to_br')}`)
  assert.is((await nft.readTable(routed))?.digest, undefined)
  net.run('nft flush ruleset')
  assert.is(await nft.readTable(routed), undefined)
})

test('guest rules: this kernel shows the rules as the one does that they were compiled with', async () => {
  using net = scratch()
  await using first = net.nft()
  await first.commit(rulesets.map(ruleset => ({ op: 'replace', ruleset, elements: [] })))
  await using second = net.nft()
  for (const ruleset of rulesets) {
    second.learn(ruleset)
    assert.is((await second.readTable(ruleset))?.digest, ruleset.digest, ruleset.table)
  }
})

test('guest rules: elements are added, removed and kept when the rules are replaced', async () => {
  using net = scratch()
  await using nft = net.nft()
  const port = (number: number, to: string): Element => element('pub4any', `tcp . ${number}`, to)
  await nft.commit([
    { op: 'replace', ruleset: routed, elements: [element('masq4', '10.0.0.0/8'), port(80, '10.0.0.2 . 80')] },
  ])
  const batch = Array.from({ length: 500 }, (_, index) => port(1000 + index, '10.0.0.2 . 80'))
  await nft.commit(batch.map(each => ({ op: 'add', element: each })))
  await nft.commit([
    ...batch.slice(1).map(each => ({ op: 'remove', element: each }) as const),
    // Neither what is there already nor what is gone is an error, with or without the messages of newer kernels.
    { op: 'add', element: port(80, '10.0.0.2 . 80') },
    { op: 'remove', element: port(99, '10.0.0.2 . 80') },
    { op: 'add', element: element('bridges', 'wbabc') },
  ])
  const other = bridgeRulesets({ ...marks, allowed: 0x1000000 }).find(({ table }) => table === tableName) as Ruleset
  await nft.commit([{ op: 'replace', ruleset: other, elements: [port(80, '10.0.0.3 . 80')] }])
  assert.is((await nft.readTable(other))?.digest, other.digest)
  assert.equal(await nft.listElements(tableName, 'masq4'), [{ key: '10.0.0.0/8' }])
  assert.equal(await nft.listElements(tableName, 'bridges'), [{ key: 'wbabc' }])
  const ports = await nft.listElements(tableName, 'pub4any')
  assert.equal(
    ports.toSorted((a, b) => a.key.localeCompare(b.key)),
    [
      { key: 'tcp . 1000', value: '10.0.0.2 . 80' },
      { key: 'tcp . 80', value: '10.0.0.3 . 80' },
    ],
  )
  await nft.commit([{ op: 'delete', family: 'inet', table: tableName }])
  assert.is(net.run('nft list ruleset'), '')
})

test.run()
