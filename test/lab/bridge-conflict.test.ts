/** A port that somebody has is refused in the engine's own words, and the refusal leaves nothing behind. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually, serve, type Daemon, type Host } from '../support/lab.ts'
import { closed, seenBy } from '../support/reach.ts'
import { engines, open, rows, shared, unchanged } from '../support/scene.ts'

const pair = '--subnet 10.30.0.0/24 --ipv6 --subnet fd00:30::/64'

interface Conflict {
  readonly name: string
  /** Takes the port. Answers what gives it back. */
  readonly take: (host: Host) => Promise<() => Promise<unknown>>
  readonly publish: string
  /** Of the same port, and does not clash. */
  readonly beside?: string
}

const conflicts: readonly Conflict[] = [
  {
    name: 'another container of weft',
    take: container('--network web -p 8080:80'),
    publish: '8080:80',
    beside: '8080:80/udp',
  },
  {
    name: 'its own address of the host, taken for all',
    take: container('--network web -p 8080:80'),
    publish: '127.0.0.1:8080:80',
  },
  {
    name: 'all addresses, taken for one',
    take: container('--network web -p 127.0.0.1:8080:80'),
    publish: '8080:80',
    beside: '192.0.2.11:8080:80',
  },
  {
    name: 'another container of weft, udp',
    take: container('--network web -p 8080:80/udp'),
    publish: '8080:80/udp',
    beside: '8080:80',
  },
  { name: 'v6 alone', take: container('--network web -p [::]:8080:80'), publish: '8080:80', beside: '0.0.0.0:8080:80' },
  { name: "the engine's own published port", take: container('-p 8080:80'), publish: '8080:80', beside: '8080:80/udp' },
  { name: "the engine's own published port, udp", take: container('-p 8080:80/udp'), publish: '8080:80/udp' },
  { name: 'a listener of the host, v4', take: listener({ family: 4 }), publish: '8080:80', beside: '[::]:8080:80' },
  { name: 'a listener of the host, v6', take: listener({ family: 6 }), publish: '8080:80', beside: '0.0.0.0:8080:80' },
  {
    name: 'a listener of the host, dual-stack',
    take: socat('TCP6-LISTEN:8080,fork,reuseaddr,ipv6only=0'),
    publish: '0.0.0.0:8080:80',
  },
  {
    name: 'a listener of the host on one address',
    take: listener({ family: 4, address: '127.0.0.1' }),
    publish: '8080:80',
    beside: '192.0.2.11:8080:80',
  },
  {
    name: 'a udp socket of the host',
    take: listener({ family: 4, protocol: 'udp' }),
    publish: '8080:80/udp',
    beside: '8080:80',
  },
]

for (const engine of engines('28.5')) {
  const scene = shared({ engine })

  test(`conflict, engine ${engine}: a taken port is refused, and nothing is left`, () =>
    scene.play(async ({ server }) => {
      await server.docker(`network create -d weft-bridge ${pair} web`)
      await rows(
        Object.fromEntries(
          conflicts.map(({ name, take, publish, beside }) => [
            name,
            async () => {
              const giveBack = await take(server)
              try {
                const before = await server.snapshot()
                const complaint = await run(server, 'late', publish, { fails: true })
                assert.match(complaint, 'port is already allocated', complaint)
                await server.docker('rm -f late')
                await unchanged(server, before)
                if (beside === undefined) return
                await run(server, 'beside', beside)
                await server.docker('rm -f beside')
                await unchanged(server, before)
              } finally {
                await giveBack()
              }
            },
          ]),
        ),
      )
      // All are free again.
      await run(server, 'late', '8080:80')
    }))

  test(`conflict, engine ${engine}: ranges step aside, and what weft has nobody else gets`, () =>
    scene.play(async ({ server, client }) => {
      await server.docker(`network create -d weft-bridge ${pair} web`)
      const listens = await serve(server, { port: 9000 })
      const names = ['r1', 'r2']
      for (const name of names) await run(server, name, '9000-9002:80')
      for (const port of [9001, 9002]) assert.is(await seenBy(client, server.ip4, { port }), client.ip4)
      const full = await run(server, 'r3', '9000-9002:80', { fails: true })
      assert.match(full, 'all ports are allocated', full)
      await listens.stop()
      await server.docker('rm -f r3')

      // The engine's own driver and a server of the host meet weft's reservation.
      const theirs = await server.docker('run -d --name theirs -p 9001:80 probe', { fails: true })
      assert.match(theirs, /address already in use|port is already allocated/)
      const late = await server.run(['socat', 'TCP4-LISTEN:9001,reuseaddr', '-'], { fails: true, timeoutMs: 5_000 })
      assert.match(late, 'Address already in use')
      await server.docker('rm -f r1')
      await closed(client, server.ip4, { port: 9001 })
      await serve(server, { port: 9001 }).then(daemon => daemon.stop())
    }))

  test(`conflict, engine ${engine}: the lab ends`, () => scene.end())

  test(`conflict, engine ${engine}: an engine without a proxy for its ports`, async () => {
    await using bare = await open({ engine, hosts: 1, engineFlags: '--userland-proxy=false' })
    const { server, client } = bare
    await server.docker(`network create -d weft-bridge ${pair} web`)
    await server.docker('run -d --name theirs -p 8080:80 probe')
    await run(server, 'ours', '8081:80')
    const [late, their] = [
      await run(server, 'late', '8080:80', { fails: true }),
      await server.docker('run -d --name their-late -p 8081:80 probe', { fails: true }),
    ]
    assert.match(late, 'port is already allocated', late)
    assert.match(their, /address already in use|port is already allocated/, their)
    for (const port of [8080, 8081]) assert.is(await seenBy(client, server.ip4, { port }), client.ip4)
    await bare.asBefore()
  })
}

test.run()

function run(host: Host, name: string, publish: string, options: { readonly fails?: boolean } = {}): Promise<string> {
  return host.docker(['run', '-d', '--name', name, '--network', 'web', '-p', publish, 'probe'], options)
}

function container(flags: string): Conflict['take'] {
  return async host => {
    await host.docker(`run -d --name first ${flags} probe`)
    return () => host.docker('rm -f first')
  }
}

function listener(server: {
  readonly family: 4 | 6
  readonly protocol?: 'udp'
  readonly address?: string
}): Conflict['take'] {
  return async host => stops(await serve(host, { ...server, port: 8080 }))
}

function socat(listen: string): Conflict['take'] {
  return async host => {
    const daemon = await host.start('socat', ['socat', listen, 'SYSTEM:echo hello'])
    await eventually('socat listens', () => host.run(['ss', '-Hltn', 'sport = :8080']))
    return stops(daemon)
  }
}

function stops(daemon: Daemon): () => Promise<unknown> {
  return () => daemon.stop()
}
