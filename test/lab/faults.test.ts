/**
 * What a plan wants to make or remove stands in the way, is busy, or is gone: each call fails in words and leaves
 * nothing, or succeeds; kernel and records agree, and once the obstacle is gone the call works.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { life, order, type Call, type Life, type LifeOptions } from '../support/crash-calls.ts'
import { look } from '../support/crash-look.ts'
import { Shell } from '../support/crash-shell.ts'
import { difference, eventually, lab, type Host, type Snapshot } from '../support/lab.ts'

interface Fault {
  readonly name: string
  /** The call that meets it; those before it in a life have been made. */
  readonly at: Call
  readonly make: (names: Life) => string
  /** What takes it away again; it must succeed whatever the call did. */
  readonly undo?: (names: Life) => string
  /** The error. Left out: the call succeeds. `either`: the daemon may have mended it before the call came. */
  readonly fails?: RegExp | 'either'
  /** Holds after the call. */
  readonly then?: (names: Life) => string
  readonly options?: LifeOptions
  /** The endpoint is given up: no other call than those that remove it can succeed. */
  readonly dead?: boolean
}

const nft = (command: string): string => `nft '${command}'`
/** Some link that is no bridge. */
const stranger = (name: string): string => `ip link add ${name} type veth peer name other9; ip link set ${name} up`
const noLink = (name: string): string => `ip link del ${name} 2>/dev/null || true`
const listen = (what: string): string => `setsid socat ${what} EXEC:cat >/dev/null 2>&1 & sleep 0.3`
const quiet = 'pkill -x socat || true; sleep 0.1'
const readOnly = (path: string): string => `mount --bind ${path} ${path}; mount -o remount,bind,ro ${path}`

const faults: readonly Fault[] = [
  {
    name: 'the name of the bridge is taken',
    at: 'CreateNetwork',
    make: ({ bridge }) => stranger(bridge),
    undo: ({ bridge }) => noLink(bridge),
    fails: /create bridge wb.*EEXIST.*remove it, or choose another name/,
  },
  {
    name: 'the gateway stands on another link',
    at: 'CreateNetwork',
    make: () =>
      `${stranger('other0')}; ip address add 10.77.0.1/24 dev other0; ip address add fd00:77::1/64 dev other0`,
    undo: () => noLink('other0'),
  },
  {
    name: 'the elements are there already',
    at: 'CreateNetwork',
    make: ({ bridge }) => {
      const set = 'add table inet weft; add set inet weft bridges { type ifname; }'
      return nft(`${set}; add element inet weft bridges { "${bridge}" }`)
    },
  },
  {
    name: 'a pool overlaps with an element of somebody',
    at: 'CreateNetwork',
    make: () => {
      const set = 'add table inet weft; add set inet weft masq4 { type ipv4_addr; flags interval; }'
      return nft(`${set}; add element inet weft masq4 { 10.77.0.0/16 }`)
    },
    fails: 'either',
  },
  {
    name: 'the switches cannot be written',
    at: 'CreateNetwork',
    make: () => readOnly('/proc/sys/net/ipv4'),
    undo: () => 'umount /proc/sys/net/ipv4',
    fails: /net\/ipv4\/conf\/wb.*EROFS/,
  },
  {
    name: 'the rules are gone',
    at: 'CreateEndpoint',
    make: () => nft('delete table inet weft'),
  },
  {
    name: 'the name of the host end is taken',
    at: 'CreateEndpoint',
    make: ({ veth }) => stranger(veth),
    undo: ({ veth }) => noLink(veth),
    fails: /create veth wv.*EEXIST/,
  },
  {
    name: "the name of the container's end is taken",
    at: 'CreateEndpoint',
    make: ({ peer }) => stranger(peer),
    undo: ({ peer }) => noLink(peer),
    fails: /create veth wv\S+ with peer wc.*EEXIST/,
  },
  {
    name: 'the bridge is gone',
    at: 'CreateEndpoint',
    make: ({ bridge }) => noLink(bridge),
    fails: 'either',
  },
  {
    name: 'the bridge has another name',
    at: 'CreateEndpoint',
    make: ({ bridge }) => `ip link set ${bridge} down; ip link set ${bridge} name stray0`,
    fails: 'either',
  },
  { name: 'the pair is gone', at: 'Join', make: ({ veth }) => noLink(veth), dead: true },
  {
    name: 'the pair is on another bridge',
    at: 'Join',
    make: ({ veth }) => `ip link add other0 type bridge; ip link set ${veth} master other0`,
    undo: () => noLink('other0'),
  },
  {
    name: 'a program has the TCP port',
    at: 'ProgramExternalConnectivity',
    make: () => listen('TCP4-LISTEN:8080,fork'),
    undo: () => quiet,
    fails: /Bind for 0\.0\.0\.0:8080 failed: port is already allocated/,
  },
  {
    name: 'a program has the UDP port',
    at: 'ProgramExternalConnectivity',
    make: () => listen('UDP4-RECVFROM:8080,fork'),
    undo: () => quiet,
    fails: /Bind for 0\.0\.0\.0:8080 failed: port is already allocated/,
  },
  {
    name: 'a program has the port in IPv6',
    at: 'ProgramExternalConnectivity',
    make: () => listen('TCP6-LISTEN:8080,ipv6only=1,fork'),
    undo: () => quiet,
    fails: /8080 failed: port is already allocated/,
  },
  {
    name: 'the host has no such address',
    at: 'ProgramExternalConnectivity',
    options: { hostIp: '203.0.113.5' },
    make: () => 'true',
    undo: () => 'ip address add 203.0.113.5/32 dev lo',
    fails: /203\.0\.113\.5 8080.*EADDRNOTAVAIL.*no interface of this host has that address/,
  },
  {
    name: 'the port leads elsewhere',
    at: 'ProgramExternalConnectivity',
    make: () => nft('add element inet weft pub4any { tcp . 8080 : 10.9.9.9 . 99 }'),
    fails: 'either',
    then: () => `${nft('get element inet weft pub4any { tcp . 8080 }')} | grep -F "10.77.0.2 . 80"`,
  },
  {
    name: 'the elements of the port are gone',
    at: 'RevokeExternalConnectivity',
    make: () => nft('flush map inet weft pub4any; flush map inet weft pub6any'),
  },
  { name: 'the rules are gone', at: 'RevokeExternalConnectivity', make: () => nft('delete table inet weft') },
  { name: 'the pair is gone', at: 'Leave', make: ({ veth }) => noLink(veth) },
  { name: 'the pair is gone', at: 'DeleteEndpoint', make: ({ veth }) => noLink(veth) },
  {
    name: 'the pair is in another namespace',
    at: 'DeleteEndpoint',
    make: ({ veth }) => `ip link set ${veth} netns c1`,
    undo: ({ veth }) => `ip -n c1 link del ${veth}`,
  },
  {
    name: 'the pair is on another bridge',
    at: 'DeleteEndpoint',
    make: ({ veth }) => `ip link add other0 type bridge; ip link set ${veth} master other0`,
    undo: () => noLink('other0'),
  },
  { name: 'the bridge is gone', at: 'DeleteNetwork', make: ({ bridge }) => noLink(bridge) },
  {
    name: "somebody's link is on the bridge",
    at: 'DeleteNetwork',
    make: ({ bridge }) => `${stranger('other0')}; ip link set other0 master ${bridge}`,
    undo: () => 'ip link del other0',
  },
  { name: 'the gateway is gone', at: 'DeleteNetwork', make: ({ bridge }) => `ip address flush dev ${bridge}` },
  { name: 'the rules are gone', at: 'DeleteNetwork', make: () => nft('delete table inet weft') },
]

test('faults: each call fails in words and leaves nothing, or succeeds', async () => {
  await using net = await lab({ hosts: 1 })
  const [host] = net.hosts
  using shell = new Shell(host)
  await shell.run('ip netns add c1')
  await host.startWeft({ env: { WEFT_TABLE_OWNER: 'off' } })
  // Forwarding is switched on once, and stays.
  const warm = life(host, 'warm')
  for (const call of order) assert.is(await warm.call(call), undefined, call)
  const before = await eventually('the first life has ended', async () => {
    const now = await look(host, shell)
    return now['kernel']?.some(line => line.startsWith('wb')) ? undefined : now
  })
  for (const [index, fault] of faults.entries()) {
    try {
      console.log(`${fault.at}: ${fault.name}: ${await meet(host, shell, fault, `fault ${index}`, before)}`)
    } catch (cause) {
      throw new Error(`${fault.at}: ${fault.name}: ${cause instanceof Error ? cause.message : String(cause)}`, {
        cause,
      })
    }
  }
})

test("faults: another process owns weft's table", async () => {
  await using net = await lab({ hosts: 1 })
  const [host] = net.hosts
  using shell = new Shell(host)
  const owner = await host.start('owner', [
    'sh',
    '-c',
    '{ echo "add table inet weft { flags owner; }"; sleep 1000; } | nft -i',
  ])
  await eventually('it owns the table', () => shell.run('nft list table inet weft'))
  await host.startWeft()
  const one = life(host, 'owned')
  const refusal = await one.call('CreateNetwork')
  assert.match(refusal ?? '', /EPERM.*must belong to no other/)
  assert.is((await look(host, shell))['records']?.[0], '{"networks":0,"endpoints":0,"ports":0,"leases":0}')
  await host.sh('pkill -x nft')
  owner.kill()
  await eventually('the table is free', async () => !(await shell.run('nft list tables')).includes('weft'))
  for (const call of order) assert.is(await one.call(call), undefined, call)
  await agrees(host)
})

test.run()

async function meet(host: Host, shell: Shell, fault: Fault, name: string, before: Snapshot): Promise<string> {
  const names = life(host, name, fault.options)
  for (const call of order.slice(0, order.indexOf(fault.at))) assert.is(await names.call(call), undefined, call)
  const start = await look(host, shell)

  await shell.run(fault.make(names))
  const refusal = await names.call(fault.at)
  const outcome = refusal ?? 'succeeded'
  if (fault.fails === undefined) assert.is(refusal, undefined)
  else if (fault.fails !== 'either') assert.match(outcome, fault.fails)
  if (refusal !== undefined) assert.match(refusal, /: .* \(E[A-Z]+\)|already allocated/, 'it says what and why')
  await mended(host)

  if (refusal !== undefined) {
    await shell.run(fault.undo?.(names) ?? 'true')
    if (fault.options === undefined) await isLike(host, shell, start, 'nothing is left of the refused call')
    assert.is(await names.call(fault.at), undefined, 'again')
    await mended(host)
  }
  await shell.run(fault.then?.(names) ?? 'true')
  if (refusal === undefined) await shell.run(fault.undo?.(names) ?? 'true')
  for (const call of order.slice(order.indexOf(fault.at) + 1)) {
    const error = await names.call(call)
    if (fault.dead && call === 'ProgramExternalConnectivity') assert.match(error ?? '', /no record of endpoint/)
    else assert.is(error, undefined, call)
  }
  await shell.run('ip address del 203.0.113.5/32 dev lo 2>/dev/null || true')
  await isLike(host, shell, before, 'nothing is left of the life')
  await agrees(host)
  return outcome
}

/** By events, or by the comparison that comes every minute and can be asked for. */
async function mended(host: Host): Promise<void> {
  await host.admin('/v1/settle', 'POST', {})
  await agrees(host)
}

async function agrees(host: Host): Promise<void> {
  await eventually('kernel and records agree', async () => {
    const { body } = await host.admin('/v1/diff')
    if (body !== '[]') throw new Error(body)
    return true
  })
}

async function isLike(host: Host, shell: Shell, wanted: Snapshot, what: string): Promise<void> {
  await eventually(what, async () => {
    const changed = difference(wanted, await look(host, shell))
    if (changed !== '') throw new Error(changed)
    return true
  })
}
