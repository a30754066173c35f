/** Engine and weftd on Debian 12's kernel: a network from its making to its end, and a foreign flush in between. */
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { watchKernel } from '../../native/diag/events.ts'
import { Monitor } from '../../native/netlink/monitor.ts'
import { tableName } from '../../drivers/names.ts'
import { guest, type Guest } from '../support/guest/place.ts'
import { eventually, type Daemon, type Host, type Snapshot } from '../support/lab.ts'
import { netOf, pings, pingsNot, seenBy } from '../support/reach.ts'
import { agrees, asBefore } from '../support/scene.ts'

/** The guest is a tenth as fast as the machine. */
const patience = { timeoutMs: 200_000 }
const knock = 'ping -n -i 0.02 10.30.0.9'.split(' ')
let place: (Guest & { readonly before: Snapshot }) | undefined

/** Engine and weftd are started by the first test that needs them. */
async function started(): Promise<Guest & { readonly before: Snapshot }> {
  if (place) return place
  const made = await guest()
  const { host } = made
  await host.startWeft(patience)
  await host.startEngine(patience)
  await host.image()
  // What the kernel and the engine make once and keep.
  await host.docker('run --rm probe true')
  place = { ...made, before: await host.snapshot() }
  return place
}

test('guest: a network lives on this kernel, and nothing of it is left', async () => {
  const { host, client, before } = await started()
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

test('guest: after a foreign flush the rules are back, and what was closed is closed', async () => {
  const { host, client, before } = await started()
  await host.docker('network create -d weft-bridge --subnet 10.30.0.0/24 open')
  await host.docker('network create -d weft-bridge --subnet 10.31.0.0/24 other')
  await host.docker('run -d --name www --network open --ip 10.30.0.9 -p 8080:80 probe')
  await host.docker('run -d --name stranger --network other probe')
  const stranger = await netOf(host, 'stranger')
  await client.run(`ip route add 10.30.0.0/24 via ${host.ip4}`)
  await pingsNot(stranger, '10.30.0.9')
  await pingsNot(client, '10.30.0.9')
  const strangerPid = await host.docker('inspect -f {{.State.Pid}} stranger')
  const knocking = [
    await host.start('knock-other', ['nsenter', '-t', strangerPid, '-n', '--', ...knock]),
    await host.start('knock-lan', ['ip', 'netns', 'exec', 'client', ...knock]),
  ]

  const windows: string[] = []
  for (let round = 0; round < 3; round += 1) {
    const window = await flush(host)
    windows.push(`${window.toFixed(0)} ms`)
    // After what weft takes for a fight the next one is the first again.
    await sleep(6_000)
  }
  const [other, lan] = knocking.map(repliesOf)
  console.log(
    `from the flush to the rules: ${windows.join(', ')}; through meanwhile: ${String(other)} and ${String(lan)} pings`,
  )

  await closedAgain(knocking)
  for (const knocker of knocking) {
    knocker.kill('SIGINT')
    await knocker.exited
  }
  await pingsNot(stranger, '10.30.0.9')
  await pingsNot(client, '10.30.0.9')
  assert.is(await seenBy(client, host.ip4, { port: 8080 }), client.ip4)
  await client.run('ip route del 10.30.0.0/24')
  await agrees(host)
  await asBefore(host, before, { anyOrder: true })
})

test('guest: sctp is published, and shows the real client', async () => {
  const { host, client, before } = await started()
  await host.run('modprobe sctp')
  await host.docker('network create -d weft-bridge web')
  const answer = 'SYSTEM:echo client $SOCAT_PEERADDR'
  const listen = ['socat', 'SCTP4-LISTEN:7000,fork,reuseaddr', answer]
  await host.docker(['run', '-d', '--name', 'one', '--network', 'web', '-p', '7000:7000/sctp', 'probe', ...listen])
  const ask = ['socat', '-T', '5', '-u', `SCTP4-CONNECT:${host.ip4}:7000`, '-']
  const seen = await eventually('sctp port 7000 answers', () => client.run(ask), patience)
  assert.is(seen, `client ${client.ip4}`)
  await asBefore(host, before)
})

test('guest: engine and weftd end', async () => {
  const { host } = await started()
  host.engine?.kill('SIGTERM')
  await host.engine?.exited
  await host.weftd?.stop(patience.timeoutMs)
})

test.run()

function repliesOf(knocker: Daemon): number {
  return knocker.log().match(/ttl=/g)?.length ?? 0
}

/** No connection that began in the window goes on in it. */
async function closedAgain(knocking: readonly Daemon[]): Promise<void> {
  const count = (): string => knocking.map(repliesOf).join(' ')
  const before = count()
  await sleep(2_000)
  assert.is(count(), before, 'pings that came through in the window come through still')
}

/** Milliseconds from the event of the flush, as this process sees it, to that of weft's rules. */
async function flush(host: Host): Promise<number> {
  await using monitor = new Monitor()
  const seen: number[] = []
  watchKernel(monitor, events => {
    for (const event of events) {
      if (event.type === 'nftables' && event.tables.includes(`inet ${tableName}`)) seen.push(performance.now())
    }
  })
  await host.run('nft flush ruleset')
  await eventually('the rules are back', () => seen.length > 1, patience)
  const [gone = NaN, back = NaN] = seen
  return back - gone
}
