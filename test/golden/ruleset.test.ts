/** The checked-in programs were made from the rules as they stand. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bridgeTables } from '../../drivers/bridge/rules.ts'
import { ownTables } from '../../drivers/names.ts'
import { placeholders } from '../../native/kernel/nftables.ts'
import { sourceDigest } from '../../native/nft/compile.ts'

interface Compiled {
  readonly nft: string
  readonly kernel: string
  readonly tables: readonly {
    readonly family: string
    readonly table: string
    readonly source: string
    readonly sets: Readonly<Record<string, unknown>>
    readonly messages: readonly { readonly attrs: string }[]
  }[]
}

const howTo = 'run `scripts/node scripts/compile-ruleset.ts`'
const text = readFileSync('drivers/bridge/compiled.json', 'utf8')
const compiled = JSON.parse(text) as Compiled
const tables = bridgeTables(placeholders)

function versionsOf({ nft, kernel }: Compiled): string {
  return `nft ${nft}, kernel ${kernel}`
}

test("ruleset: there is a program for each of weft's tables, and for no other", () => {
  const names = ({ family, table }: { readonly family: string; readonly table: string }): string => `${family} ${table}`
  assert.equal(compiled.tables.map(names), ownTables.map(names))
  assert.equal(
    tables.map(({ family, name }) => `${family} ${name}`),
    ownTables.map(names),
  )
})

test('ruleset: a set has a name that no set of another table has', () => {
  const names = compiled.tables.flatMap(({ sets }) => Object.keys(sets))
  assert.equal([...new Set(names)], names)
})

for (const [index, table] of tables.entries()) {
  test(`ruleset: the program of ${table.family} ${table.name} belongs to its rules`, () => {
    assert.is(compiled.tables[index]?.source, sourceDigest(table), howTo)
  })
}

test('ruleset: compiling again gives the same programs', () => {
  const child = spawnSync(process.execPath, ['scripts/compile-ruleset.ts', '--print'], { encoding: 'utf8' })
  if (child.status === 3) {
    console.log(`not compiled here: ${child.stderr.trim()}`)
    return
  }
  assert.is(child.status, 0, child.stderr)
  const again = JSON.parse(child.stdout) as Compiled
  if (versionsOf(again) === versionsOf(compiled)) assert.is(child.stdout, text, howTo)
  else console.log(`not compared: made with ${versionsOf(compiled)}, here is ${versionsOf(again)}`)
})

test('ruleset: every placeholder stands in for a whole register value', () => {
  const messages = compiled.tables.flatMap(table => table.messages)
  const bytes = Buffer.concat(messages.map(({ attrs }) => Buffer.from(attrs, 'base64')))
  for (const [name, count] of [
    ['allowed', 1],
    ['hairpin', 2],
    ['acceptMask', 1],
    ['acceptValue', 1],
  ] as const) {
    const value = Buffer.from('0800010000000000', 'hex')
    value.writeUInt32LE(placeholders[name], 4)
    assert.is(bytes.toString('latin1').split(value.toString('latin1')).length - 1, count, name)
  }
})

test.run()
