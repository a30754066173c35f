/** Somebody takes away what weft made: it is seen, it is put back, and what can go on goes on. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually, type Host } from '../support/lab.ts'
import { netOf, pings, seenBy, sees } from '../support/reach.ts'
import { agrees, engines, rows, shared } from '../support/scene.ts'
import { echoes, traffic } from '../support/traffic.ts'

const pair = '--subnet 10.30.0.0/24 --ipv6 --subnet fd00:30::/64'
const flushes = process.env['WEFT_TEST_FULL'] ? 1_000 : 100

async function settleIn(server: Host): Promise<void> {
  await server.docker(
    `network create -d weft-bridge ${pair} -o com.docker.network.bridge.name=lan0 -o com.docker.network.driver.mtu=1400 web`,
  )
  await server.docker(`run -d --name echo --network web --ip 10.30.0.8 -p 7000:7000 ${echoes}`)
  await server.docker('run -d --name www --network web --ip 10.30.0.9 --ip6 fd00:30::9 -p 8080:80 probe')
}

/** So that a restored rule set reads the same as the first one. */
const warm = 'iptables-save | iptables-restore; ip6tables-save | ip6tables-restore'

interface Damage {
  readonly name: string
  /** Done to the server, in shell. */
  readonly script: string
  /** Answers when it is well again. */
  readonly well: string
}

/** Seen by an event. */
const seen: readonly Damage[] = [
  {
    name: 'an address deleted',
    script: 'ip address delete 10.30.0.1/24 dev lan0',
    well: "ip -o address show lan0 | grep -q ' 10.30.0.1/24 '",
  },
  {
    name: 'a v6 address deleted',
    script: 'ip address delete fd00:30::1/64 dev lan0',
    well: "ip -o address show lan0 | grep -q ' fd00:30::1/64 '",
  },
  {
    name: 'all addresses flushed',
    script: 'ip address flush dev lan0 scope global',
    well: '[ $(ip -o address show lan0 scope global | wc -l) = 2 ]',
  },
  { name: 'the bridge set down', script: 'ip link set lan0 down', well: "ip -o link show lan0 | grep -q ',UP'" },
  {
    name: 'the bridge deleted',
    script: 'ip link delete lan0',
    well: '[ $(ip -o link show master lan0 | wc -l) = 2 ] && ip -o address show lan0 | grep -q fd00:30::1/64',
  },
]

/** Possible only in a table without owner. Who does it again and again waits longer and longer: see daemon/rests.ts. */
const rules: readonly Damage[] = [
  {
    name: 'a published port deleted',
    script: "nft delete element inet weft pub4any '{ tcp . 8080 }'",
    well: "nft get element inet weft pub4any '{ tcp . 8080 }'",
  },
  {
    name: 'a published port changed',
    script: `nft -f - <<'END'
      delete element inet weft pub4any { tcp . 8080 }
      add element inet weft pub4any { tcp . 8080 : 10.30.0.77 . 81 }
END`,
    well: "nft list map inet weft pub4any | grep -q '8080 : 10.30.0.9 . 80'",
  },
  {
    name: 'a pool deleted',
    script: 'nft flush set inet weft masq4',
    well: 'nft list set inet weft masq4 | grep -q 10.30.0.0/24',
  },
  {
    name: 'an element added',
    script: "nft add element inet weft uplinks '{ lan0 }'",
    well: '! nft list set inet weft uplinks | grep -q lan0',
  },
  {
    name: 'a rule deleted',
    script: 'nft flush chain inet weft from_br',
    well: 'nft list chain inet weft from_br | grep -q @internal',
  },
  {
    name: 'the table deleted',
    script: 'nft delete table inet weft',
    well: 'nft list chain inet weft from_br | grep -q @internal',
  },
  {
    name: 'everything flushed',
    script: 'nft flush ruleset',
    well: "nft list map inet weft pub4any | grep -q '8080 : 10.30.0.9 . 80'",
  },
]

for (const engine of engines('20.10')) {
  const scene = shared({ engine, warm })

  test(`heal, engine ${engine}: nft flush ruleset under a published TCP flow resets nothing and loses nothing`, () =>
    scene.play(async ({ server, client }) => {
      await server.sh('iptables-save >/run/rules4; ip6tables-save >/run/rules6')
      await settleIn(server)
      const flows = await traffic({ server, container: 'echo', client, port: 7000 })
      const resets = await client.start('resets', [
        ...'tcpdump -i eth0 -n -l --immediate-mode'.split(' '),
        `tcp[tcpflags] & tcp-rst != 0 and port 7000`,
      ])
      await eventually('the wire is watched', () => resets.log().includes('listening on'))
      await server.sh(`for i in $(seq ${flushes}); do nft flush ruleset; sleep 0.01; done`)
      // The flow ends with a reset of its own.
      resets.kill('SIGINT')
      await resets.exited
      const { pings, answers } = await flows.stop()
      assert.match(resets.log(), /\b0 packets captured/)
      console.log(`engine ${engine}: ${flushes} flushes, ${pings} pings and ${answers} answers, none lost`)
      await agrees(server)
      await server.sh('iptables-restore /run/rules4; ip6tables-restore /run/rules6')
    }))

  test(`heal, engine ${engine}: what is deleted by hand comes back`, () =>
    scene.play(async ({ server, client }) => {
      await settleIn(server)
      await rows(Object.fromEntries(seen.map(damage => [damage.name, () => heals(server, engine, damage)])))
      const www = await netOf(server, 'www')
      await rows({
        neighbours: () => pings(www, '10.30.0.8'),
        out: () => pings(www, client.ip4),
        'out, v6': () => pings(www, client.ip6),
        published: sees(client, server.ip4, client.ip4, { port: 8080 }),
        'published, v6': sees(client, server.ip6, client.ip6, { port: 8080 }),
      })
    }))

  test(`heal, engine ${engine}: what need not make an event is found by diff and put back by settle`, () =>
    scene.play(async ({ server }) => {
      await settleIn(server)
      const found: readonly (readonly [string, string])[] = [
        ['echo 0 >/proc/sys/net/ipv4/conf/lan0/route_localnet', 'net/ipv4/conf/lan0/route_localnet'],
        [`ip link set ${await firstPort(server)} nomaster`, 'master lan0'],
        [`ip link set ${await firstPort(server)} down`, 'master lan0'],
        [`ip link set ${await firstPort(server)} type bridge_slave group_fwd_mask 0`, 'master lan0'],
        ['ip link set lan0 type bridge mcast_snooping 1', 'bridge lan0'],
        ['ip link set lan0 mtu 1280', 'bridge lan0'],
        ['ip link set lan0 address 02:00:00:00:00:99', 'bridge lan0'],
      ]
      await rows(
        Object.fromEntries(
          found.map(([script, line]) => [
            script,
            async () => {
              // A comparison that was due for another reason may come first.
              const shown = async (): Promise<boolean> => {
                await server.sh(script)
                return (await server.weft('diff', { fails: true })).includes(line)
              }
              await eventually(`diff shows ${line}`, shown, { timeoutMs: 30_000 })
              await server.weft('settle')
              assert.match(await server.weft('diff'), 'agree')
            },
          ]),
        ),
      )
      await pings(await netOf(server, 'www'), '10.30.0.8')
      assert.is(await seenBy(server, '127.0.0.1', { port: 8080 }), '10.30.0.1')
    }))

  test(`heal, engine ${engine}: a container whose link is deleted loses it for good, and starts anew`, () =>
    scene.play(async ({ server, client }) => {
      await settleIn(server)
      const link = await firstPort(server)
      await server.run(['ip', 'link', 'delete', link])
      // After so many repairs weft takes its time: up to 10 s, see daemon/rests.ts.
      const gone = async (): Promise<boolean> => !(await server.weft('endpoints')).includes(link)
      await eventually('its endpoint is given up', gone, { timeoutMs: 40_000, pauseMs: 250 })
      await agrees(server)
      await server.docker('restart -t 1 echo www')
      await agrees(server)
      assert.is(await seenBy(client, server.ip4, { port: 8080 }), client.ip4)
      await pings(await netOf(server, 'echo'), client.ip4)
    }))

  test(`heal, engine ${engine}: the lab ends`, () => scene.end())

  const unowned = shared({ engine, weftFlags: '--table-owner off', warm })

  test(`heal, engine ${engine}: rules without an owner are put back at once`, () =>
    unowned.play(async ({ server, client }) => {
      await server.sh('iptables-save >/run/rules4; ip6tables-save >/run/rules6')
      await settleIn(server)
      await rows(Object.fromEntries(rules.map(damage => [damage.name, () => heals(server, engine, damage)])))
      assert.is(await seenBy(client, server.ip4, { port: 8080 }), client.ip4)
      await server.sh('iptables-restore /run/rules4; ip6tables-restore /run/rules6')
    }))

  test(`heal, engine ${engine}: the lab without owner ends`, () => unowned.end())
}

test.run()

async function firstPort(server: Host): Promise<string> {
  const ports = await server.run('ip -o link show master lan0')
  return /^\d+: ([^@]+)@/.exec(ports)?.[1] ?? ''
}

/** Prints how long it took, as the host itself sees it. */
async function heals(server: Host, engine: string, { name, script, well }: Damage): Promise<void> {
  const took = await server.sh(`${script}
    start=$(date +%s%N)
    for i in $(seq 4000); do
      if { ${well}; } >/dev/null 2>&1; then echo $((($(date +%s%N) - start) / 1000000)); exit; fi
      sleep 0.01
    done
    echo never`)
  if (took === 'never') throw new Error(`${name}: not healed: ${await server.weft('diff', { fails: true })}`)
  console.log(`engine ${engine}, ${name}: well again after ${took} ms`)
  await agrees(server)
}
