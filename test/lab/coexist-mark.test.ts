/** The bits of `markAllowed` change: accept rules of before go with them, and those of somebody else stay. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually, type Host } from '../support/lab.ts'
import { bringFirewalls, startFirewalld } from '../support/lab/firewalls.ts'
import { netOf, pings, sees } from '../support/reach.ts'
import { agrees, engines, open, removeAll, rows, unchanged, type Scene } from '../support/scene.ts'

/** A start dies at every such step. */
const stride = process.env['WEFT_TEST_FULL'] === '1' ? 1 : 3
const first = '0x100000'
const programs = ['iptables', 'ip6tables'] as const

/** Rules that look for the same bits as weft's once did: another program has them now. */
const foreign = [
  `FORWARD -m mark --mark ${first}/${first} -j ACCEPT`,
  `FORWARD -m mark --mark ${first}/${first} -m comment --comment somebody -j ACCEPT`,
  `FORWARD -m mark --mark ${first}/${first} -m comment --comment weft -j DROP`,
]

const dropping = programs.map(program => `${program} -P FORWARD DROP`).join('\n')
const kinds: Readonly<Record<string, string>> = {
  'the new iptables': dropping,
  'the old iptables': `for family in iptables ip6tables; do for name in $family $family-save $family-restore; do
    ln -sf xtables-legacy-multi /usr/sbin/$name; done; done
    ${dropping}`,
}

for (const engine of engines('28.5')) {
  for (const [kind, prepare] of Object.entries(kinds)) {
    test(`mark, engine ${engine}, ${kind}: only the present one is accepted, whatever happened at the change`, async () => {
      await using scene = await open({ engine, prepare, warm: programs.map(name => `${name} -S`).join('\n') })
      const { server } = scene
      await town(scene)
      await others(server, '-A')
      await accepts(server, first)
      for (const [signal, mark] of [
        ['SIGTERM', '0x400000'],
        ['SIGKILL', first],
      ] as const) {
        await change(server, signal, mark)
        await accepts(server, mark)
        await works(scene)
        await agrees(server)
      }

      // Each start dies a little later than the one before, and has other bits.
      let starts = 0
      while (await dies(server, 1 + starts * stride, starts % 2 === 0 ? '0x400000' : '0x800000')) {
        starts += 1
        assert.ok(starts < 100, 'it never starts')
      }
      console.log(`engine ${engine}, ${kind}: ${starts} starts died`)
      assert.ok(starts > 3)
      await change(server, 'SIGKILL', '0x8000000')
      await accepts(server, '0x8000000')
      await works(scene)

      await removeAll(server)
      await accepts(server, undefined)
      await others(server, '-D')
      await unchanged(server, scene.before)
    })

    test(`mark, engine ${engine}, ${kind}: uninstall finds rules with bits that no setting names`, async () => {
      await using scene = await open({ engine, prepare, weftFlags: '--mark-allowed 0x400000' })
      const { server } = scene
      await town(scene)
      await others(server, '-A')
      await accepts(server, '0x400000')
      await server.weftd?.stop()
      assert.match(await server.weft('uninstall --force'), / mark 0x400000$/m)
      await accepts(server, undefined)
    })
  }

  test(`mark, engine ${engine}: firewalld's zone has no bits`, async () => {
    await using scene = await open({ engine })
    const { server, restartEngine } = scene
    await bringFirewalls(server, engine)
    const firewalld = await startFirewalld(server)
    await restartEngine()
    await town(scene)
    const zone = (): Promise<string> => server.sh('firewall-cmd --zone=weft --list-interfaces 2>&1 || true')
    await eventually('weft has its zone', async () => (await zone()).includes('wb+'), { timeoutMs: 60_000 })
    await works(scene)
    await agrees(server)
    await change(server, 'SIGTERM', '0x400000')
    assert.match(await zone(), 'wb+')
    await works(scene)
    await agrees(server)
    await removeAll(server)
    await firewalld.stop()
  })
}

test.run()

/** Somebody else's rules come or go. weft may hold the lock of the old tables. */
async function others(server: Host, op: '-A' | '-D'): Promise<void> {
  for (const program of programs) {
    for (const rule of foreign) await server.run(`${program} -w 5 ${op} ${rule}`)
  }
}

async function town({ server }: Scene): Promise<void> {
  await server.docker('network create -d weft-bridge --subnet 10.30.0.0/24 --ipv6 --subnet fd00:30::/64 web')
  await server.docker('run -d --name www --network web --ip 10.30.0.9 --ip6 fd00:30::9 -p 8080:80 probe')
}

async function works({ server, client }: Scene): Promise<void> {
  const www = await netOf(server, 'www')
  await rows({
    out: () => pings(www, client.ip4),
    'out, v6': () => pings(www, client.ip6),
    published: sees(client, server.ip4, client.ip4, { port: 8080 }),
    'published, v6': sees(client, server.ip6, client.ip6, { port: 8080 }),
  })
}

async function change(server: Host, signal: NodeJS.Signals, mark: string): Promise<void> {
  server.weftd?.kill(signal)
  await server.weftd?.exited
  await server.startWeft({ flags: `--mark-allowed ${mark}` })
}

/** Does the next one die at this step of its start? The one before is gone in any case. */
async function dies(server: Host, step: number, mark: string): Promise<boolean> {
  server.weftd?.kill('SIGKILL')
  await server.weftd?.exited
  try {
    await server.startWeft({ flags: `--mark-allowed ${mark}`, env: { WEFT_CRASH_AT: String(step) } })
    return false
  } catch {
    return true
  }
}

/** Of rules about marks there are weft's one in each chain, with these bits, and those of others. */
async function accepts(server: Host, mark: string | undefined): Promise<void> {
  for (const program of programs) {
    const lines = (await server.run(`${program} -w 5 -S`)).split('\n')
    const chains = ['DOCKER-USER', 'FORWARD'].filter(chain =>
      lines.some(line => /^-[NP] (\S+)/.exec(line)?.[1] === chain),
    )
    const own = chains.map(chain => `-A ${chain} -m mark --mark ${mark}/${mark} -m comment --comment weft -j ACCEPT`)
    const want = [...(mark === undefined ? [] : own), ...foreign.map(rule => `-A ${rule}`)].toSorted()
    assert.equal(lines.filter(line => line.includes('--mark')).toSorted(), want, program)
  }
}
