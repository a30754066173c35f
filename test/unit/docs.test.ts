/** The documents are true to the code: what they list is what the sources have, and what they name exists. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { flagOf, settings, variableOf } from '../../daemon/settings.ts'
import { bridgeEndpointLabels, bridgeLabels } from '../../drivers/bridge/options.ts'
import { ipvlanLabels } from '../../drivers/ipvlan/index.ts'
import { macvlanLabels } from '../../drivers/macvlan/index.ts'
import { sysctls } from '../../drivers/network-labels.ts'
import { drivers } from '../../drivers/registry.ts'
import { firewallPage } from '../../scripts/firewall-page.ts'
import { methods } from '../../plugin-api/methods.ts'

const root = join(import.meta.dirname, '../..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const sourceFolders = ['daemon', 'drivers', 'ipam', 'native', 'plugin-api']
const documents = ['README.md', ...filesBelow('docs', '.md')]

function filesBelow(folder: string, ending: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith(ending))
    .map(name => `${folder}/${name}`)
    .sort()
}

/** Cells of the rows of all tables in a document, without their heads. Code marks are taken off the first cell. */
function tableRows(text: string): readonly (readonly string[])[] {
  return text
    .split('\n')
    .filter(
      (line, index, lines) =>
        line.startsWith('|') && !/^\|[-|]+$/.test(line) && !/^\|[-|]+$/.test(lines[index + 1] ?? ''),
    )
    .map(line =>
      line
        .replace(/^\| | \|$/g, '')
        .split(/ \| /)
        .map(cell => cell.trim()),
    )
}

/** The part of a document under one heading. */
function section(text: string, heading: string): string {
  const [, after] = text.split(new RegExp(`^#+ ${heading}$`, 'm'))
  if (after === undefined) throw new Error(`no heading "${heading}"`)
  return after.split(/^#/m)[0] ?? ''
}

function bare(cell = ''): string {
  return cell.replaceAll('`', '')
}

function sameNames(documented: readonly string[], real: readonly string[]): void {
  assert.equal([...documented].sort(), [...new Set(real)].sort())
}

test('protocol.md: every method of the routing table, with its need of a body, and no other', () => {
  const rows = tableRows(section(read('docs/protocol.md'), 'Calls')).map(
    ([name, body]) => `${bare(name)} ${body ?? ''}`,
  )
  sameNames(
    rows,
    Object.entries(methods).map(([name, { body }]) => `${name} ${body}`),
  )
})

test('errors.md: every code of the sources, and no other', () => {
  const codes = sourceFolders
    .flatMap(folder => filesBelow(folder, '.ts'))
    .flatMap(path => {
      const text = read(path)
      const thrown = [...text.matchAll(/new UserError\(\s*'([A-Z_]+)'/g)]
      const kept = [...text.matchAll(/\bcode: '([A-Z_]+)'/g)]
      return [...thrown, ...kept].flatMap(([, code]) => code ?? [])
    })
  sameNames(
    tableRows(read('docs/errors.md')).map(([code]) => bare(code)),
    codes,
  )
})

test('README: the table of settings is the one in the code', () => {
  const rows = tableRows(section(read('README.md'), 'Settings')).map(cells => cells.map(bare).join(' | '))
  const wanted = Object.entries(settings).map(([name, { default: value, help }]) =>
    [name, `--${flagOf(name)}`, variableOf(name), value, bare(help)].join(' | '),
  )
  assert.equal(rows, wanted)
})

test('README: every driver has a row, and every option', () => {
  const names = tableRows(section(read('README.md'), 'Drivers')).map(([name]) => bare(name))
  sameNames(
    names,
    [...Object.keys(drivers), 'ipam'].map(name => `weft-${name}`),
  )
  sameNames(
    tableRows(section(read('README.md'), 'Options of weft-bridge')).map(([name]) => bare(name)),
    [...bridgeLabels, ...bridgeEndpointLabels.filter(label => !bridgeLabels.includes(label))],
  )
  for (const [driver, labels] of [
    ['macvlan', macvlanLabels],
    ['ipvlan', ipvlanLabels],
  ] as const) {
    sameNames(
      tableRows(section(read('README.md'), `Options of weft-${driver}`)).map(([name]) => bare(name)),
      [...labels, sysctls.label],
    )
  }
})

test('firewall.md: is what the rules make of it', () => {
  assert.fixture(read('docs/firewall.md'), firewallPage())
})

test('kernel.md: every sort of resource, both marks', () => {
  const text = read('docs/kernel.md')
  const sources = ['resource.ts', 'links.ts'].map(name => read(`native/kernel/${name}`)).join('')
  const sorts = [...sources.matchAll(/readonly type: '(\w+)'/g)].map(([, sort]) => sort ?? '')
  sameNames(
    tableRows(section(text, "What carries weft's mark")).map(([sort]) => bare(sort)),
    sorts,
  )
  const marks = tableRows(section(text, 'Marks of packets')).map(([bits, setting]) => `${bits ?? ''} ${bare(setting)}`)
  assert.equal(
    marks,
    (['markAllowed', 'markHairpin'] as const).map(name => `${settings[name].default} ${name}`),
  )
})

test('adr/0002: every runtime dependency has its reason', () => {
  const { dependencies, optionalDependencies } = JSON.parse(read('package.json')) as Record<string, object>
  const named = tableRows(read('docs/adr/0002-runtime-and-dependencies.md')).flatMap(([names]) =>
    bare(names).split(', '),
  )
  sameNames(named, [...Object.keys(dependencies ?? {}), ...Object.keys(optionalDependencies ?? {})])
})

test('CHANGELOG: has the version of package.json', () => {
  const { version } = JSON.parse(read('package.json')) as { readonly version: string }
  assert.ok(read('docs/CHANGELOG.md').includes(`\n## ${version}`), version)
})

/** Names of a file's tests as patterns: what a template fills in can be anything. */
function testNames(path: string): readonly RegExp[] {
  const names = [...read(path).matchAll(/\btest\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/g)]
  return names.map(([, single, double, template]) => {
    const plain = (single ?? double ?? template ?? '').replace(/\\(.)/g, '$1')
    const parts = template === undefined ? [plain] : plain.split(/\$\{(?:[^{}]|\{[^{}]*\})*\}/)
    return new RegExp(`^${parts.map(part => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.+')}$`)
  })
}

test('features.md: what is done, of each row, is proved by a test that exists', () => {
  const rows = ['Done', 'Not yet'].flatMap(heading => {
    const some = tableRows(section(read('docs/features.md'), heading))
    assert.ok(some.length > 5, `${heading}: ${some.length} rows`)
    return some
  })
  for (const [id, , proofs = ''] of rows) {
    const named = proofs.split('<br>').map(proof => /^`?(test\/[\w./-]+\.test\.ts)`?: (.+)$/.exec(proof.trim()))
    for (const match of named) {
      assert.ok(match, `${id ?? ''}: "${proofs}" is not "file: name of the test"`)
      const [, path = '', name = ''] = match
      assert.ok(existsSync(join(root, path)), `${id ?? ''}: there is no ${path}`)
      assert.ok(
        testNames(path).some(pattern => pattern.test(name)),
        `${id ?? ''}: ${path} has no test "${name}"`,
      )
    }
  }
})

test('features.md: what is done is not named as missing', () => {
  const [done, missing] = ['Done', 'Not yet'].map(heading =>
    tableRows(section(read('docs/features.md'), heading)).map(([id = '']) => id),
  )
  assert.is(new Set(done).size, done?.length, 'a row stands twice')
  assert.equal(
    done?.filter(id => missing?.includes(id)),
    [],
  )
})

test('links: what documents and sources point to exists', () => {
  for (const path of documents) {
    for (const [, target = ''] of read(path).matchAll(/\]\(([^)#]+)[^)]*\)/g)) {
      if (/^https?:/.test(target)) continue
      assert.ok(existsSync(join(root, normalize(join(dirname(path), target)))), `${path}: ${target}`)
    }
  }
  const records = readdirSync(join(root, 'docs/adr'))
  for (const path of [...sourceFolders, 'scripts', 'test'].flatMap(folder => filesBelow(folder, '.ts'))) {
    for (const [, target = ''] of read(path).matchAll(/\bdocs\/((?:adr\/\d{4}|[a-z]+\.md))/g)) {
      const there = target.startsWith('adr/')
        ? records.some(name => name.startsWith(target.slice('adr/'.length)))
        : existsSync(join(root, 'docs', target))
      assert.ok(there, `${path}: docs/${target}`)
    }
  }
})

test.run()
