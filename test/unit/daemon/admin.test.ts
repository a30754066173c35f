import { lstat, readdir, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createAdminServer } from '../../../daemon/admin.ts'
import { createMetrics } from '../../../daemon/metrics.ts'
import type { View } from '../../../daemon/view.ts'
import { UserError } from '../../../plugin-api/answer.ts'
import { directory } from '../../support/directory.ts'
import { fakeIpamView, fakeView, recordedLog } from '../../support/view.ts'

interface Answer {
  readonly status: number | undefined
  readonly type: string | undefined
  readonly text: string
}

async function served(changed: Partial<View> = {}) {
  const place = await directory()
  const recorded = recordedLog()
  const metrics = createMetrics()
  const server = await createAdminServer({ view: fakeView(changed), metrics, runDir: place.path, log: recorded.log })
  const ask = (method: string, path: string, body?: string): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const call = request({ socketPath: join(place.path, 'weft.sock'), method, path }, answer => {
        let text = ''
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()))
        answer.on('end', () => {
          resolve({ status: answer.statusCode, type: answer.headers['content-type'], text })
        })
      })
      call.on('error', reject)
      call.end(body)
    })
  return {
    ask,
    metrics,
    runDir: place.path,
    lines: recorded.lines,
    stop: () => server[Symbol.asyncDispose](),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await place[Symbol.asyncDispose]()
    },
  }
}

test('admin: the socket is open to its owner only, and nothing else stays in the directory', async () => {
  await using admin = await served()
  assert.is((await lstat(join(admin.runDir, 'weft.sock'))).mode & 0o777, 0o600)
  assert.equal(await readdir(admin.runDir), ['weft.sock'])
  await admin.stop()
  assert.equal(await readdir(admin.runDir), [])
})

test('admin: a stale socket is replaced', async () => {
  await using place = await directory()
  await writeFile(join(place.path, 'weft.sock'), '')
  const settings = { view: fakeView(), metrics: createMetrics(), runDir: place.path, log: recordedLog().log }
  await using stack = new AsyncDisposableStack()
  stack.use(await createAdminServer(settings))
  assert.ok((await lstat(join(place.path, 'weft.sock'))).isSocket())
})

test('admin: stopping leaves the socket of a successor alone', async () => {
  await using place = await directory()
  const settings = { view: fakeView(), metrics: createMetrics(), runDir: place.path, log: recordedLog().log }
  const first = await createAdminServer(settings)
  await using stack = new AsyncDisposableStack()
  stack.use(await createAdminServer(settings))
  await first[Symbol.asyncDispose]()
  assert.ok((await lstat(join(place.path, 'weft.sock'))).isSocket())
})

test('admin: stopping does not wait for an answer that never comes', async () => {
  await using admin = await served({ diff: () => new Promise(() => undefined) })
  const answer = admin.ask('GET', '/v1/diff').then(
    () => 'answered',
    () => 'cut off',
  )
  await admin.ask('GET', '/healthz')
  const before = Date.now()
  await admin.stop()
  assert.ok(Date.now() - before < 1500)
  assert.is(await answer, 'cut off')
})

test('admin: what the view shows is answered as JSON', async () => {
  await using admin = await served()
  for (const name of ['status', 'networks', 'endpoints', 'ports', 'diff'] as const) {
    const { status, type, text } = await admin.ask('GET', `/v1/${name}`)
    assert.is(status, 200, name)
    assert.match(type ?? '', 'application/json')
    const shown: unknown = JSON.parse(text)
    if (name !== 'status') assert.equal(shown, await fakeView()[name](), name)
  }
})

test('admin: settle passes the wish for force on, and wants a boolean', async () => {
  const wishes: boolean[] = []
  const settle: View['settle'] = async ({ force }) => {
    wishes.push(force)
    return { changes: [], failed: [] }
  }
  await using admin = await served({ settle })
  assert.is((await admin.ask('POST', '/v1/settle')).status, 200)
  assert.is((await admin.ask('POST', '/v1/settle', '{"force":true}')).status, 200)
  const wrong = await admin.ask('POST', '/v1/settle', '{"force":"yes"}')
  assert.equal([wrong.status, wrong.text], [400, '{"error":"force: expected true or false","code":"BAD_REQUEST"}'])
  assert.is((await admin.ask('POST', '/v1/settle', '{')).status, 400)
  assert.equal(wishes, [false, true])
})

test('admin: ipam: pools, an address, suspects; wishes are read strictly', async () => {
  const wishes: unknown[] = []
  const plain = fakeIpamView()
  const ipam = fakeIpamView({
    reserve: wish => (wishes.push(wish), plain.reserve(wish)),
    release: wish => (wishes.push(wish), plain.release(wish)),
  })
  await using admin = await served({ ipam })
  assert.equal(JSON.parse((await admin.ask('GET', '/v1/ipam/pools')).text), await plain.pools())
  assert.equal(JSON.parse((await admin.ask('GET', '/v1/ipam/suspects')).text), [])
  const { text } = await admin.ask('GET', '/v1/ipam/addresses/fd00%3A%3A2')
  assert.is((JSON.parse(text) as { address: string }).address, 'fd00::2')
  const wish = { where: 'web', address: '10.96.0.9', note: 'printer' }
  assert.is((await admin.ask('POST', '/v1/ipam/reserve', JSON.stringify(wish))).status, 200)
  assert.is((await admin.ask('POST', '/v1/ipam/release', '{"what":"10.96.0.9"}')).status, 200)
  assert.equal(wishes, [wish, { what: '10.96.0.9', force: false }])
  for (const [path, body, error] of [
    ['reserve', '{"where":"web"}', 'address: expected a text'],
    ['reserve', '{"where":1,"address":"10.96.0.9"}', 'where: expected a text'],
    ['release', '{"address":"10.96.0.9"}', 'what: expected a text'],
    ['release', '{"what":"10.96.0.9","force":1}', 'force: expected true or false'],
    ['release', '[', 'the body is not JSON'],
    ['release', '', 'expected an object'],
  ] as const) {
    const answer = await admin.ask('POST', `/v1/ipam/${path}`, body)
    assert.equal([answer.status, answer.text], [400, JSON.stringify({ error, code: 'BAD_REQUEST' })], body)
  }
  assert.is(wishes.length, 2)
})

test('admin: healthz tells that the process lives, readyz that it serves', async () => {
  let ready = false
  await using admin = await served({ ready: () => ready })
  assert.is((await admin.ask('GET', '/healthz')).status, 200)
  assert.is((await admin.ask('GET', '/readyz')).status, 503)
  ready = true
  assert.equal(await admin.ask('GET', '/readyz'), {
    status: 200,
    type: 'application/json; charset=utf-8',
    text: '{"ready":true}',
  })
})

test('admin: errors of people are told, bugs are logged', async () => {
  await using admin = await served({
    ports: () => Promise.reject(new UserError('X', 'no ports today', { hint: 'come back tomorrow' })),
    diff: () => Promise.reject(new TypeError('undefined is not a kernel')),
  })
  const told = await admin.ask('GET', '/v1/ports')
  assert.equal([told.status, told.text], [400, '{"error":"no ports today: come back tomorrow","code":"X"}'])
  assert.is(admin.lines.length, 0)
  const bug = await admin.ask('GET', '/v1/diff')
  assert.equal([bug.status, bug.text], [500, '{"error":"internal error in weft: its log has the details"}'])
  assert.match(JSON.stringify(admin.lines), 'undefined is not a kernel')
  assert.is((await admin.ask('GET', '/v1/nothing')).status, 404)
  assert.is((await admin.ask('GET', '/v1/settle')).status, 404)
})

test('metrics: requests, settling, counts and the lag of the event loop', async () => {
  await using admin = await served()
  admin.metrics.observeRequest({ method: 'NetworkDriver.Join', ms: 3, ok: true })
  admin.metrics.observeRequest({ method: 'NetworkDriver.Join', ms: 300, ok: false })
  admin.metrics.observeSettle({ ms: 10, changes: 2, failures: 1 })
  const { type, text } = await admin.ask('GET', '/metrics')
  assert.match(type ?? '', 'text/plain')
  const lines = text.split('\n')
  for (const line of [
    'weft_request_duration_seconds_bucket{le="0.005",method="NetworkDriver.Join",outcome="ok"} 1',
    'weft_request_duration_seconds_sum{method="NetworkDriver.Join",outcome="error"} 0.3',
    'weft_settle_duration_seconds_count 1',
    'weft_settle_changes_total 2',
    'weft_settle_failures_total 1',
    'weft_networks 1',
    'weft_endpoints 1',
    'weft_ports 1',
    'weft_leases 2',
    'weft_ready 1',
    'weft_degraded 0',
    'weft_info{version="9.9.9",kernel="6.1.0-test"} 1',
  ]) {
    assert.ok(lines.includes(line), line)
  }
  assert.match(text, /^nodejs_eventloop_lag_seconds /m)
})

test('metrics: invented method names do not grow the registry', async () => {
  const metrics = createMetrics()
  for (let i = 0; i < 1000; i += 1) metrics.observeRequest({ method: `NetworkDriver.X${i}`, ms: 1, ok: false })
  const text = await metrics.text(await fakeView().status())
  assert.is(text.match(/weft_request_duration_seconds_count/g)?.length, 41)
  assert.match(text, 'weft_request_duration_seconds_count{method="other",outcome="error"} 960')
})

test.run()
