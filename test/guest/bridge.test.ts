/** Engine and weftd on Debian 12's kernel: a network from its making to its end, and a foreign flush in between. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseIp } from '../../native/value/ip.ts'
import { guest, patience } from '../support/guest/place.ts'
import { flushStory } from '../support/flush-window.ts'
import { eventually } from '../support/lab.ts'
import { netOf, pings, seenBy } from '../support/reach.ts'
import { agrees, asBefore } from '../support/scene.ts'

const full = process.env['WEFT_TEST_FULL'] === '1'

test('guest: a network lives on this kernel, and nothing of it is left', async () => {
  const { host, client, before } = await guest()
  assert.match(await host.weft('status'), /protected from other programs: no/)
  // The kernel loads the parts of nf_tables that the rules need: with such a processor longer than weft waits.
  await eventually('a network is made', () => host.docker('network create -d weft-bridge web'), patience)
  await host.docker('run -d --name one --network web -p 8080:80 probe')
  await host.docker('run -d --name two --network web probe')
  const two = await netOf(host, 'two')
  await pings(two, await host.addressOf('one', 'web'))
  await pings(two, client.ip4)
  assert.is(await seenBy(two, await host.addressOf('one', 'web')), await host.addressOf('two', 'web'))
  assert.is(await seenBy(client, host.ip4, { port: 8080 }), client.ip4)
  await agrees(host)
  await asBefore(host, before)
})

if (!full) console.log('sctp: only with --full')
if (full) {
  test('guest: sctp is published in both families, shows the real client, and has its conflicts', async () => {
    const { host, client, before } = await guest()
    await host.docker('network create -d weft-bridge --ipv6 --subnet fd00:30::/64 web')
    const answer = 'SYSTEM:echo client $SOCAT_PEERADDR'
    const serve = (family: string): string => `socat SCTP${family},fork '${answer}'`
    const listen = ['sh', '-c', `${serve('4-LISTEN:7000')} & exec ${serve('6-LISTEN:7000,ipv6-v6only')}`]
    await host.docker(['run', '-d', '--name', 'one', '--network', 'web', '-p', '7000:7000/sctp', 'probe', ...listen])
    for (const [to, from] of [
      [`SCTP4-CONNECT:${host.ip4}:7000`, client.ip4],
      [`SCTP6-CONNECT:[${host.ip6}]:7000`, client.ip6],
    ] as const) {
      const ask = ['socat', '-T', '5', '-u', to, '-']
      const seen = await eventually(`${to} answers`, () => client.run(ask), patience)
      assert.is(parseIp(seen.replace(/^client \[?|\]$/g, '')), from)
    }
    const other = await host.start('other', ['socat', 'SCTP4-LISTEN:7001,fork', answer])
    for (const port of [7000, 7001]) {
      const run = ['run', '-d', '--name', 'two', '--network', 'web', '-p', `${port}:7000/sctp`, 'probe', ...listen]
      assert.match(await host.docker(run, { fails: true }), `${port} failed: port is already allocated`)
      await host.docker('rm -f two')
    }
    other.kill()
    await other.exited
    await asBefore(host, before)
  })
}

test('guest: after a foreign flush the rules are back, and what began meanwhile does not go on', async () => {
  const { host, client, before } = await guest()
  const neighbour = { ...client, host, inside: 'ip netns exec client' }
  await flushStory('in the guest', host, neighbour, { rounds: 3, ...patience })
  await asBefore(host, before, { anyOrder: true })
})

test.run()
