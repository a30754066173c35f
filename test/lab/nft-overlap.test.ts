/** Prefixes that overlap, in sets of the kernel which refuse some of that: nothing old is in the way of what is wished. */
import { spawnSync } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { digestOf, fillMarks } from '../../native/kernel/nftables.ts'
import type { Element, Ruleset } from '../../native/kernel/resource.ts'
import type { Nft, NftOp } from '../../native/nft/batch.ts'
import { compileHere } from '../../native/nft/compile.ts'
import { routedTable } from '../support/nft-tables.ts'
import { scratch } from '../support/scratch.ts'

// Compiling is done in the namespace of the process.
if (!process.env['WEFT_TEST_NETNS']) {
  const env = { ...process.env, WEFT_TEST_NETNS: '1' }
  const child = spawnSync('unshare', ['--net', process.execPath, import.meta.filename], { env, stdio: 'inherit' })
  process.exit(child.status ?? 1)
}

const marks = { allowed: 0x100000, hairpin: 0x200000, acceptValue: 0x7, acceptMask: 0xff }
const program = fillMarks(await compileHere(routedTable(marks)), marks)
const ruleset: Ruleset = { type: 'ruleset', family: 'inet', table: 'routed', program, digest: digestOf(program) }

/** Each pair both ways. One begins like the wide one, which is another case for the kernel. */
const pairs = [
  within('from4', '172.18.0.2 . 10.0.0.0/8', '172.18.0.2 . 10.1.0.0/16', '172.18.0.2 . 10.0.0.0/16'),
  within('from6', 'fd00::2 . fd00::/16', 'fd00::2 . fd00:1::/32', 'fd00::2 . fd00::/32'),
  within('blackhole4', 'br0 . 10.0.0.0/8', 'br0 . 10.1.0.0/16', 'br0 . 10.0.0.0/16'),
  within('masq4', '10.0.0.0/8', '10.1.0.0/16', '10.0.0.0/16'),
  within('snat4', '10.0.0.0/8', '10.1.0.0/16', '10.0.0.0/16'),
].flat()

function within(set: string, wide: string, ...narrow: readonly string[]): readonly (readonly [Element, Element])[] {
  const outer = element(set, wide)
  return narrow.flatMap(key => {
    const inner = element(set, key)
    return [[outer, inner] as const, [inner, outer] as const]
  })
}

function element(set: string, key: string): Element {
  return { type: 'element', table: 'routed', set, key, ...(set === 'snat4' && { value: '192.0.2.1' }) }
}

function change(op: 'add' | 'remove', elements: readonly Element[]): readonly NftOp[] {
  return elements.map(item => ({ op, element: item }))
}

function load(elements: readonly Element[] = []): readonly NftOp[] {
  return [{ op: 'replace', ruleset, elements }]
}

async function keys(nft: Nft): Promise<readonly string[]> {
  const sets = ['from4', 'from6', 'blackhole4', 'masq4', 'snat4']
  const listed = await Promise.all(sets.map(set => nft.listElements('routed', set)))
  return listed.flat().map(({ key }) => key)
}

for (const features of [undefined, { owned: false, destroy: false }]) {
  const kernel = features ? 'an older kernel' : 'this kernel'
  const options = { owner: true, ...(features && { features }) }

  test(`overlap: a prefix takes the place of another one in one batch, on ${kernel}`, async () => {
    using net = scratch()
    await using nft = net.nft(options)
    await nft.commit(load())
    for (const [old, want] of pairs) {
      await nft.commit(change('add', [old]))
      // A wish that has changed is put like this: what is new comes first.
      await nft.commit([...change('add', [want]), ...change('remove', [old])])
      assert.equal(await keys(nft), [want.key], `instead of ${old.key}`)
      await nft.commit(change('remove', [want]))
    }
  })

  test(`overlap: what is wished counts when the rules are replaced, on ${kernel}`, async () => {
    using net = scratch()
    await using nft = net.nft(options)
    await nft.commit(load())
    // Apart from the others, by either field.
    const rest = [element('from4', '172.18.0.2 . 192.0.2.0/24'), element('from4', '172.18.0.3 . 10.0.0.0/8')]
    for (const [old, want] of pairs) {
      await nft.commit(change('add', [old, ...rest]))
      await nft.commit(load([want]))
      assert.equal(
        (await keys(nft)).toSorted(),
        [want, ...rest].map(({ key }) => key).toSorted(),
        `instead of ${old.key}`,
      )
      await nft.commit(change('remove', [want, ...rest]))
    }
  })
}

test('overlap: prefixes within each other are kept when the rules are replaced, ranges are not', async () => {
  using net = scratch()
  await using nft = net.nft({ owner: false })
  await nft.commit(load())
  // The other way round the kernel refuses them.
  await nft.commit(change('add', [element('from4', '172.18.0.2 . 10.1.0.0/16')]))
  await nft.commit(change('add', [element('from4', '172.18.0.2 . 10.0.0.0/8')]))
  // By somebody else: weft never writes one.
  net.run('nft add element inet routed from4', '{ 172.18.0.2 . 192.0.2.1-192.0.2.3 }')
  await nft.commit(load())
  assert.equal(await keys(nft), ['172.18.0.2 . 10.0.0.0/8', '172.18.0.2 . 10.1.0.0/16'])
})

test.run()
