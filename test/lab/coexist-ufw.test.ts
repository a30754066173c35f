/** Beside the real ufw, as Debian ships it: what is closed stays closed while it is switched, and the rest works. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { closedDuring, town } from '../support/coexist.ts'
import { bringFirewalls } from '../support/lab/firewalls.ts'
import { agrees, engines, removeAll, rows, shared, together } from '../support/scene.ts'
import { streams } from '../support/streams.ts'

/** In this order. Each lets incoming and forwarded traffic wait for a rule, as ufw does by default. */
const switches: Readonly<Record<string, string>> = {
  enabled: 'ufw --force enable',
  reloaded: 'ufw reload',
  'reloaded again at once': 'ufw reload && ufw reload',
  'a rule added': 'ufw allow 22/tcp',
  // weft's rule may be back in DOCKER-USER before that chain is deleted, which is refused then.
  'everything flushed and enabled again': 'f="/usr/lib/ufw/ufw-init flush-all"; $f || $f || $f && ufw --force enable',
  disabled: 'ufw disable',
}

/** So that a restored rule set reads the same as the first one. */
const warm = 'iptables-save | iptables-restore; ip6tables-save | ip6tables-restore'

/** The engine's own chains, and a host where somebody has taken them away. */
const chains: Readonly<Record<string, string>> = {
  'with DOCKER-USER': 'true',
  'without DOCKER-USER': 'iptables -F; iptables -X DOCKER-USER; ip6tables -F; ip6tables -X DOCKER-USER || true',
}

for (const engine of engines('28.5')) {
  const scene = shared({ engine, warm })

  for (const [name, script] of Object.entries(chains)) {
    test(`ufw, engine ${engine}, ${name}: networks work beside it, and nothing opens`, () =>
      scene.play(async ({ server, client }) => {
        const versions = await bringFirewalls(server, engine)
        await server.sh('iptables-save >/run/rules4; ip6tables-save >/run/rules6')
        const table = await town(server, client)
        await server.sh(script)
        await rows(table.open, 'before ufw')
        for (const [what, command] of Object.entries(switches)) {
          const asked = await streams(table.ways(server, client))
          let done = 0
          const work = server.sh(command).then(() => {
            done = Date.now()
          })
          await closedDuring(work, table)
          await together(what, { ...table.open, ...table.closed })
          const healed = Object.entries(asked.healedAfter(done)).map(([way, ms]) => `${way} ${ms} ms`)
          const sum = await asked.stop()
          console.log(`engine ${engine}, ${versions}, ${name}, ${what}: ${healed.join(', ')}; ${sum.asked} questions`)
          await agrees(server)
          if (what !== 'disabled') assert.match(await server.run('iptables -S FORWARD'), '-P FORWARD DROP')
        }
        await removeAll(server)
        await server.sh('nft flush ruleset; iptables-restore /run/rules4; ip6tables-restore /run/rules6')
      }))
  }

  test(`ufw, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()
