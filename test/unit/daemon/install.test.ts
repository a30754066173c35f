import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Admin } from '../../../daemon/commands/command.ts'
import { installUnit } from '../../../daemon/commands/install.ts'
import type { Machine } from '../../../daemon/commands/machine.ts'
import { uninstallAll, type Removal } from '../../../daemon/commands/uninstall.ts'
import { unitText } from '../../../daemon/unit.ts'
import { UserError } from '../../../plugin-api/answer.ts'
import { directory } from '../../support/directory.ts'
import { fakeView } from '../../support/view.ts'

const unit = 'etc/systemd/system/weft.service'
const wants = 'etc/systemd/system/multi-user.target.wants/weft.service'
const checkout = '/opt/weft'

async function machine(options: { readonly systemd?: boolean; readonly live?: boolean } = {}) {
  const place = await directory()
  const said: string[] = []
  const ran: string[] = []
  const say = (step: string): void => {
    said.push(step)
  }
  const systemctl = (...args: readonly string[]): void => {
    ran.push(args.join(' '))
  }
  const plain: Machine = { root: place.path, live: options.live ?? false, say }
  return {
    machine: options.systemd ? { ...plain, systemctl } : plain,
    path: (name: string) => join(place.path, name),
    write(name: string, text: string) {
      mkdirSync(dirname(join(place.path, name)), { recursive: true })
      writeFileSync(join(place.path, name), text)
    },
    said,
    ran,
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  }
}

const stopped: Admin = {
  get: () => Promise.reject(new UserError('NOT_RUNNING', 'weftd is not running')),
  settle: () => Promise.reject(new UserError('NOT_RUNNING', 'weftd is not running')),
  reserve: () => Promise.reject(new UserError('NOT_RUNNING', 'weftd is not running')),
  release: () => Promise.reject(new UserError('NOT_RUNNING', 'weftd is not running')),
}

function removal(changed: Partial<Removal> = {}): Removal {
  const config = {
    stateDir: '/var/lib/weft',
    runDir: '/run/weft',
    pluginDir: '/run/docker/plugins',
  }
  return { force: false, config, admin: stopped, sweepKernel: async () => [], ...changed }
}

async function refusal(work: Promise<void>): Promise<UserError> {
  try {
    await work
  } catch (cause) {
    if (cause instanceof UserError) return cause
    throw cause
  }
  throw new Error('was not refused')
}

test('unit: starts the checkout before the engine, and needs neither engine nor a mount namespace', () => {
  const text = unitText({ checkout })
  const lines = text.split('\n').filter(line => !line.startsWith('#'))
  for (const line of [
    'Before=docker.service',
    'Type=notify',
    'NotifyAccess=main',
    'ExecStart=/opt/weft/bin/weftd',
    'Restart=always',
    'RestartSec=1',
    'KillMode=process',
    'StateDirectory=weft',
    'RuntimeDirectory=weft',
    'WantedBy=multi-user.target docker.service',
  ]) {
    assert.ok(lines.includes(line), line)
  }
  const forbidden = /^(Requires|Wants|BindsTo|Protect\w+|Private\w+|RestrictNamespaces|MemoryDenyWriteExecute)=/
  assert.equal(
    lines.filter(line => forbidden.test(line)),
    [],
  )
})

test('unit: names another settings file, and refuses paths that need quoting', () => {
  assert.match(
    unitText({ checkout, config: '/srv/weft.json' }),
    'ExecStart=/opt/weft/bin/weftd --config /srv/weft.json\n',
  )
  for (const path of ['/opt/my weft', '/opt/100%', '/opt/$HOME', 'relative']) {
    assert.throws(() => unitText({ checkout: path }), /cannot stand in a unit file/)
  }
})

test('install: without systemd the unit is written and enabled for the next start', async () => {
  await using here = await machine()
  await installUnit(here.machine, { checkout })
  assert.is(readFileSync(here.path(unit), 'utf8'), unitText({ checkout }))
  assert.is(readlinkSync(here.path(wants)), '../weft.service')
  assert.ok(existsSync(here.path('etc/systemd/system/docker.service.wants/weft.service')))
  assert.is(here.said.at(-1), 'systemd does not run here: weft.service starts with the machine')
})

test('install: may be repeated', async () => {
  await using here = await machine()
  await installUnit(here.machine, { checkout })
  here.said.length = 0
  await installUnit(here.machine, { checkout })
  assert.equal(here.said, [
    '/etc/systemd/system/weft.service stands already',
    'systemd does not run here: weft.service starts with the machine',
  ])
})

test('install: a running systemd enables and starts it, and restarts it when the unit differs', async () => {
  await using here = await machine({ systemd: true })
  const commands = ['daemon-reload', 'enable weft.service']
  await installUnit(here.machine, { checkout })
  await installUnit(here.machine, { checkout })
  await installUnit(here.machine, { checkout: '/opt/weft2' })
  assert.equal(here.ran, [
    ...[...commands, 'start weft.service'],
    ...[...commands, 'start weft.service'],
    ...[...commands, 'restart weft.service'],
  ])
  assert.match(readFileSync(here.path(unit), 'utf8'), 'ExecStart=/opt/weft2/bin/weftd')
})

test('uninstall: leaves no trace but the settings file', async () => {
  await using here = await machine()
  await installUnit(here.machine, { checkout })
  here.said.length = 0
  here.write('var/lib/weft/weft.db', 'x')
  here.write('run/weft/weft.sock', 'x')
  here.write('etc/weft/weft.json', '{}')
  mkdirSync(here.path('run/docker/plugins'), { recursive: true })
  const sockets = ['weft-bridge.sock', 'other.sock'].map(name =>
    createServer().listen(here.path(`run/docker/plugins/${name}`)),
  )
  here.write('run/docker/plugins/weft-not-a-socket.json', '{}')

  await uninstallAll(here.machine, removal())

  assert.equal(here.said, [
    'removed /etc/systemd/system/multi-user.target.wants/weft.service',
    'removed /etc/systemd/system/docker.service.wants/weft.service',
    'removed /etc/systemd/system/weft.service',
    'removed /run/docker/plugins/weft-bridge.sock',
    'removed /run/weft',
    'removed /var/lib/weft',
    'kept /etc/weft/weft.json',
  ])
  assert.equal(readdirSync(here.path('run/docker/plugins')).sort(), ['other.sock', 'weft-not-a-socket.json'])
  assert.equal(readdirSync(here.path('etc/systemd/system')), [])
  for (const socket of sockets) socket.close()
})

test('uninstall: on a clean machine does and says nothing', async () => {
  await using here = await machine({ systemd: true })
  await uninstallAll(here.machine, removal())
  assert.equal(here.said, [])
  assert.equal(here.ran, [])
})

test('uninstall: is refused while links of containers stand, unless forced', async () => {
  await using here = await machine()
  await installUnit(here.machine, { checkout })
  here.write('sys/class/net/wvabc/ifalias', 'weft endpoint decade\n')
  here.write('sys/class/net/wbabc/ifalias', 'weft network c0ffee\n')
  here.write('sys/class/net/eth0/ifalias', '')
  here.write('sys/class/net/bonding_masters', '')
  const refused = await refusal(uninstallAll(here.machine, removal()))
  assert.is(refused.text, '1 endpoint of weft would lose the network: remove the containers first, or use --force')
  assert.ok(existsSync(here.path(unit)))
  await uninstallAll(here.machine, removal({ force: true }))
  assert.not.ok(existsSync(here.path(unit)))
})

test('uninstall: systemd stops the service before its unit goes', async () => {
  await using here = await machine({ systemd: true })
  await installUnit(here.machine, { checkout })
  here.ran.length = 0
  await uninstallAll(here.machine, removal())
  assert.equal(here.ran, ['disable --now weft.service', 'daemon-reload'])
})

test('uninstall: keeps a directory whose name is not weft’s', async () => {
  await using here = await machine()
  here.write('srv/data/records.db', 'x')
  const config = { ...removal().config, stateDir: '/srv/data' }
  await uninstallAll(here.machine, removal({ config }))
  assert.match(here.said.join('\n'), 'kept /srv/data: ')
  assert.ok(existsSync(here.path('srv/data/records.db')))
})

test('uninstall: what is in the kernel goes too, and the engine’s list is pointed out', async () => {
  await using here = await machine({ live: true })
  await uninstallAll(
    here.machine,
    removal({ sweepKernel: async () => ['removed bridge wbabc', 'removed ruleset weft'] }),
  )
  assert.equal(here.said, ['removed bridge wbabc', 'removed ruleset weft'])
})

/** A daemon that answers `times` times, then has ended. */
async function answering(times: number, endpoints: number): Promise<Admin> {
  const status = await fakeView().status()
  let left = times
  return {
    ...stopped,
    get: async path => {
      left -= 1
      if (left < 0) return stopped.get(path)
      return { ...status, counts: { ...status.counts, endpoints } } as never
    },
  }
}

test('uninstall: is refused while the daemon keeps endpoints, unless forced', async () => {
  await using here = await machine({ systemd: true, live: true })
  await installUnit(here.machine, { checkout })
  const refused = await refusal(uninstallAll(here.machine, removal({ admin: await answering(1, 3) })))
  assert.is(refused.text, '3 endpoints of weft would lose the network: remove the containers first, or use --force')
  assert.ok(existsSync(here.path(unit)))
  await uninstallAll(here.machine, removal({ force: true, admin: await answering(1, 3) }))
  assert.is(here.said.at(-1), 'the engine still lists 1 network of weft: nothing serves them now')
})

test('uninstall: a daemon that somebody started by hand is not ended, and nothing is removed under it', async () => {
  await using here = await machine({ live: true })
  here.write('var/lib/weft/weft.db', 'x')
  const refused = await refusal(uninstallAll(here.machine, removal({ admin: await answering(2, 0) })))
  assert.is(
    refused.text,
    "weftd runs as process 4711, and systemd did not start it: end it with 'kill 4711', or 'docker plugin disable' for a managed plugin, then repeat",
  )
  assert.ok(existsSync(here.path('var/lib/weft/weft.db')))
})

test.run()
