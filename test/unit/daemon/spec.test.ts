import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Machine } from '../../../daemon/commands/machine.ts'
import { placeSpecs, specsFor } from '../../../daemon/commands/specs.ts'
import { specDirectory, specFiles } from '../../../daemon/spec.ts'
import { directory } from '../../support/directory.ts'

async function machine() {
  const place = await directory()
  const said: string[] = []
  const plain: Machine = { root: place.path, live: false, say: step => said.push(step) }
  const specs = join(place.path, specDirectory)
  return { plain, said, specs, root: place.path, [Symbol.asyncDispose]: () => place[Symbol.asyncDispose]() }
}

function settingsFile(root: string, content: object): void {
  mkdirSync(join(root, 'etc/weft'), { recursive: true })
  writeFileSync(join(root, 'etc/weft/weft.json'), JSON.stringify(content))
}

test('spec: one for each socket that the engine would not find by itself', () => {
  assert.equal(specFiles('/run/docker/plugins', ['bridge']), [])
  assert.equal(specFiles('/srv/weft', ['bridge']), [
    { path: '/etc/docker/plugins/weft-bridge.spec', text: 'unix:///srv/weft/weft-bridge.sock\n' },
    { path: '/etc/docker/plugins/weft-ipam.spec', text: 'unix:///srv/weft/weft-ipam.sock\n' },
  ])
})

test('spec: what means something else in an address is encoded', () => {
  assert.is(specFiles('/srv/100%?#a b', [])[0]?.text, 'unix:///srv/100%25%3F%23a%20b/weft-ipam.sock\n')
})

test('install: spec files follow the settings that the service will read', async () => {
  await using here = await machine()
  assert.equal(specsFor({ root: here.root }), [])
  settingsFile(here.root, { pluginDir: '/srv/weft', drivers: 'bridge' })
  process.env['WEFT_PLUGIN_DIR'] = '/of/the/shell/only'
  try {
    assert.equal(specsFor({ root: here.root }), specFiles('/srv/weft', ['bridge']))
  } finally {
    delete process.env['WEFT_PLUGIN_DIR']
  }
})

test('install: spec files are written once, changed, and taken back; those of others stay', async () => {
  await using here = await machine()
  const files = specFiles('/srv/weft', ['bridge'])
  await placeSpecs(here.plain, files)
  await placeSpecs(here.plain, files)
  assert.equal(
    here.said,
    files.map(({ path }) => `wrote ${path}`),
  )
  writeFileSync(join(here.specs, 'other.spec'), 'tcp://192.0.2.1:1\n')
  await placeSpecs(here.plain, specFiles('/srv/other', []))
  assert.equal(readdirSync(here.specs).sort(), ['other.spec', 'weft-ipam.spec'])
  assert.is(readFileSync(join(here.specs, 'weft-ipam.spec'), 'utf8'), 'unix:///srv/other/weft-ipam.sock\n')
  await placeSpecs(here.plain, [])
  assert.equal(readdirSync(here.specs), ['other.spec'])
})

test('uninstall: the directory of spec files goes with the last of them, and only then', async () => {
  await using here = await machine()
  mkdirSync(here.specs, { recursive: true })
  await placeSpecs(here.plain, [])
  assert.ok(existsSync(here.specs), 'it was empty before')
  await placeSpecs(here.plain, specFiles('/srv/weft', []))
  await placeSpecs(here.plain, [])
  assert.not.ok(existsSync(here.specs))
  assert.is(here.said.at(-1), 'removed /etc/docker/plugins/weft-ipam.spec')
})

test.run()
