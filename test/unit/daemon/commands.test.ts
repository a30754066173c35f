import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { commands } from '../../../daemon/commands/index.ts'
import type { DiffRow, View } from '../../../daemon/view.ts'
import { endpointId, fakeView, networkId } from '../../support/view.ts'

/** The commands over a view: what they print and return. The way through the socket is cli.test.ts. */
function over(changed: Partial<View> = {}) {
  const view = fakeView(changed)
  const answers = {
    '/v1/status': () => view.status(),
    '/v1/networks': () => view.networks(),
    '/v1/endpoints': () => view.endpoints(),
    '/v1/ports': () => view.ports(),
    '/v1/diff': () => view.diff(),
  }
  return {
    async run(name: string, options: { readonly json?: boolean; readonly force?: boolean } = {}) {
      let out = ''
      const command = await commands[name]?.load()
      const status = await command?.run(
        {
          json: options.json ?? false,
          print: text => (out += `${text}\n`),
          admin: { get: async path => (await answers[path]()) as never, settle: wish => view.settle(wish) },
        },
        options,
      )
      return { status, out }
    },
  }
}

test('weft status: a line for each thing', async () => {
  const running = over()
  const { status, out } = await running.run('status')
  assert.is(status, 0)
  assert.match(out, /^weftd +9\.9\.9, process 4711, running for 1 h/)
  assert.match(out, /^ready +yes$/m)
  assert.match(out, /^engine +unix:\/\/\/run\/docker\.sock: not asked yet$/m)
  assert.match(out, /^records +1 network, 1 endpoint, 1 port, 2 leases$/m)
  assert.match(out, /^settled +\d+ s ago in 14 ms: 0 changes$/m)
  assert.match(out, /^degraded +nothing$/m)
})

test('weft status: what is degraded stands below each other, and cannot command the terminal', async () => {
  const plain = await fakeView().status()
  const settle = { changes: 0, degraded: ['port 80 is held by another', 'rule set: \u001b[2Jrefused'] }
  const running = over({ status: async () => ({ ...plain, settle }) })
  const { out } = await running.run('status')
  assert.match(out, /^settled +not yet$/m)
  assert.match(out, /^degraded {3}port 80 is held by another\n {11}rule set: \?\[2Jrefused$/m)
})

test('weft networks, endpoints, ports: aligned tables with short ids', async () => {
  const running = over()
  assert.is(
    (await running.run('networks')).out,
    [
      'NETWORK       NAME  DRIVER  SUBNETS                  GATEWAYS   INTERNAL  BRIDGE         ENDPOINTS',
      'c0ffee000000  web   bridge  10.96.0.0/24, fd00::/64  10.96.0.1  no        wbk3fq7w2m4xa  1',
      '',
    ].join('\n'),
  )
  assert.match(
    (await running.run('endpoints')).out,
    /^decade000000 +c0ffee000000 +- +10\.96\.0\.2\/24 +02:42:0a:60:00:02 +wvk3fq7w2m4xa +joined +1 min.* 1$/m,
  )
  assert.is(
    (await running.run('ports')).out,
    [
      'PROTOCOL  ON HOST    IN CONTAINER  CONTAINER  ENDPOINT      WAY   STATE',
      'tcp       [::]:8080  [fd00::2]:80  www        decade000000  rule  ok',
      '',
    ].join('\n'),
  )
})

test('weft networks, endpoints, ports: nothing there is a sentence that tells how to begin', async () => {
  const running = over({ networks: async () => [], endpoints: async () => [], ports: async () => [] })
  assert.is((await running.run('networks')).out, 'no networks yet: docker network create -d weft-bridge NAME\n')
  assert.match((await running.run('endpoints')).out, /^no endpoints yet: /)
  assert.match((await running.run('ports')).out, /^no published ports yet: /)
  assert.is((await running.run('ports', { json: true })).out, '[]\n')
})

test('weft diff: exit status 0 when kernel and records agree, 1 when they do not', async () => {
  const rows: DiffRow[] = []
  const running = over({ diff: async () => rows })
  assert.equal(await running.run('diff'), { status: 0, out: 'kernel and records agree\n' })
  rows.push({ op: 'create', owner: `endpoint/${networkId}/${endpointId}`, text: 'bridge wbk3fq7w2m4xa' })
  rows.push({ op: 'remove', text: 'element bridges wbaaaaaaaaaaa' })
  const { status, out } = await running.run('diff')
  assert.is(status, 1)
  assert.is(
    out,
    [
      'CHANGE  FOR                                 WHAT',
      'create  endpoint/c0ffee000000/decade000000  bridge wbk3fq7w2m4xa',
      'remove  -                                   element bridges wbaaaaaaaaaaa',
      '',
    ].join('\n'),
  )
  assert.is((await running.run('diff', { json: true })).status, 1)
})

test('weft settle: tells what was changed, and fails when the kernel refused something', async () => {
  const wishes: boolean[] = []
  const running = over({
    settle: async ({ force }) => {
      wishes.push(force)
      return {
        changes: [{ op: 'create', owner: 'host', text: 'ruleset weft' }],
        failed: force ? [{ text: 'bridge wbx', error: 'EPERM' }] : [],
      }
    },
  })
  const fine = await running.run('settle')
  assert.equal([fine.status, fine.out], [0, 'CHANGE  FOR   WHAT\ncreate  host  ruleset weft\n'])
  const refused = await running.run('settle', { force: true })
  assert.is(refused.status, 1)
  assert.match(refused.out, 'failed: bridge wbx: EPERM')
  assert.equal(wishes, [false, true])
})

test.run()
