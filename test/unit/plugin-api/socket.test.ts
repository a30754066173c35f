import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { once } from 'node:events'
import { readdir, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { UserError } from '../../../plugin-api/answer.ts'
import { client } from '../../support/client.ts'
import { recorder } from '../../support/handlers.ts'
import { ids, leave, opened, stage } from '../../support/stage.ts'

test('sockets: an IPAM-only one serves that half only, under its own name', async () => {
  await using s = await stage()
  const path = join(s.folder, 'weft-ipam.sock')
  const { ipam, calls } = recorder()
  await s.server.listen(path, { driver: 'weft-ipam', handlers: { ipam } })
  using ask = client(path)
  assert.equal((await ask.post('Plugin.Activate')).json, { Implements: ['IpamDriver'] })
  assert.is((await ask.post('IpamDriver.ReleasePool', { PoolID: 'p' })).text, '{}')
  assert.is(calls.length, 1)
  for (const method of ['NetworkDriver.GetCapabilities', leave, 'NetworkDriver.FreeNetwork']) {
    const answer = await ask.post(method, ids)
    assert.is(answer.status, 404)
    assert.equal(answer.json, {
      Err: `weft-ipam does not serve ${method}`,
      Error: `weft-ipam does not serve ${method}`,
    })
  }
  assert.is(s.facts.at(-1)?.driver, 'weft-ipam')
  assert.equal(s.handlers.calls, [])
})

test('sockets: calls run beside each other', async () => {
  await using s = await stage()
  const waiting: (() => void)[] = []
  s.handlers.network.leave = () => new Promise<void>(resolve => waiting.push(resolve))
  const calls = Array.from({ length: 20 }, () => s.ask.post(leave, ids))
  assert.is((await s.ask.post('NetworkDriver.EndpointOperInfo', ids)).status, 200)
  while (waiting.length < 20) await new Promise(resolve => setImmediate(resolve))
  for (const resolve of waiting) resolve()
  assert.ok((await Promise.all(calls)).every(({ text }) => text === '{}'))
})

test('sockets: mode 0600, and nothing else in the folder', async () => {
  await using s = await stage()
  assert.is((await stat(s.path)).mode & 0o777, 0o600)
  assert.equal(await readdir(s.folder), ['weft-bridge.sock'])
})

test('sockets: a missing folder is made', async () => {
  await using s = await stage()
  const path = join(s.folder, 'a/b/weft-x.sock')
  await s.server.listen(path, { driver: 'weft-x', handlers: s.handlers })
  assert.is((await stat(join(s.folder, 'a/b'))).mode & 0o777, 0o755)
})

test('sockets: a stale one is replaced, leftovers of a killed start as well', async () => {
  await using s = await stage()
  const path = join(s.folder, 'weft-old.sock')
  const old = createServer().listen(path)
  await once(old, 'listening')
  await writeFile(join(s.folder, '.weft-old'), 'left over')
  await s.server.listen(path, { driver: 'weft-old', handlers: s.handlers })
  using ask = client(path)
  assert.is((await ask.post('Plugin.Activate')).status, 200)
  assert.equal((await readdir(s.folder)).sort(), ['weft-bridge.sock', 'weft-old.sock'])
  old.close()
})

test('sockets: something else in its place is left alone', async () => {
  await using s = await stage()
  const path = join(s.folder, 'precious.sock')
  await writeFile(path, 'data')
  let code = ''
  await s.server.listen(path, { driver: 'x', handlers: s.handlers }).catch((cause: unknown) => {
    code = cause instanceof UserError ? cause.code : String(cause)
  })
  assert.is(code, 'SOCKET_PATH')
  assert.is((await stat(path)).size, 4)
})

test('close: quick beside idle connections, and takes the socket away', async () => {
  await using s = await stage()
  await s.ask.post(leave, ids)
  const silent = await opened(s.path)
  const started = Date.now()
  await s.server.close()
  assert.ok(Date.now() - started < 300, `${Date.now() - started} ms`)
  assert.equal(await readdir(s.folder), [])
  silent.destroy()
})

test('close: an answer under way is given, and a second close waits for the first', async () => {
  await using s = await stage()
  let release: (() => void) | undefined
  s.handlers.network.leave = () => new Promise<void>(resolve => (release = resolve))
  const call = s.ask.post(leave, ids)
  while (!release) await new Promise(resolve => setImmediate(resolve))
  let closed = 0
  const closing = [s.server.close(), s.server.close()].map(one => one.then(() => (closed += 1)))
  await new Promise(resolve => setTimeout(resolve, 50))
  assert.is(closed, 0)
  release()
  assert.is((await call).text, '{}')
  await Promise.all(closing)
})

test('close: a handler that hangs is not waited for beyond the grace', async () => {
  await using s = await stage({ graceMs: 100 })
  s.handlers.network.leave = () => new Promise<void>(() => undefined)
  const outcome = s.ask.post(leave, ids).catch((cause: unknown) => cause)
  while (s.facts.length === 0) {
    await s.ask.post('Plugin.Activate')
  }
  const started = Date.now()
  await s.server.close()
  assert.ok(Date.now() - started < 500, `${Date.now() - started} ms`)
  assert.is(((await outcome) as NodeJS.ErrnoException).code, 'ECONNRESET')
})

test("close: another process's socket of the same name stays", async () => {
  await using s = await stage()
  await rm(s.path)
  const other = createServer().listen(s.path)
  await once(other, 'listening')
  await s.server.close()
  assert.equal(await readdir(s.folder), ['weft-bridge.sock'])
  other.close()
})

test.run()
