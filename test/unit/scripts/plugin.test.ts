import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readConfig } from '../../../daemon/config.ts'
import { settings } from '../../../daemon/settings.ts'
import { unitText } from '../../../daemon/unit.ts'
import { drivers } from '../../../drivers/registry.ts'
import { methods } from '../../../plugin-api/methods.ts'
import { neededPackages, pluginConfig } from '../../../scripts/plugin.ts'

test('managed plugin: has the capabilities of the service, and no others', () => {
  const [, listed = ''] = /^CapabilityBoundingSet=(.*)$/m.exec(unitText({ checkout: '/opt/weft' })) ?? []
  assert.equal([...pluginConfig().linux.capabilities].sort(), listed.split(' ').sort())
})

test('managed plugin: its variables are settings, and say what holds without them', () => {
  const ours = pluginConfig().env.filter(({ name }) => name.startsWith('WEFT_'))
  assert.ok(ours.length > 0)
  const read = (env: Readonly<Record<string, string>>): unknown =>
    readConfig({ argv: [], env, readFile: () => undefined, drivers: Object.keys(drivers) })
  assert.equal(read(Object.fromEntries(ours.map(({ name, value }) => [name, value]))), read({}))
  for (const { settable } of ours) assert.equal(settable, ['value'])
})

test('managed plugin: serves the halves of the one socket that it has, and keeps its records', async () => {
  const { interface: served, propagatedMount } = pluginConfig()
  assert.ok(Object.keys(drivers).some(name => served.socket === `weft-${name}.sock`))
  assert.equal(served.types, ['docker.networkdriver/1.0', 'docker.ipamdriver/1.0'])
  const halves = new Set(Object.values(methods).flatMap(({ half }) => half ?? []))
  assert.is(halves.size, served.types.length)
  assert.is(propagatedMount, settings.stateDir.default)
})

test('managed plugin: no mount of the engine’s directories comes back to the host', () => {
  for (const { options } of pluginConfig().mounts) assert.equal(options, ['bind', 'private'])
})

test('managed plugin: holds the packages that weft runs with, and none of its tools', async () => {
  const names = await neededPackages()
  for (const name of ['fastify', 'koffi', 'pino']) assert.ok(names.includes(`node_modules/${name}`), name)
  const tools = /typescript|eslint|prettier|uvu|typebox|node-linux/
  assert.equal(
    names.filter(name => tools.test(name)),
    [],
  )
})

test.run()
