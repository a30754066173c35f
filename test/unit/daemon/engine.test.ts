import { once } from 'node:events'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Engine } from '../../../daemon/engine.ts'
import { directory } from '../../support/directory.ts'
import { rejects } from '../../support/house.ts'

test('engine: whether it answers is not known before it was asked, and is known anew each time', async () => {
  await using folder = await directory()
  const path = join(folder.path, 'docker.sock')
  const engine = new Engine(`unix://${path}`)
  assert.is(engine.answered, undefined)
  assert.is(await engine.reachable(), false)
  assert.is(engine.answered, false)

  const server = createServer((_request, answer) => answer.end('{"Version":"28.5.2"}'))
  server.listen(path)
  await once(server, 'listening')
  assert.is(await engine.reachable(), true)
  assert.equal([engine.answered, engine.version], [true, '28.5.2'])

  server.close()
  assert.is(await engine.reachable(), false)
  assert.equal([engine.answered, engine.version], [false, undefined])
})

test('engine: an answer that is no JSON, or no object, is no answer', async () => {
  await using folder = await directory()
  const path = join(folder.path, 'docker.sock')
  const engine = new Engine(`unix://${path}`)
  let text = '<html>'
  const server = createServer((_request, answer) => answer.end(text))
  server.listen(path)
  await once(server, 'listening')
  for (text of ['<html>', '[]', 'null', '{"Version":7}']) assert.is(await engine.reachable(), false, text)
  server.close()
})

test('engine: what is no list of networks is no evidence that it has none', async () => {
  await using folder = await directory()
  const path = join(folder.path, 'docker.sock')
  const engine = new Engine(`unix://${path}`)
  let [status, text] = [200, '[]']
  const server = createServer((_request, answer) => answer.writeHead(status).end(text))
  server.listen(path)
  await once(server, 'listening')
  assert.equal(await engine.networks(), { networks: [] })
  text = '[{"Id":"n","Driver":"null","IPAM":{}},{"Id":"w","Driver":"weft-bridge","IPAM":{"Driver":"default"}}]'
  const common = { ipamDriver: '', subnets: [] }
  assert.equal(await engine.networks(), {
    networks: [
      { id: 'n', driver: 'null', ...common },
      { id: 'w', driver: 'weft-bridge', ...common, ipamDriver: 'default' },
    ],
    identity: 'n',
  })
  for (text of ['null', '{}', '<html>']) await rejects(engine.networks(), /networks: not/)
  for (status of [404, 403, 500]) await rejects(engine.networks(), /networks/)
  server.close()
})

test.run()
