/** The checked-in program was made from the rules as they stand. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bridgeTable } from '../../drivers/bridge/rules.ts'
import { placeholders } from '../../native/kernel/nftables.ts'
import { sourceDigest } from '../../native/nft/compile.ts'

const howTo = 'run `scripts/node scripts/compile-ruleset.ts`'
const text = readFileSync('drivers/bridge/compiled.json', 'utf8')

function versionsOf(json: string): string {
  const { nft, kernel } = JSON.parse(json) as { readonly nft: string; readonly kernel: string }
  return `nft ${nft}, kernel ${kernel}`
}

test('ruleset: the program belongs to these rules', () => {
  const { source } = JSON.parse(text) as { readonly source: string }
  assert.is(source, sourceDigest(bridgeTable(placeholders)), howTo)
})

test('ruleset: compiling again gives the same program', () => {
  const child = spawnSync(process.execPath, ['scripts/compile-ruleset.ts', '--print'], { encoding: 'utf8' })
  if (child.status === 3) {
    console.log(`not compiled here: ${child.stderr.trim()}`)
    return
  }
  assert.is(child.status, 0, child.stderr)
  if (versionsOf(child.stdout) === versionsOf(text)) assert.is(child.stdout, text, howTo)
  else console.log(`not compared: made with ${versionsOf(text)}, here is ${versionsOf(child.stdout)}`)
})

test('ruleset: every placeholder stands in for a whole register value', () => {
  const { messages } = JSON.parse(text) as { readonly messages: readonly { readonly attrs: string }[] }
  const bytes = Buffer.concat(messages.map(({ attrs }) => Buffer.from(attrs, 'base64')))
  for (const [name, count] of [
    ['allowed', 1],
    ['hairpin', 2],
  ] as const) {
    const value = Buffer.from('0800010000000000', 'hex')
    value.writeUInt32LE(placeholders[name], 4)
    assert.is(bytes.toString('latin1').split(value.toString('latin1')).length - 1, count, name)
  }
})

test.run()
