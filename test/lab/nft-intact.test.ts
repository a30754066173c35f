/** A table that has no owner: whatever others do to its rules is found out, and nothing else is taken for that. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bridgeRulesets } from '../../drivers/bridge/ruleset.ts'
import { tableName } from '../../drivers/names.ts'
import type { Ruleset } from '../../native/kernel/resource.ts'
import { scratch, type Scratch } from '../support/scratch.ts'

const rulesets = bridgeRulesets({ allowed: 0x100000, hairpin: 0x200000, acceptValue: 0x400000, acceptMask: 0xc00000 })
const [ruleset] = rulesets.filter(({ table }) => table === tableName) as [Ruleset]

/** Handle of the first rule of the chain. */
function firstOf(net: Scratch, chain: string): string {
  const [, handle = ''] = /\n\t\t.* # handle (\d+)\n/.exec(net.run(`nft -a list chain inet weft ${chain}`)) ?? []
  return handle
}

const changes: Readonly<Record<string, (net: Scratch) => string>> = {
  'a rule that is another one by now': net => `replace rule inet weft to_br handle ${firstOf(net, 'to_br')} accept`,
  'a rule less': net => `delete rule inet weft to_br handle ${firstOf(net, 'to_br')}`,
  'a rule more': () => 'insert rule inet weft to_br accept',
  'one less and one more': net =>
    `delete rule inet weft to_br handle ${firstOf(net, 'to_br')}; insert rule inet weft to_br accept`,
  'a chain with another policy': () => 'add chain inet weft forward { policy drop; }',
  'a chain that is never called': () => 'add chain inet weft another',
}

for (const [name, change] of Object.entries(changes)) {
  test(`intact: ${name} is found out, and mended`, async () => {
    using net = scratch()
    await using nft = net.nft({ owner: false })
    await nft.commit([{ op: 'replace', ruleset, elements: [] }])
    assert.is((await nft.readTable(ruleset))?.digest, ruleset.digest)
    net.run('nft', change(net))
    assert.equal(await nft.readTable(ruleset), { digest: undefined, owned: false, persist: false })
    await nft.commit([{ op: 'replace', ruleset, elements: [] }])
    assert.is((await nft.readTable(ruleset))?.digest, ruleset.digest)
  })
}

test('intact: what another process loaded is as it should be, whatever came into its sets', async () => {
  using net = scratch()
  await using first = net.nft({ owner: false })
  await first.commit(rulesets.map(each => ({ op: 'replace', ruleset: each, elements: [] })))
  net.run('nft', 'add element inet weft bridges { wbabc }; add table inet other; add chain inet other to_br')
  await using second = net.nft({ owner: false })
  for (const each of rulesets) {
    second.learn(each)
    assert.is((await second.readTable(each))?.digest, each.digest, each.table)
  }
})

test('intact: where the kernel shows rules otherwise, what was loaded is remembered', async () => {
  using net = scratch()
  await using nft = net.nft({ owner: false })
  await nft.commit([{ op: 'replace', ruleset, elements: [] }])
  // As if this kernel had no names for its rules.
  const elsewhere = ruleset.program.messages.map(each => ({ ...each, attrs: each.attrs.replace(/.{4}$/, 'AAAA') }))
  nft.learn({ ...ruleset, program: { ...ruleset.program, messages: elsewhere } })
  assert.is((await nft.readTable(ruleset))?.digest, ruleset.digest)
  net.run('nft', 'insert rule inet weft to_br accept')
  assert.is((await nft.readTable(ruleset))?.digest, undefined)
})

test.run()
