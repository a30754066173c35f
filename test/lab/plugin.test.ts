/** weft where engines do not look by themselves: behind a spec file, and as a managed plugin that the engine runs. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { difference, eventually, http, inside, lab, type Host } from '../support/lab.ts'
import { accepting } from '../support/lab/socket.ts'
import { seenBy } from '../support/reach.ts'
import { agrees, engines, removeAll, unchanged } from '../support/scene.ts'

/** Names in a directory of the host; none when there is no such directory. */
function namesIn(host: Host, path: string): readonly string[] {
  return existsSync(host.path(path)) ? readdirSync(host.path(path)) : []
}

/** Numbers of weftd's processes, as the host counts. */
async function weftdsOf(host: Host): Promise<readonly string[]> {
  // The shell's own command line must not match.
  return (await host.sh("pgrep -f '[d]aemon/managed.ts' || true")).split('\n').filter(pid => pid !== '')
}

for (const engine of engines('28.5')) {
  test(`plugin, engine ${engine}: sockets in another directory are found by the spec files of weft install`, async () => {
    await using net = await lab({ hosts: 1, engine })
    const [server] = net.hosts
    const elsewhere = '/run/weft/plugins'
    await server.sh('mkdir -p /etc/weft')
    server.write('/etc/weft/weft.json', JSON.stringify({ pluginDir: elsewhere }))
    assert.match(await server.weft('install'), 'wrote /etc/docker/plugins/weft-bridge.spec\n')
    const weftd = await server.start('weftd', [join(net.checkout, 'bin/weftd')])
    await eventually('weftd is there', () => accepting(server.path(`${elsewhere}/weft-ipam.sock`)))
    assert.equal(namesIn(server, '/run/docker/plugins'), [])
    await server.startEngine()
    await server.image()
    const before = await server.snapshot()

    await server.docker('network create -d weft-bridge --ipam-driver weft-ipam web')
    await server.docker('run -d --name one --network web probe')
    await server.docker('run -d --name two --network web probe')
    assert.match(await eventually('one answers two', () => http(inside(server, 'two'), 'one', 80)), 'client 10.64.0.')

    await removeAll(server)
    await unchanged(server, before)
    await weftd.stop()
    // The lab has a mount there.
    assert.match(await server.weft('uninstall'), 'emptied /var/lib/weft')
    assert.equal(namesIn(server, '/var/lib/weft'), [])
    assert.equal(namesIn(server, '/etc/docker/plugins'), [])
    assert.not.ok(existsSync(server.path('/run/weft')))
  })
}

for (const engine of engines('28.5')) {
  test(`plugin, engine ${engine}: a managed plugin serves networks, over restarts of either, and leaves nothing`, async () => {
    await using net = await lab({ hosts: 2, engine })
    const [server, client] = net.hosts
    await server.startEngine()
    await server.image()
    // See scene.ts.
    await server.docker('run --rm -p 65000:80 probe true')
    const before = await server.snapshot()
    const published = async (): Promise<void> => {
      assert.is(await seenBy(client, server.ip4, { port: 8080 }), client.ip4)
      assert.is(await seenBy(client, server.ip6, { port: 8080 }), client.ip6)
    }

    await server.run([join(net.checkout, 'scripts/plugin')], { timeoutMs: 180_000 })
    await server.docker('plugin enable weft')
    await server.docker(
      'network create -d weft:latest --ipam-driver weft:latest --ipv6 --subnet 10.40.0.0/24 --subnet fd00:40::/64 web',
    )
    await server.docker('run -d --name one --restart always --network web -p 8080:80 probe')
    await server.docker('run -d --name two --restart always --network web probe')
    const answers = (): Promise<string> => eventually('one answers two', () => http(inside(server, 'two'), 'one', 80))
    await answers()
    await published()
    await agrees(server)
    assert.is(await server.docker('network inspect -f {{.Driver}} web'), 'weft:latest')
    assert.match(await server.docker('network create -d weft:latest -o mut=1 x', { fails: true }), 'has no option mut')
    assert.match(await server.docker('plugin disable weft', { fails: true }), 'is in use')

    const [pid = ''] = await weftdsOf(server)
    assert.match(await server.weft('status'), `process ${pid},`)
    await server.run(['kill', '-KILL', pid])
    await published()
    await eventually(
      'the engine starts weftd again',
      async () => !['', pid].includes((await weftdsOf(server))[0] ?? ''),
    )
    await agrees(server)

    await server.engine?.stop(60_000)
    assert.equal(await weftdsOf(server), [])
    await server.startEngine({ flags: '--live-restore', timeoutMs: 60_000 })
    await published()
    await answers()

    const [living] = await weftdsOf(server)
    await server.engine?.stop(60_000)
    await published()
    await server.startEngine({ flags: '--live-restore', timeoutMs: 60_000 })
    assert.equal(await weftdsOf(server), [living])
    await server.docker('restart -t 1 two')
    await answers()

    // As an upgrade does it.
    await server.docker('plugin disable -f weft')
    await published()
    await server.docker('plugin set weft WEFT_LOG_LEVEL=debug')
    await server.docker('plugin enable weft')
    await server.docker('restart -t 1 one')
    await published()
    await answers()

    await removeAll(server)
    await unchanged(server, before, { anyOrder: true })
    const standing = await server.snapshot()
    await server.docker('plugin disable weft')
    await server.docker('plugin rm weft')
    assert.is(difference(standing, await server.snapshot()), '')
    assert.equal(await weftdsOf(server), [])
    assert.equal(namesIn(server, '/run/docker/plugins'), [])
    assert.equal(namesIn(server, '/run/weft'), [])
    assert.equal(namesIn(server, '/var/lib/weft'), [])
    // Beside its own two directories the engine has one for each plugin, with our records in it.
    assert.equal([...namesIn(server, '/var/lib/docker/plugins')].sort(), ['storage', 'tmp'])
  })
}

test.run()
