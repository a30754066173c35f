/**
 * A daemon that kills itself before and after every change of the kernel and every commit, in the course of a network's
 * and a container's life: traffic goes on, the next daemon mends, and nothing is left.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Engine } from '../../scripts/engines.ts'
import { FakeEngine, Refused, type Port } from '../support/crash-engine.ts'
import { look } from '../support/crash-look.ts'
import { Run } from '../support/crash-run.ts'
import { Shell } from '../support/crash-shell.ts'
import { Supervisor } from '../support/crash-supervisor.ts'
import { Witness } from '../support/crash-witness.ts'
import { difference, eventually, lab, type Host } from '../support/lab.ts'

const full = process.env['WEFT_TEST_FULL'] === '1'
/** Points come in pairs, before and after a change: an odd step meets both. The engines share all points between them. */
const points = full
  ? {
      step: 1,
      engines: { '20.10': { first: 1, step: 3 }, '26.1': { first: 2, step: 3 }, '28.5': { first: 3, step: 3 } },
    }
  : { step: 13, engines: { '20.10': { first: 26, step: 151 }, '28.5': { first: 45, step: 151 } } }
const web: readonly Port[] = [
  { Proto: 6, Port: 80, HostPort: 8080 },
  { Proto: 17, Port: 80, HostPort: 8080 },
]

test('crash: at every point of a life nothing is lost, and nothing is left', async () => {
  const started = performance.now()
  await using net = await lab({ hosts: 3 })
  const [one, client, other] = net.hosts
  // Two hosts take turns.
  const sweeps = await Promise.all(
    [one, other].map((host, i) => sweep(host, client, points.step * (i + 1), points.step * 2)),
  )
  for (const { figures } of sweeps) console.log(figures)
  console.log(`${((performance.now() - started) / 1000).toFixed(1)} s`)
  const total = Math.max(...sweeps.map(({ survived }) => survived))
  assert.ok(total > 150, `a life has more points than ${total}`)
})

test('crash: a daemon that dies while it starts leaves the rest to the next', async () => {
  await using net = await lab({ hosts: 1 })
  const [host] = net.hosts
  using shell = new Shell(host)
  await shell.run('ip netns add c1')
  const engine = new FakeEngine(path => host.path(path), shell)
  const first = await host.startWeft()
  const network = await engine.createNetwork('one', '10.77.0', 'fd00:77')
  await engine.connect(network, 'c1', web)
  const [before, bridge] = [await host.snapshot(), await shell.run('cd /sys/class/net; ls -d wb*')]
  first.kill()
  await first.exited

  const asBefore = async (): Promise<boolean> => {
    const changed = difference(before, await host.snapshot())
    if (changed !== '') throw new Error(changed)
    return true
  }
  let deaths = 0
  for (;;) {
    // Somebody has been there: the rules are gone, the bridge has lost its address, and there is one too many.
    await shell.run(`nft flush ruleset
      ip address flush scope global dev ${bridge}
      ip link add wbleft type bridge 2>&1 || true
      ip link set wbleft alias 'weft network of nobody'`)
    const weftd = await host.startWeft({ env: { WEFT_CRASH_AT: String(deaths + 1) } }).catch((cause: unknown) => {
      assert.match(String(cause), 'ended at once')
    })
    // The bridge is removed in the background: it may die there.
    if (weftd) await eventually('all is as before, or it has died', () => host.weftd === undefined || asBefore())
    await sleep(100)
    if (host.weftd) break
    deaths += 1
  }
  assert.ok(deaths > 15, `a start that mends has more points than ${deaths}`)
})

for (const [engine, some] of Object.entries(points.engines)) {
  test(`crash: a daemon under engine ${engine} loses nothing, and leaves nothing`, async () => {
    const started = performance.now()
    await using net = await lab({ hosts: 2, engine: engine as Engine })
    const [host, client] = net.hosts
    console.log(await underEngine(host, client, some))
    console.log(`engine ${engine}: ${((performance.now() - started) / 1000).toFixed(1)} s`)
  })
}

test.run()

interface Sweep {
  /** The point that a life did not reach any more. */
  readonly survived: number
  readonly figures: string
}

/** Rounds as quick as an engine's calls can be, until a daemon survives one. */
async function sweep(host: Host, client: Host, first: number, step: number): Promise<Sweep> {
  using shell = new Shell(host)
  await shell.run('ip netns add witness; ip netns add c1')
  const engine = new FakeEngine(path => host.path(path), shell)
  using stack = new DisposableStack()
  stack.use(await engine.serve())
  await using supervisor = new Supervisor(host, first, step)
  await supervisor.start()
  const witness = await Witness.ofNamespace(engine, host, client)
  const run = new Run(host, supervisor, cause => cause instanceof Refused)
  const before = { quick: await look(host, shell), full: await host.snapshot() }
  const forgotten = new Map<string, number>()

  let survived: number
  do {
    survived = supervisor.at
    const known = supervisor.crashes.length
    supervisor.arm()
    await life(engine, run, async () => {
      if (supervisor.crashes.length === known) return
      const method = engine.broken.at(-1) ?? ''
      // Most of what an engine forgot goes with the network at the end; that evidence finds it is seen once for each call.
      if (forgotten.has(method)) return
      forgotten.set(method, await forgets(host, engine))
    })
    await run.settled(async () => {
      const changed = difference(before.quick, await look(host, shell))
      if (changed !== '') throw new Error(changed)
      return true
    })
    assert.equal(witness.losses(), [], `round ${survived}`)
  } while (supervisor.at !== survived)

  assert.is(difference(before.full, await host.snapshot()), '')
  const figures = [
    `${host.name}: ${run.figures()}`,
    `forgotten after ${[...forgotten].map(([method, ms]) => `${method} ${ms.toFixed(0)} ms`).join(', ')}`,
    await witness.stop(),
  ]
  return { survived, figures: figures.join('; ') }
}

/** As engine 28.5 orders them. `crashed` is called between two commands. */
async function life(engine: FakeEngine, run: Run, crashed: () => Promise<void>): Promise<void> {
  const command = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    const result = await run.command(what, work, crashed)
    await crashed()
    return result
  }
  const one = await command('network create', () => engine.createNetwork('one', '10.77.0', 'fd00:77'))
  const first = await command('run', () => engine.connect(one, 'c1', web))
  const two = await command('network create', () => engine.createNetwork('two', '10.79.0', 'fd00:79'))
  const second = await command('connect', () => engine.connect(two, 'c1'))
  await command('disconnect', () => engine.disconnect(second))
  await command('stop', () => engine.end(first))
  const again = await command('start', () => engine.connect(one, 'c1', web))
  await command('rm -f', () => engine.end(again))
  await command('network rm', () => engine.removeNetwork(two))
  await command('network rm', () => engine.removeNetwork(one))
}

/** Milliseconds until weft has no record of a network or an endpoint that the engine does not know. */
async function forgets(host: Host, engine: FakeEngine): Promise<number> {
  const started = performance.now()
  const known = [...engine.networks.values()].flatMap(({ id, endpoints }) => [id, ...endpoints.keys()])
  await eventually(
    'weft gives up what the engine does not know',
    async () => {
      for (const path of ['/v1/networks', '/v1/endpoints']) {
        const rows = JSON.parse((await host.admin(path)).body) as readonly { readonly id: string }[]
        const unknown = rows.filter(({ id }) => !known.includes(id))
        if (unknown.length > 0) throw new Error(JSON.stringify(unknown))
      }
      return true
    },
    { timeoutMs: 30_000 },
  )
  return performance.now() - started
}

/** Rounds with a real engine and its own retries, clean-ups and firewall. */
async function underEngine(
  host: Host,
  client: Host,
  { first, step }: { readonly first: number; readonly step: number },
): Promise<string> {
  await host.startEngine()
  await host.image()
  await using supervisor = new Supervisor(host, first, step)
  await supervisor.start()
  // The first published port of engine 28 makes a raw table that stays, empty.
  await host.docker('run --rm -p 8081:80 probe true')
  const witness = await Witness.ofEngine(host, client)
  const run = new Run(host, supervisor, cause => cause instanceof Error && /docker/.test(cause.message))
  const before = await host.snapshot()

  let survived: number
  do {
    survived = supervisor.at
    supervisor.arm()
    await dockerLife(host, client, run)
    await run.settled(async () => {
      const changed = difference(before, await host.snapshot())
      if (changed !== '') throw new Error(changed)
      return true
    })
    assert.equal(witness.losses(), [], `round ${survived}`)
  } while (supervisor.at !== survived)

  for (const line of run.refused) console.log(line)
  return `${run.figures()}; survived ${survived}; ${await witness.stop()}`
}

async function dockerLife(host: Host, client: Host, run: Run): Promise<void> {
  const command = async (words: string, cleanUp?: string): Promise<void> => {
    const tidy = async (): Promise<unknown> => (cleanUp === undefined ? undefined : host.sh(`${cleanUp} || true`))
    await run.command(words, () => host.docker(words), tidy)
    await assertNoAddressTwice(host)
  }
  const create = '-d weft-bridge --ipam-driver weft-ipam --ipv6'
  const start = async (words: string, cleanUp?: string): Promise<void> => {
    await command(words, cleanUp)
    const url = `http://${host.ip4}:8080`
    const answer = await eventually('port 8080 answers', () => client.run(['curl', '-sSf', '-m', '3', url]), {
      timeoutMs: 30_000,
    })
    assert.match(answer, new RegExp(`client ${client.ip4}`))
  }
  await command(`network create ${create} --subnet 10.77.0.0/24 --subnet fd00:77::/64 one`)
  await start('run -d --name c1 --network one -p 8080:80/tcp -p 8080:80/udp probe', 'docker rm -f c1')
  await command(`network create ${create} --subnet 10.79.0.0/24 --subnet fd00:79::/64 two`)
  await command('network connect two c1')
  await command('network disconnect two c1')
  await start('restart -t 0 c1')
  await command('rm -f c1')
  await command('network rm two')
  await command('network rm one')
}

async function assertNoAddressTwice(host: Host): Promise<void> {
  const names = (await host.docker('ps -q')).split('\n').filter(Boolean)
  const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}} {{end}}'
  const addresses = (await host.docker(['inspect', '-f', format, ...names])).split(/\s+/).filter(Boolean)
  assert.is(new Set(addresses).size, addresses.length, addresses.join(' '))
}
