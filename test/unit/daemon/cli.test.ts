import { spawn, spawnSync } from 'node:child_process'
import { lstat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createAdminServer } from '../../../daemon/admin.ts'
import { createMetrics } from '../../../daemon/metrics.ts'
import { version } from '../../../daemon/version.ts'
import type { View } from '../../../daemon/view.ts'
import { directory } from '../../support/directory.ts'
import { UserError } from '../../../plugin-api/answer.ts'
import { fakeIpamView, fakeView, recordedLog } from '../../support/view.ts'

interface Ended {
  readonly status: number | null
  readonly out: string
  readonly err: string
}

/** Runs `weft` as a process. The settings of the machine are kept out by naming a run directory in every call. */
function weft(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../../daemon/cli.ts'), ...args], {
    env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  return new Promise(resolve => {
    child.on('close', status => {
      resolve({ status, out, err })
    })
  })
}

async function daemon(changed: Partial<View> = {}) {
  const place = await directory()
  const view = fakeView(changed)
  const server = await createAdminServer({ view, metrics: createMetrics(), runDir: place.path, log: recordedLog().log })
  return {
    view,
    weft: (...args: readonly string[]) => weft(['--run-dir', place.path, ...args]),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await place[Symbol.asyncDispose]()
    },
  }
}

test('weft --json: what the daemon shows, before or after the command', async () => {
  await using running = await daemon()
  const names = ['status', 'networks', 'endpoints', 'ports', 'diff'] as const
  const ends = await Promise.all(names.map(name => running.weft(name, '--json')))
  for (const [index, name] of names.entries()) {
    assert.is(ends[index]?.status, 0)
    assert.equal(JSON.parse(ends[index]?.out ?? ''), await running.view[name](), name)
  }
  assert.equal(JSON.parse((await running.weft('--json', 'settle')).out), { changes: [], failed: [] })
  assert.equal(JSON.parse((await running.weft('version', '--json')).out), { weft: version(), weftd: '9.9.9' })
})

test('weft: a table for people, and the status of the command', async () => {
  await using running = await daemon({ diff: async () => [{ op: 'remove', text: 'element bridges wbx' }] })
  const table = 'CHANGE  FOR  WHAT\nremove  -    element bridges wbx\n'
  assert.equal(await running.weft('diff'), { status: 1, out: table, err: '' })
})

test('weft settle --force: reaches the daemon', async () => {
  const wishes: boolean[] = []
  await using running = await daemon({
    settle: async ({ force }) => {
      wishes.push(force)
      return { changes: [], failed: [] }
    },
  })
  assert.is((await running.weft('settle', '--force')).status, 0)
  assert.equal(wishes, [true])
})

test('weft: a stopped daemon is one line and exit status 3, also behind a stale socket', async () => {
  await using place = await directory()
  const told = `weftd is not running: no answer on ${place.path}/weft.sock: start it with 'systemctl start weft' or bin/weftd\n`
  const names = ['status', 'networks', 'endpoints', 'ports', 'diff', 'settle']
  const ends = await Promise.all(names.map(name => weft(['--run-dir', place.path, name])))
  for (const end of ends) assert.equal(end, { status: 3, out: '', err: told })

  const path = join(place.path, 'weft.sock')
  const dying = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', dying])
  assert.ok((await lstat(path)).isSocket())
  assert.equal(await weft(['--run-dir', place.path, 'status']), { status: 3, out: '', err: told })
})

test('weft: a daemon that ends while it is asked is a stopped one', async () => {
  await using place = await directory()
  const server = createServer(socket => socket.destroy()).listen(join(place.path, 'weft.sock'))
  const { status, err } = await weft(['--run-dir', place.path, 'status'])
  server.close()
  assert.is(status, 3)
  assert.match(err, /^weftd is not running: /)
})

test('weft: an error of the daemon is told and is exit status 1', async () => {
  await using running = await daemon({ ports: () => Promise.reject(new TypeError('oops')) })
  const { status, out, err } = await running.weft('ports')
  assert.equal([status, out, err], [1, '', 'weftd refused: internal error in weft: its log has the details\n'])
})

test('weft ipam: an address or a MAC that is none is exit status 2, what is refused 1', async () => {
  const refuse = (code: string) => () => Promise.reject(new UserError(code, 'no', { hint: 'try another' }))
  const ipam = fakeIpamView({
    address: refuse('BAD_ADDRESS'),
    reserve: refuse('BAD_MAC'),
    release: refuse('ADDRESS_HELD'),
  })
  await using running = await daemon({ ipam })
  const ends = await Promise.all([
    running.weft('ipam', 'show', '10.0.0.1/24'),
    running.weft('ipam', 'reserve', 'web', '10.0.0.1', '--mac', 'x'),
    running.weft('ipam', 'release', '10.0.0.1'),
  ])
  assert.equal(
    ends.map(({ status }) => status),
    [2, 2, 1],
  )
  assert.is(ends[0].err, 'weftd refused: no: try another\n')
})

test('weft: the run directory comes from flag, variable or settings file', async () => {
  await using place = await directory()
  const file = join(place.path, 'weft.json')
  await writeFile(file, JSON.stringify({ runDir: '/from/file', drivers: ['bridge'] }))
  assert.match((await weft(['--config', file, 'status'])).err, '/from/file/weft.sock')
  assert.match((await weft(['status'], { WEFT_CONFIG: file })).err, '/from/file/weft.sock')
  assert.match((await weft(['status'], { WEFT_RUN_DIR: '/from/env', WEFT_OTHER: 'x' })).err, '/from/env/weft.sock')
  assert.match((await weft(['--run-dir', '/flag', 'status'], { WEFT_RUN_DIR: '/from/env' })).err, '/flag/weft.sock')
  const wrong = await weft(['--run-dir', 'here', 'status'])
  assert.equal([wrong.status, wrong.err], [2, '--run-dir: expected an absolute path, got "here"\n'])
})

test('weft version: also without a daemon', async () => {
  const { status, out } = await weft(['--run-dir', '/nowhere', 'version'])
  assert.equal([status, out], [0, `weft   ${version()}\nweftd  not running, or not open to this user\n`])
})

test('weft: asked wrongly is exit status 2 and names what was wrong', async () => {
  const unknown = await weft(['statsu'])
  assert.equal([unknown.status, unknown.err], [2, "weft: unknown command 'statsu' (Did you mean status?)\n"])
  const flag = await weft(['diff', '--forse'])
  assert.is(flag.status, 2)
  assert.match(flag.err, /^weft: unknown option '--forse'/)
  assert.is((await weft(['status', 'extra'])).status, 2)
  assert.is((await weft([])).status, 2)
})

test('weft --help: names every command and hides what is for tests', async () => {
  const { status, out } = await weft(['--help'])
  assert.is(status, 0)
  for (const name of [
    'status',
    'networks',
    'endpoints',
    'ports',
    'diff',
    'settle',
    'version',
    'install',
    'uninstall',
  ]) {
    assert.match(out, new RegExp(`^  ${name} `, 'm'))
  }
  assert.not.match((await weft(['install', '--help'])).out, '--root')
})

test('weft install, uninstall: as a process, into a directory', async () => {
  await using place = await directory()
  const run = await weft(['install', '--root', place.path, '--json'])
  assert.equal([run.status, run.err], [0, ''])
  assert.is((JSON.parse(run.out) as { steps: string[] }).steps[0], 'wrote /etc/systemd/system/weft.service')
  const gone = await weft(['uninstall', '--root', place.path])
  assert.equal([gone.status, gone.err], [0, ''])
  assert.match(gone.out, 'removed /etc/systemd/system/weft.service\n')
})

test.run()
