/** weft's addresses with real engines: what is kept over restarts, `weft ipam`, and routes that come later. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Status } from '../../daemon/view.ts'
import type { AddressReport, PoolRow, Suspect } from '../../daemon/view-ipam.ts'
import { eventually, type Host } from '../support/lab.ts'
import { agrees, engines, shared } from '../support/scene.ts'

const restarts = process.env['WEFT_TEST_FULL'] ? 20 : 3
const create = 'network create -d weft-bridge --ipam-driver weft-ipam'

for (const engine of engines('28.5')) {
  // Without it the rest of an address would hide for a minute what is not kept.
  const scene = shared({ engine, hosts: 1, anyOrder: true, weftFlags: '--address-rest-seconds 0' })

  test(`ipam, engine ${engine}: restarted ${restarts} times, no address that was chosen is given to another`, () =>
    scene.play(async ({ server, restartEngine }) => {
      // Thirteen addresses, nine containers: whoever comes first after a restart takes what is free.
      await server.docker(`${create} --subnet 10.40.0.0/28 web`)
      const chosen = { s1: '10.40.0.3', s2: '10.40.0.4', s3: '10.40.0.7' }
      for (const [name, address] of Object.entries(chosen)) {
        await server.docker(`run -d --name ${name} --restart always --network web --ip ${address} probe`)
      }
      const others = ['d1', 'd2', 'd3', 'd4', 'd5', 'd6']
      for (const name of others) await server.docker(`run -d --name ${name} --restart always --network web probe`)
      for (let round = 0; round < restarts; round += 1) {
        // A stopped one leaves its address free, and is not started with the engine.
        if (round === 0) await server.docker('stop s3')
        await restartEngine(round % 2 === 0 ? 'SIGKILL' : 'SIGTERM')
        await eventually(`round ${round}: all are back`, async () => (await runningIn(server)).length >= 8, {
          timeoutMs: 30_000,
        })
        const found = await Promise.all(others.map(name => server.addressOf(name, 'web')))
        assert.is(new Set(found).size, others.length, `round ${round}: ${found.join(' ')}`)
        assert.equal(
          found.filter(address => Object.values(chosen).includes(address)),
          [],
          `round ${round}`,
        )
        assert.is(await server.addressOf('s1', 'web'), chosen.s1)
      }
      await server.docker('start s3')
      assert.is(await server.addressOf('s3', 'web'), chosen.s3)
      const kept = await Promise.all(
        (await addresses(server, others)).map(async address => (await shown(server, address)).chosenAt),
      )
      assert.equal(
        kept,
        others.map(() => undefined),
        'nothing that an engine repeats is a choice',
      )
      await agrees(server)
    }))

  test(`ipam, engine ${engine}: weft ipam tells who has what, under weft's driver and the engine's own`, () =>
    scene.play(async ({ server }) => {
      await server.docker(`${create} --subnet 10.41.0.0/24 web`)
      await server.docker('network create -d bridge --ipam-driver weft-ipam --subnet 10.42.0.0/24 own')
      await server.docker('run -d --name www --network web probe')
      await server.docker('run -d --name two --network own probe')
      await eventually('both have names', async () => {
        const rows = await pools(server)
        return (
          rows.map(({ network, driver, used }) => `${network} ${driver} ${used}`).join() ===
          'web weft-bridge 2,own bridge 2'
        )
      })
      const [www, two] = await Promise.all([server.addressOf('www', 'web'), server.addressOf('two', 'own')])
      assert.match(await server.weft(`ipam show ${www}`), /^held +container www, endpoint /m)
      assert.is((await shown(server, two)).lease?.container, 'two')
      assert.equal(await suspects(server), [])

      assert.match(await server.weft(['ipam', 'reserve', 'web', '10.41.0.77', '--note', 'a printer']), 'a printer')
      await server.weft(['ipam', 'reserve', 'own', '10.42.0.50', '--mac', '02:42:00:00:00:50'])
      const taken = await server.docker('run --rm --network own --ip 10.42.0.50 probe true', { fails: true })
      assert.match(taken, /Address already in use: .* reserved for 02:42:00:00:00:50/)
      await server.docker('run -d --name mine --network own --mac-address 02:42:00:00:00:50 probe')
      assert.is(await server.addressOf('mine', 'own'), '10.42.0.50')
      assert.match(await server.weft(`ipam release ${www}`, { fails: true }), `${www} is in use by container www`)
      assert.match(await server.weft('ipam release 10.41.0.77'), 'its reservation')
      assert.match(await server.weft('ipam show 10.99.0.1', { fails: true }), 'no pool of weft is or has 10.99.0.1')

      await server.docker('stop mine')
      await server.docker('start mine')
      assert.is(await server.addressOf('mine', 'own'), '10.42.0.50')
    }))

  test(`ipam, engine ${engine}: no address twice where the engine sends no MACs, whoever makes the links`, () =>
    scene.play(async ({ server, restartEngine }) => {
      await server.docker('network create -d bridge --ipam-driver weft-ipvlan --subnet 10.45.0.0/24 own')
      await server.docker('run -d --name one --restart always --network own --ip 10.45.0.5 probe')
      await server.docker('run -d --name two --restart always --network own probe')
      const two = await server.addressOf('two', 'own')
      const refused = async (address: string): Promise<void> => {
        const text = await server.docker(`run --rm --network own --ip ${address} probe true`, { fails: true })
        assert.match(text, 'Address already in use')
      }
      await refused('10.45.0.5')
      await refused(two)
      await restartEngine('SIGKILL')
      await eventually('both are back', async () => (await runningIn(server)).length === 2, { timeoutMs: 30_000 })
      await refused('10.45.0.5')
      await refused(await server.addressOf('two', 'own'))
      assert.match(await server.weft('ipam release 10.45.0.0/24', { fails: true }), 'is in use by network own')
      assert.equal(await suspects(server), [])
    }))

  test(`ipam, engine ${engine}: automatic subnets keep clear of routes and of the engine's own networks`, () =>
    scene.play(async ({ server }) => {
      const [, uplink = ''] = /^\d+: (\S+)/.exec(await server.run('ip -o -4 address show to 192.0.2.0/24')) ?? []
      await server.docker('network create -d bridge --subnet 10.64.0.0/24 theirs')
      // No route of the host leads into this one.
      await server.docker(`network create -d macvlan -o parent=${uplink} --subnet 10.64.1.0/24 hidden`)
      await server.sh('ip route add 10.64.2.0/24 via 192.0.2.1 table 77')
      await suspects(server)
      await server.docker(`${create} auto`)
      assert.equal(
        (await pools(server)).map(({ subnet }) => subnet),
        ['10.64.3.0/24'],
      )
      await server.sh('ip route del 10.64.2.0/24 table 77')
    }))

  test(`ipam, engine ${engine}: a route that leads into a network is reported within 5 s, and gone with it`, () =>
    scene.play(async ({ server }) => {
      await server.docker(`${create} --subnet 10.43.0.0/24 web`)
      await server.docker('network create -d bridge --ipam-driver weft-ipam --subnet 10.44.0.0/24 own')
      await server.docker('run -d --name www --network web probe')
      await eventually('both are known', async () =>
        (await pools(server)).every(({ network }) => network !== undefined),
      )
      await server.sh('sleep 1')
      assert.equal((await status(server)).settle.degraded, [])
      await server.sh('ip route add 10.40.0.0/13 via 192.0.2.1')
      const degraded = await eventually(
        'it is reported',
        async () => {
          const lines = (await status(server)).settle.degraded
          return lines.length === 2 && lines
        },
        { timeoutMs: 5_000 },
      )
      assert.match(degraded.join('\n'), 'network web: its subnet 10.43.0.0/24 meets the route 10.40.0.0/13 by ')
      assert.match(degraded.join('\n'), 'network own: its subnet 10.44.0.0/24 meets the route 10.40.0.0/13 by ')
      assert.match(server.weftd?.log() ?? '', 'a route of the host leads where a network is')
      assert.is((await suspects(server)).length, 2)
      await server.sh('ip route del 10.40.0.0/13')
      await eventually('it is gone', async () => (await status(server)).settle.degraded.length === 0, {
        timeoutMs: 5_000,
      })
    }))

  test(`ipam, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()

async function runningIn(server: Host): Promise<readonly string[]> {
  return (await server.docker('ps -q')).split('\n').filter(Boolean)
}

function addresses(server: Host, names: readonly string[]): Promise<readonly string[]> {
  return Promise.all(names.map(name => server.addressOf(name, 'web')))
}

async function pools(server: Host): Promise<readonly PoolRow[]> {
  return JSON.parse(await server.weft('ipam ls --json')) as readonly PoolRow[]
}

async function shown(server: Host, address: string): Promise<AddressReport> {
  return JSON.parse(await server.weft(`ipam show --json ${address}`)) as AddressReport
}

async function suspects(server: Host): Promise<readonly Suspect[]> {
  return JSON.parse((await server.admin('/v1/ipam/suspects')).body) as readonly Suspect[]
}

async function status(server: Host): Promise<Status> {
  return JSON.parse((await server.admin('/v1/status')).body) as Status
}
