/** Fails when an import goes against the arrows of the house, or a source file is too long. See docs/adr/0001. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

/** Which folders a folder may import from, longest prefix first. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  'plugin-api': ['plugin-api'],
  native: ['native'],
  ipam: ['ipam', 'native/value', 'plugin-api/ids.ts', 'plugin-api/answer.ts'],
  drivers: ['drivers', 'native/kernel', 'native/value', 'plugin-api/ids.ts', 'plugin-api/answer.ts'],
  daemon: ['daemon', 'drivers', 'ipam', 'native', 'plugin-api'],
  test: ['test', 'daemon', 'drivers', 'ipam', 'native', 'plugin-api', 'scripts'],
  scripts: ['scripts', 'test', 'daemon', 'drivers', 'ipam', 'native', 'plugin-api'],
}
const hardLimit = 400
const complaints: string[] = []
let files = 0

for (const folder of Object.keys(arrows)) {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue
    check(folder, join(entry.parentPath, entry.name))
  }
}

function check(folder: string, path: string): void {
  files += 1
  const source = readFileSync(path, 'utf8')
  const lines = source.split('\n').length
  if (lines > hardLimit) complaints.push(`${path}: ${lines} lines: which two things is this?`)
  for (const [, target = ''] of source.matchAll(/(?:from|import) '(\.[^']+)'/g)) {
    const to = normalize(join(dirname(path), target))
    const allowed = (arrows[folder] ?? []).some(prefix => to === prefix || to.startsWith(`${prefix}/`))
    if (!allowed) complaints.push(`${path}: must not import ${to}`)
  }
}

for (const complaint of complaints) console.error(complaint)
console.log(`${files} files`)
process.exitCode = complaints.length === 0 ? 0 : 1
