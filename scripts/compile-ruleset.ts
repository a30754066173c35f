/**
 * Writes drivers/bridge/compiled.json: the bridge driver's tables as the kernel takes them. Needs `nft`, no root.
 * `--print` writes to standard output instead. Exits with 3 when this machine cannot compile.
 */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { placeholders, type NftTable } from '../native/kernel/nftables.ts'
import { compileHere, nftVersion, sourceDigest } from '../native/nft/compile.ts'
import { bridgeTables } from '../drivers/bridge/rules.ts'

const cannotCompile = 3
const tables = bridgeTables(placeholders)
const [mode] = process.argv.slice(2)

if (mode === '--here') {
  const version = release().split('.', 2).join('.')
  const compiled: string[] = []
  for (const table of tables) compiled.push(await textOf(table))
  const text = [
    '{',
    `  "nft": ${JSON.stringify(nftVersion())},`,
    `  "kernel": ${JSON.stringify(version)},`,
    `  "tables": [\n${compiled.join(',\n')}\n  ]`,
    '}\n',
  ].join('\n')
  process.stdout.write(text)
} else {
  // A network namespace of its own; whoever is not root also needs a user namespace to be root in.
  const apart = process.getuid?.() === 0 ? '--net' : '--map-root-user'
  const child = spawnSync('unshare', [apart, '--net', process.execPath, import.meta.filename, '--here'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  if (child.status !== 0) {
    console.error(child.error?.message ?? child.stderr.trim())
    process.exitCode = cannotCompile
  } else if (mode === '--print') process.stdout.write(child.stdout)
  else writeFileSync(new URL('../drivers/bridge/compiled.json', import.meta.url), child.stdout)
}

/** One thing per line, so that a change of one rule is a change of one line. */
async function textOf(table: NftTable): Promise<string> {
  const { messages, sets } = await compileHere(table)
  const shapes = Object.entries(sets).map(
    ([name, shape]) => `        ${JSON.stringify(name)}: ${JSON.stringify(shape)}`,
  )
  return [
    '    {',
    `      "family": ${JSON.stringify(table.family)},`,
    `      "table": ${JSON.stringify(table.name)},`,
    `      "source": ${JSON.stringify(sourceDigest(table))},`,
    `      "sets": {\n${shapes.join(',\n')}\n      },`,
    `      "messages": [\n${messages.map(message => `        ${JSON.stringify(message)}`).join(',\n')}\n      ]`,
    '    }',
  ].join('\n')
}
