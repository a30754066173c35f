/** Work in other namespaces leaves every thread where it was. Runs in network and mount namespaces of its own. */
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, existsSync, readdirSync, readFileSync, readlinkSync, stat } from 'node:fs'
import { promisify } from 'node:util'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  createNetns,
  deleteNetns,
  inNetns,
  inScratchNetns,
  netnsPath,
  openScratchNetns,
  readSysctl,
  writeSysctl,
} from '../../native/ffi/netns.ts'
import { NetlinkSocket, protocols } from '../../native/netlink/socket.ts'

if (!process.env['WEFT_TEST_NETNS']) {
  const env = { ...process.env, WEFT_TEST_NETNS: '1' }
  // Names of namespaces are made in a directory of our own.
  const enter = 'mount -t tmpfs tmpfs /run && exec "$0" "$@"'
  const own = ['--net', '--mount', '--propagation', 'private', 'sh', '-c', enter, process.execPath]
  process.exit(spawnSync('unshare', [...own, import.meta.filename], { env, stdio: 'inherit' }).status ?? 1)
}

const statAsync = promisify(stat)
const here = (): string => readlinkSync('/proc/thread-self/ns/net')
const ofAllThreads = (): ReadonlySet<string> =>
  new Set(readdirSync('/proc/self/task').map(task => readlinkSync(`/proc/self/task/${task}/ns/net`)))

test('netns: all threads stay at home, also those that are born while the pool is busy', async () => {
  const home = here()
  const fd = openScratchNetns()
  const jobs: Promise<unknown>[] = []
  for (let round = 0; round < 500; round += 1) {
    jobs.push(
      inNetns(fd, () => {
        assert.is.not(here(), home)
        return [statAsync('/')]
      })[0] ?? Promise.resolve(),
      statAsync('/proc'),
    )
    if (round % 50 === 0) await Promise.all(jobs.splice(0))
  }
  await Promise.all(jobs)
  closeSync(fd)
  assert.ok(readdirSync('/proc/self/task').length > 4)
  assert.equal([...ofAllThreads()], [home])
})

test('netns: failing work comes home, and so does nested work', () => {
  const home = here()
  const outer = openScratchNetns()
  assert.throws(
    () =>
      inNetns(outer, () => {
        const between = here()
        assert.throws(() => {
          inScratchNetns(() => {
            throw new Error('inner')
          })
        }, /inner/)
        assert.is(here(), between)
        throw new Error('outer')
      }),
    /outer/,
  )
  closeSync(outer)
  assert.is(here(), home)
})

test('netns: work that would go on later is refused', () => {
  assert.throws(() => inScratchNetns(async () => undefined), /must be synchronous/)
  assert.throws(() => inNetns('/run/netns/none', () => 1), /ENOENT/)
  assert.throws(() => inNetns('/proc/self/ns/mnt', () => 1), /EINVAL/)
})

test('netns: a switch is that of the namespace', () => {
  const fd = openScratchNetns()
  const before = readSysctl('net.ipv4.ip_forward')
  inNetns(fd, () => {
    writeSysctl('net.ipv4.ip_forward', before === '1' ? '0' : '1')
  })
  assert.is(readSysctl('net.ipv4.ip_forward'), before)
  assert.is.not(
    inNetns(fd, () => readSysctl('net.ipv4.ip_forward')),
    before,
  )
  closeSync(fd)
})

test('netns: switches of a link with a dot in its name, and those that are not there', () => {
  inScratchNetns(() => {
    execFileSync('ip', ['link', 'add', 'br.1', 'type', 'bridge'])
    writeSysctl('net/ipv4/conf/br.1/route_localnet', '1')
    assert.is(readSysctl('net.ipv4.conf.br/1.route_localnet'), '1')
    assert.is(readSysctl('net.ipv4.conf.br0.route_localnet'), undefined)
    assert.throws(() => {
      writeSysctl('net.ipv4.conf.br0.route_localnet', '1')
    }, /ENOENT/)
    assert.throws(() => {
      writeSysctl('net.ipv4.ip_forward', 'x')
    }, /EINVAL/)
  })
})

test('netns: a named one is seen by iproute2, and vanishes when nothing is open in it', async () => {
  const path = createNetns('weft-test')
  assert.is(path, netnsPath('weft-test'))
  assert.match(execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }), /^weft-test\b/m)
  assert.throws(() => createNetns('weft-test'), /EEXIST/)
  const id = inNetns(path, here)
  assert.is.not(id, here())

  const socket = inNetns(path, () => new NetlinkSocket(protocols.route))
  deleteNetns('weft-test')
  assert.not(existsSync(path))
  assert.throws(() => {
    deleteNetns('weft-test')
  }, /ENOENT/)
  await socket[Symbol.asyncDispose]()
  assert.not(readFileSync('/proc/self/mountinfo', 'utf8').includes('weft-test'))
})

test('netns: what is left of a creation that was cut short can be deleted', () => {
  execFileSync('touch', [netnsPath('weft-half')])
  deleteNetns('weft-half')
  assert.not(existsSync(netnsPath('weft-half')))
})

test.run()
