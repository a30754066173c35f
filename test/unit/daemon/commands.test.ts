import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { commands, groups } from '../../../daemon/commands/index.ts'
import type { CommandOptions } from '../../../daemon/commands/command.ts'
import type { DiffRow, View } from '../../../daemon/view.ts'
import type { ReleaseReport, ReleaseWish } from '../../../daemon/view-ipam.ts'
import { UserError } from '../../../plugin-api/answer.ts'
import { endpointId, fakeIpamView, fakeView, networkId } from '../../support/view.ts'

/** The commands over a view: what they print and return. The way through the socket is cli.test.ts. */
function over(changed: Partial<View> = {}) {
  const view = fakeView(changed)
  const answers = {
    '/v1/status': () => view.status(),
    '/v1/networks': () => view.networks(),
    '/v1/endpoints': () => view.endpoints(),
    '/v1/ports': () => view.ports(),
    '/v1/diff': () => view.diff(),
    '/v1/ipam/pools': () => view.ipam.pools(),
    '/v1/ipam/suspects': () => view.ipam.suspects(),
  }
  const addresses = '/v1/ipam/addresses/'
  return {
    /** `ipam show` is a command of a group. */
    async run(name: string, options: CommandOptions & { readonly json?: boolean } = {}, ...words: readonly string[]) {
      let out = ''
      const [group = '', inner = ''] = name.split(' ')
      const command = await (groups[group]?.commands[inner] ?? commands[name])?.load()
      const status = await command?.run(
        {
          json: options.json ?? false,
          print: text => (out += `${text}\n`),
          admin: {
            get: async path =>
              (path.startsWith(addresses)
                ? await view.ipam.address(decodeURIComponent(path.slice(addresses.length)))
                : await answers[path as keyof typeof answers]()) as never,
            settle: wish => view.settle(wish),
            reserve: wish => view.ipam.reserve(wish),
            release: wish => view.ipam.release(wish),
          },
        },
        options,
        ...words,
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
      'NETWORK       NAME  DRIVER  SUBNETS                  GATEWAYS   INTERNAL  LINK           ENDPOINTS',
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

test('weft ipam ls: pools, and how full they are', async () => {
  assert.is(
    (await over().run('ipam ls')).out,
    [
      'POOL          RANGE  NETWORK  DRIVER       USED  KEPT  RESTING  FREE  OUTSIDE  FOR',
      '10.96.0.0/24  -      web      weft-bridge  2     2     1        250   -        1 h',
      '',
    ].join('\n'),
  )
  const empty = over({ ipam: fakeIpamView({ pools: async () => [] }) })
  assert.match((await empty.run('ipam ls')).out, /^no pools yet: /)
})

test('weft ipam show: who has an address, since when, and what is kept of it', async () => {
  const { status, out } = await over().run('ipam show', {}, '10.96.0.2')
  assert.is(status, 0)
  assert.match(out, /^address +10\.96\.0\.2$/m)
  assert.match(out, /^network +web$/m)
  assert.match(out, /^state +in use$/m)
  assert.match(out, /^held +container www, endpoint decade000000, for 1 min/m)
  assert.match(out, /^chosen +asked for by name 1 min/m)
  assert.is(
    (JSON.parse((await over().run('ipam show', { json: true }, 'fd00::2')).out) as object as { address: string })
      .address,
    'fd00::2',
  )
})

test('weft ipam check: exit status 1 when something does not fit, with the reason', async () => {
  assert.equal(await over().run('ipam check'), { status: 0, out: 'leases, endpoints and engine agree\n' })
  const suspects = async () => [
    { pool: '10.96.0.0-24', network: 'web', address: '10.96.0.9', reason: 'no endpoint has it' },
    { pool: '10.97.0.0-24', reason: 'no network uses this pool' },
    { network: 'lan', reason: 'a route' },
  ]
  const { status, out } = await over({ ipam: fakeIpamView({ suspects }) }).run('ipam check')
  assert.is(status, 1)
  assert.match(out, /^10\.96\.0\.9 +10\.96\.0\.0-24 +web +no endpoint has it$/m)
  assert.match(out, /^- +10\.97\.0\.0-24 +- +no network uses this pool$/m)
  assert.match(out, /^- +- +lan +a route$/m)
  assert.match(
    out,
    /^a lease that nobody uses ends with 'weft ipam release ADDRESS', a pool with 'weft ipam release POOL'$/m,
  )
})

test('weft ipam reserve and release: pass on what was asked, and tell what came of it', async () => {
  const wishes: unknown[] = []
  const plain = fakeIpamView()
  const running = over({
    ipam: fakeIpamView({
      reserve: wish => (wishes.push(wish), plain.reserve(wish)),
      release: wish => (wishes.push(wish), plain.release(wish)),
    }),
  })
  const reserved = await running.run('ipam reserve', { mac: '02:42:00:00:00:09', note: 'printer' }, 'web', '10.96.0.9')
  assert.match(reserved.out, /^reserved +for 02:42:00:00:00:09, for 0 s$/m)
  assert.match(reserved.out, /^note +printer$/m)
  const released = await running.run('ipam release', { force: true }, '10.96.0.9')
  assert.is(
    released.out,
    'ended of 10.96.0.9: its reservation\nits lease stays: 10.96.0.9 is in use by container www\n',
  )
  await running.run('ipam release', {}, '10.96.0.9')
  assert.equal(wishes, [
    { where: 'web', address: '10.96.0.9', mac: '02:42:00:00:00:09', note: 'printer' },
    { what: '10.96.0.9', force: true },
    { what: '10.96.0.9', force: false },
  ])
})

test('weft ipam release --from-report: what was found unused and still is, and nothing else', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'weft-report-'))
  const file = join(directory, 'report.json')
  try {
    const pool = '10.96.0.0-24'
    const unused = (last: number) => ({ pool, address: `10.96.0.${last}`, reason: 'nobody', idle: true as const })
    const taken = { pool, address: '10.96.0.4', reason: 'two have it' }
    const lost = { pool: '10.97.0.0-24', reason: 'no network uses this pool', idle: true as const }
    const suspects = async () => [unused(2), unused(3), unused(5), taken, lost]
    const asked: unknown[] = []
    const release = async (wish: ReleaseWish): Promise<ReleaseReport> => {
      asked.push(wish)
      if (wish.what === '10.96.0.3') throw new UserError('ADDRESS_HELD', 'address 10.96.0.3 is in use')
      return { what: wish.what, ended: ['lease'] }
    }
    const running = over({ ipam: fakeIpamView({ suspects, release }) })
    const refusalOf = (options: CommandOptions, ...words: readonly string[]) =>
      running.run('ipam release', options, ...words).then(() => '', String)
    writeFileSync(file, JSON.stringify([unused(2), unused(3), unused(9), taken, lost]))
    assert.equal(await running.run('ipam release', { fromReport: file }), {
      status: 1,
      out: 'ended of 10.96.0.2: its lease\naddress 10.96.0.3 is in use\nended of 10.97.0.0-24: its lease\n',
    })
    const force = false
    assert.equal(asked, [
      { what: '10.96.0.2', force },
      { what: '10.96.0.3', force },
      { what: '10.97.0.0-24', force },
    ])
    writeFileSync(file, '[]')
    assert.match((await running.run('ipam release', { fromReport: file })).out, /^nothing to release/)
    for (const text of ['{}', '[1]', 'leases agree']) {
      writeFileSync(file, text)
      assert.match(await refusalOf({ fromReport: file }), / report/, text)
    }
    for (const options of [{}, { fromReport: file, force: true }]) {
      assert.match(await refusalOf(options), /one of: an address, a pool/)
    }
    assert.match(await refusalOf({ fromReport: file }, '10.96.0.2'), /one of/)
    assert.is(asked.length, 3)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test.run()
