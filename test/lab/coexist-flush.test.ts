/** Somebody flushes the host's firewall, whatever its settings: what is closed stays closed, and the rest is healed. */
import { test } from 'uvu'
import { closedDuring, town } from '../support/coexist.ts'
import { agrees, engines, removeAll, shared, together } from '../support/scene.ts'
import { streams } from '../support/streams.ts'

/** Of the host: the policy of other firewalls, and whether bridged frames pass them. */
const all: Readonly<Record<string, string>> = {
  'FORWARD drops, br_netfilter on': 'policy DROP; bridges 1',
  'FORWARD drops, br_netfilter off': 'policy DROP; bridges 0',
  'FORWARD accepts, br_netfilter on': 'policy ACCEPT; bridges 1',
  'FORWARD accepts, br_netfilter off': 'policy ACCEPT; bridges 0',
}
/** The first and the last differ in both. */
const settings = Object.entries(all).filter((_, index) => process.env['WEFT_TEST_FULL'] || index % 3 === 0)
const tools = `
  policy() { iptables -P FORWARD $1; ip6tables -P FORWARD $1; }
  bridges() { for name in iptables ip6tables; do echo $1 >/proc/sys/net/bridge/bridge-nf-call-$name; done; }
`

const flushes: Readonly<Record<string, string>> = {
  // weft may be quicker: its rule in DOCKER-USER keeps the chain then.
  'iptables -F, also of nat, and -X':
    'for table in filter nat; do until iptables -t $table -F && iptables -t $table -X; do sleep 0.05; done; done',
  'nft flush ruleset': 'nft flush ruleset',
}

/** So that a restored rule set reads the same as the first one. */
const warm = 'iptables-save | iptables-restore; ip6tables-save | ip6tables-restore'

for (const engine of engines('28.5')) {
  const scene = shared({ engine, warm })

  for (const [setting, set] of settings) {
    test(`flush, engine ${engine}: ${setting}`, () =>
      scene.play(async ({ server, client }) => {
        await server.sh('iptables-save >/run/rules4; ip6tables-save >/run/rules6')
        const table = await town(server, client)
        for (const [name, flush] of Object.entries(flushes)) {
          await server.sh(`${tools}\n${set}`)
          const asked = await streams(table.ways(server, client))
          let done = 0
          // A flushed table has no policy any more.
          const work = server.sh(`${tools}\n${flush}\n${set}`).then(() => {
            done = Date.now()
          })
          await closedDuring(work, table)
          await together(name, { ...table.open, ...table.closed })
          const healed = Object.entries(asked.healedAfter(done)).map(([way, ms]) => `${way} ${ms} ms`)
          const sum = await asked.stop()
          console.log(
            `engine ${engine}, ${setting}, ${name}: ${healed.join(', ')}; ${sum.asked} questions, none answered`,
          )
          await agrees(server)
          await server.sh('nft flush ruleset; iptables-restore /run/rules4; ip6tables-restore /run/rules6')
        }
        await server.sh(`${tools}\nbridges 1`)
        await removeAll(server)
        await server.sh('nft flush ruleset; iptables-restore /run/rules4; ip6tables-restore /run/rules6')
      }))
  }

  test(`flush, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()
