import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { once } from 'node:events'
import { connect } from 'node:net'
import { UserError } from '../../../plugin-api/answer.ts'
import { mutants } from '../../support/mutants.ts'
import { recordedCalls } from '../../support/replay.ts'
import { ids, leave, opened, stage } from '../../support/stage.ts'

const both = (text: string): object => ({ Err: text, Error: text })

/** What comes back on a bare connection until it ends or `enough` is seen. */
async function raw(path: string, sent: string, enough = /\}$/): Promise<string> {
  const connection = connect(path)
  connection.write(sent)
  let text = ''
  for await (const chunk of connection) {
    text += String(chunk)
    if (enough.test(text)) break
  }
  return text
}

test('answers: compact JSON of the type that the engine asks for', async () => {
  await using s = await stage()
  const answer = await s.ask.post('NetworkDriver.CreateEndpoint', { ...ids, Interface: {} })
  assert.is(answer.status, 200)
  assert.is(answer.type, 'application/vnd.docker.plugins.v1.2+json')
  assert.is(answer.text, '{"Interface":{"MacAddress":"02:42:00:00:00:01"}}')
})

test('answers: nothing to say is {}', async () => {
  await using s = await stage()
  assert.is((await s.ask.post(leave, ids)).text, '{}')
  assert.is((await s.ask.post('NetworkDriver.DiscoverNew', { DiscoveryType: 1 })).text, '{}')
})

test('answers: a refusal is status 200 with both spellings of the error, and its hint', async () => {
  await using s = await stage()
  s.handlers.network.leave = async () => {
    throw new UserError('NO_LUCK', 'no luck today', { hint: 'try tomorrow' })
  }
  const answer = await s.ask.post(leave, ids)
  assert.is(answer.status, 200)
  assert.equal(answer.json, both('no luck today: try tomorrow'))
  assert.is(s.facts[0]?.code, 'NO_LUCK')
  assert.equal(s.logged, [])
})

test('answers: a bug is logged with its cause and tells the caller nothing of it', async () => {
  await using s = await stage()
  const bug = new TypeError('s3cret is not a function')
  s.handlers.network.leave = async () => {
    throw bug
  }
  s.handlers.network.join = async () => ({ cyclic: 1n }) as never
  for (const [method, body] of [
    [leave, ids],
    ['NetworkDriver.Join', { ...ids, SandboxKey: '/a' }],
  ] as const) {
    const answer = await s.ask.post(method, body)
    assert.is(answer.status, 200)
    assert.match(answer.text, /^\{"Err":"internal error in weft: .*","Error":"internal error in weft: .*log.*"\}$/)
    assert.not.match(answer.text, /s3cret/)
  }
  assert.is(s.logged.length, 2)
  assert.equal(s.logged[0]?.fields, { driver: 'weft-bridge', method: leave, err: bug })
})

test('answers: a form error is status 400 and names the field', async () => {
  await using s = await stage()
  const answer = await s.ask.post(leave, { NetworkID: 7, EndpointID: 'e' })
  assert.is(answer.status, 400)
  assert.equal(answer.json, both('Leave: NetworkID: expected a string, got a number'))
  assert.equal(s.handlers.calls, [])
})

test('bodies: an empty one does nothing', async () => {
  await using s = await stage()
  const answer = await s.ask.post('NetworkDriver.CreateNetwork')
  assert.is(answer.status, 400)
  const text = 'empty body: the engine repeats a broken call without it; nothing was done'
  assert.equal(answer.json, both(`CreateNetwork: ${text}`))
  assert.equal(s.handlers.calls, [])
})

test('bodies: broken JSON, foreign encodings and a byte order mark are refused', async () => {
  await using s = await stage()
  const good = JSON.stringify(ids)
  const utf16 = Buffer.from(good, 'utf16le')
  for (const body of [good.slice(1), `${good}x`, `\ufeff${good}`, utf16, Buffer.from([0x22, 0xff, 0x22]), ' ']) {
    const answer = await s.ask.post(leave, body)
    assert.is(answer.status, 400)
    assert.equal(answer.json, both('Leave: the body is not JSON in UTF-8'))
  }
  assert.equal(s.handlers.calls, [])
})

test('bodies: one beyond the limit is refused, one at the limit is read', async () => {
  await using s = await stage({ bodyLimitBytes: 1000 })
  const padded = (size: number): string => JSON.stringify(ids).padEnd(size)
  assert.is((await s.ask.post(leave, padded(1000))).status, 200)
  for (const size of [1001, 15_000, 1_000_000]) {
    const answer = await s.ask.send('POST', `/${leave}`, Buffer.from(padded(size)), { 'Content-Length': String(size) })
    assert.is(answer.status, 400, String(size))
    assert.equal(answer.json, both('Leave: the body is larger than 1000 bytes'))
  }
  assert.is(s.handlers.calls.length, 1)
})

test('bodies: any content type, and chunks, are read', async () => {
  await using s = await stage()
  const body = Buffer.from(JSON.stringify(ids))
  for (const type of ['application/json', 'text/plain; charset=latin1', 'no type at all', '']) {
    assert.is((await s.ask.send('POST', `/${leave}`, body, { 'Content-Type': type })).text, '{}', type)
  }
  assert.is((await s.ask.send('POST', `/${leave}`, body, { 'Transfer-Encoding': 'chunked' })).text, '{}')
})

test('bodies: a connection that breaks in the middle does nothing', async () => {
  await using s = await stage()
  const connection = await opened(s.path)
  connection.end(`POST /${leave} HTTP/1.1\r\nHost:\r\nContent-Length: 500\r\n\r\n{"NetworkID":"n"`)
  connection.resume()
  await once(connection, 'close')
  assert.is((await s.ask.post(leave, ids)).status, 200)
  assert.is(s.handlers.calls.length, 1)
  assert.equal(s.logged, [])
})

test('requests: an empty Host header, as engine 20.10 sends it, or none', async () => {
  await using s = await stage()
  for (const host of ['Host: \r\n', 'Host: plugin.moby.localhost\r\n', '']) {
    const text = await raw(s.path, `POST /Plugin.Activate HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\n`)
    assert.match(text, /^HTTP\/1.1 200 OK\r\n/)
    assert.match(text, /\r\n\r\n\{"Implements":\["NetworkDriver","IpamDriver"\]\}$/)
  }
})

test('requests: an idle connection is never ended by us', async () => {
  await using s = await stage()
  const text = await raw(s.path, 'POST /Plugin.Activate HTTP/1.1\r\nHost:\r\nContent-Length: 0\r\n\r\n')
  assert.match(text, /\r\nConnection: keep-alive\r\n/i)
  assert.not.match(text, /timeout=/i)
})

test('requests: what is not HTTP is answered as well', async () => {
  await using s = await stage()
  const text = await raw(s.path, 'what is this?\r\n\r\n')
  assert.match(text, /^HTTP\/1.1 400 Bad Request\r\n/)
  assert.match(text, /\{"Err":"not an HTTP request: HPE_\w+","Error":"not an HTTP request: HPE_\w+"\}$/)
})

test('requests: unknown methods and verbs are 404 with both spellings', async () => {
  await using s = await stage()
  const none = Buffer.alloc(0)
  const unknown: readonly (readonly [string, string])[] = [
    ['POST', '/NetworkDriver.Nothing'],
    ['POST', '/'],
    ['POST', '/__proto__'],
    ['GET', `/${leave}`],
    ['PUT', '/x?y=z'],
  ]
  for (const [verb, path] of unknown) {
    const answer = await s.ask.send(verb, path, none, {})
    assert.is(answer.status, 404, path)
    assert.equal(answer.json, both(`weft-bridge does not serve ${verb} ${path}`))
  }
  const bad = await s.ask.send('POST', '/%zz', none, {})
  assert.is(bad.status, 400)
  assert.equal(Object.keys(bad.json as object), ['Err', 'Error'])
  assert.equal([...new Set(s.facts.map(({ method }) => method))], ['unknown'])
})

test('facts: one for each call, with its duration', async () => {
  await using s = await stage()
  await s.ask.post(leave, ids)
  await s.ask.post(leave)
  assert.equal(
    s.facts.map(({ driver, method, ok, code }) => ({ driver, method, ok, code })),
    [
      { driver: 'weft-bridge', method: leave, ok: true, code: undefined },
      { driver: 'weft-bridge', method: leave, ok: false, code: 'BAD_REQUEST' },
    ],
  )
  assert.ok(s.facts.every(({ ms }) => ms >= 0 && ms < 1000))
})

test('mutants: every answer is 200 or 400 with a JSON object, and nothing is logged as a bug', async () => {
  await using s = await stage()
  const seed = 4
  for (const { method, body, how } of mutants(seed, 1500, recordedCalls())) {
    const answer = await s.ask.post(method, body)
    const where = `seed ${seed}: ${method}: ${how}: ${answer.status} ${answer.text}`
    assert.ok(answer.status === 200 || answer.status === 400, where)
    const json = answer.json as Record<string, unknown>
    assert.is(typeof json, 'object', where)
    if (answer.status === 400) assert.ok(typeof json['Err'] === 'string' && json['Err'] === json['Error'], where)
  }
  assert.equal(s.logged, [])
  assert.ok(s.handlers.calls.length > 500, `${s.handlers.calls.length} reached a handler`)
})

test.run()
