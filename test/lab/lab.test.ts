/** The lab itself: real engines on their own bridge driver, so that a failure elsewhere is not the lab's. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { difference, eventually, http, inside, lab, serve, tcp, udp } from '../support/lab.ts'
import { processesOf } from '../support/lab/leftovers.ts'

for (const engine of ['20.10', '28.5'] as const) {
  test(`lab: engine ${engine} publishes a port, the other host reaches it, nothing is left`, async () => {
    const step = stopwatch(`engine ${engine}`)
    const net = await lab({ hosts: 2, engine })
    try {
      const [server, client] = net.hosts
      step('two hosts')
      await server.startEngine()
      step('engine')
      await server.image()
      step('image')
      assert.match(
        await server.docker('version -f {{.Server.Version}}'),
        new RegExp(`^${engine.replace('.', '\\.')}\\.`),
      )
      // The first published port of engine 28 makes a raw table that stays, empty.
      await server.docker('run --rm -p 8081:80 probe true')
      const before = await server.snapshot()
      step('run --rm and snapshot')

      await server.docker('run -d --name www -p 8080:80 probe')
      step('run')
      const answer = await eventually('port 8080 answers', () => client.run('curl -sSf -m 2 http://192.0.2.11:8080'))
      assert.match(answer, /^name [0-9a-f]{12} client 192\.0\.2\.12$/)
      assert.match(await http(inside(server, 'www'), '127.0.0.1', 80), / client 127\.0\.0\.1$/)
      assert.match(await udp(server, await server.addressOf('www', 'bridge'), 80), / client 172\.17\.0\.1 hello$/)
      step('probes')
      assert.match(difference(before, await server.snapshot()), /\+ tcp LISTEN .*:8080/)
      await server.docker('rm -f www')
      step('rm')

      assert.is(difference(before, await server.snapshot()), '')
      assert.is.not(net.leftovers().length, 0)
    } finally {
      await net[Symbol.asyncDispose]()
    }
    step('disposal')
    assert.equal(net.leftovers(), [])
  })
}

test('lab: a host sees its own root, processes and boot id, and cannot change the machine', async () => {
  await using net = await lab({ hosts: 1 })
  const [host] = net.hosts
  assert.is(await host.run('hostname'), 'h1')
  assert.is((await host.sh('ls -d /proc/[0-9]*')).split('\n')[0], '/proc/1')
  assert.match(await host.sh('echo 1 >/proc/sys/kernel/panic', { fails: true }), /Read-only file system/)
  assert.match(await host.run(['touch', import.meta.filename], { fails: true }), /Read-only file system/)
  assert.match(await host.run('ls /dev/mem /dev/vda /dev/sda', { fails: true }), /No such file/)
})

test('lab: a reboot keeps the data, and ends the rest', async () => {
  await using net = await lab({ hosts: 1 })
  const [host] = net.hosts
  const bootId = '/proc/sys/kernel/random/boot_id'
  const first = await host.run(['cat', bootId])
  await host.sh('echo kept >/var/lib/weft/kept; touch /run/lost; ip link add lost0 type bridge')

  await host.reboot()

  assert.is(await host.run('cat /var/lib/weft/kept'), 'kept')
  assert.not(existsSync(host.path('/run/lost')))
  assert.match(await host.run('ip link show lost0', { fails: true }), /does not exist/)
  assert.is.not(await host.run(['cat', bootId]), first)
  await host.run('ping -c 1 -W 2 192.0.2.1')
})

test('lab: a cut host is unreachable until it is healed', async () => {
  await using net = await lab({ hosts: 2 })
  const [one, two] = net.hosts
  await one.run(['ping', '-c', '1', '-W', '2', two.ip6])
  await net.underlay.cut(two)
  await one.run(['ping', '-c', '1', '-W', '1', two.ip4], { fails: true })
  await net.underlay.heal(two)
  await one.run(['ping', '-c', '1', '-W', '2', two.ip4])
})

test('lab: servers tell whom they see, by TCP and UDP, v4 and v6', async () => {
  await using net = await lab({ hosts: 2 })
  const [one, two] = net.hosts
  await Promise.all(
    ([4, 6] as const).flatMap(family => [
      serve(two, { family, port: 9000 }),
      serve(two, { family, port: 9000, protocol: 'udp' }),
    ]),
  )
  assert.is(await tcp(one, two.ip4, 9000), 'name h2 client 192.0.2.11')
  assert.is(await tcp(one, two.ip6, 9000), 'name h2 client fd00:2::11')
  // On a busy machine a datagram may be lost.
  const asked = (address: string): Promise<string> => eventually('an answer', () => udp(one, address, 9000))
  assert.is(await asked(two.ip4), 'name h2 client 192.0.2.11')
  assert.is(await asked(two.ip6), 'name h2 client fd00:2::11')
})

test('lab: the hosts end with a test that is killed', async () => {
  const source = `
    import { lab } from '${dirname(import.meta.dirname)}/support/lab.ts'
    const net = await lab({ hosts: 2 })
    await net.hosts[0].start('sleeper', 'sleep 1000')
    console.log(net.name)
    await new Promise(resolve => setTimeout(resolve, 60_000))`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [chunk] = (await once(child.stdout, 'data')) as [Buffer]
  const name = chunk.toString().trim()
  assert.is.not(processesOf(name).length, 0)

  child.kill('SIGKILL')

  await eventually('the last process ends', () => processesOf(name).length === 0)
})

test('lab: a daemon is signalled, and its end is seen', async () => {
  await using net = await lab({ hosts: 1 })
  const [host] = net.hosts
  const sleeper = await host.start('sleeper', [
    'sh',
    '-c',
    'trap "exit 7" TERM; echo started; while :; do sleep 0.05; done',
  ])
  await eventually('it has started', () => sleeper.log().includes('started'))
  assert.equal(await sleeper.stop(), { status: 7, signal: null })
  const stubborn = await host.start('stubborn', 'sleep 1000')
  stubborn.kill()
  assert.is((await stubborn.exited).signal, 'SIGKILL')
})

test.run()

/** Prints how long each step took: the lab's cost is a figure of its own. */
function stopwatch(what: string): (step: string) => void {
  let last = performance.now()
  return step => {
    const now = performance.now()
    console.log(`${what}: ${step} ${(now - last).toFixed(0)} ms`)
    last = now
  }
}
