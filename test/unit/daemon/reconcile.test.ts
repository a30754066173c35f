/** Wishes of many owners, a kernel that others change too, and failures: in the end the kernel is what is wished. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Claimed, Reconciler, textOf } from '../../../daemon/reconcile.ts'
import { compare } from '../../../native/kernel/diff.ts'
import { FakeKernel } from '../../../native/kernel/fake.ts'
import {
  describe,
  keyOf,
  type Bridge,
  type Child,
  type Element,
  type IfName,
  type Resource,
  type Ruleset,
  type Veth,
} from '../../../native/kernel/resource.ts'
import type { Cidr, Ip } from '../../../native/value/ip.ts'
import type { Mac } from '../../../native/value/mac.ts'
import { HeldKernel } from '../../support/held.ts'
import { pick, random, type Random } from '../../support/random.ts'

const mac = '02:00:00:00:00:01' as Mac
const owners = ['host', 'network/a', 'network/b', 'network/c', 'endpoint/a/1', 'endpoint/a/2', 'endpoint/b/1']

test('reconcile: whatever happens, settling once makes the kernel what is wished', async () => {
  const seed = Number(process.env['WEFT_SEED'] ?? Date.now() % 1_000_000)
  for (let round = 0; round < 150; round += 1) {
    const at = `WEFT_SEED=${seed} round ${round}`
    try {
      await play(random(seed + round))
    } catch (cause) {
      throw new Error(`${at}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    }
  }
})

async function play(chance: Random): Promise<void> {
  const kernel = new FakeKernel()
  const reconciler = new Reconciler(kernel)
  // Elements are only seen where a rule set is wished, which the host plan is whenever there is a network.
  await reconciler.set('host', planFor('host', chance))
  for (let step = 0; step < 25; step += 1) {
    const owner = pick(chance, owners)
    const old = reconciler.wishOf(owner)
    const action = chance()
    if (action < 0.5) {
      const plan = planFor(owner, chance)
      if (chance() < 0.4) kernel.failOnceAt(Math.floor(chance() * 6))
      const refusal = await reconciler.set(owner, plan).then(
        () => undefined,
        (cause: unknown) => cause,
      )
      assert.equal(reconciler.wishOf(owner), refusal === undefined ? plan : old, `wish of ${owner}`)
      if (refusal instanceof Claimed) assert.is.not(reconciler.ownerOf(refusal.key), owner)
    } else if (action < 0.65 && owner !== 'host') {
      if (chance() < 0.4) kernel.failOnceAt(Math.floor(chance() * 6))
      await reconciler.drop(owner).catch(() => undefined)
      assert.equal(reconciler.wishOf(owner), [])
    } else await meddle(kernel, reconciler, chance)
    if (chance() < 0.3) await settle(reconciler)
  }
  // No more failures: what was told to fail, and has not yet, shall not.
  kernel.failOnceAt(Infinity)
  await settle(reconciler)
  const again = (await reconciler.differences()).flatMap(({ changes }) => changes.map(textOf))
  assert.equal(again, [], `settling again would ${again.join(', ')}`)
  await assertAsWished(kernel, reconciler)
}

async function settle(reconciler: Reconciler): Promise<void> {
  for (const difference of await reconciler.differences()) await reconciler.mend(difference)
}

async function assertAsWished(kernel: FakeKernel, reconciler: Reconciler): Promise<void> {
  const wishes = owners.flatMap(owner => reconciler.wishOf(owner))
  const there = new Map((await kernel.observe(wishes)).map(({ resource }) => [keyOf(resource), resource]))
  for (const want of wishes) {
    const have = there.get(keyOf(want))
    // What was given to a container and is gone is not made again.
    if (have === undefined && (want.type === 'veth' || want.type === 'child') && want.handed) continue
    assert.ok(have && compare(want, have) === 'same', `${describe(want)}: ${have ? describe(have) : 'missing'}`)
  }
  const surplus = [...there.keys()].filter(key => !wishes.some(want => keyOf(want) === key))
  assert.equal(surplus, [])
}

/** Somebody else takes away, changes, or leaves something with weft's mark. */
async function meddle(kernel: FakeKernel, reconciler: Reconciler, chance: Random): Promise<void> {
  const wishes = owners.flatMap(owner => reconciler.wishOf(owner))
  const seen = (await kernel.observe(wishes)).map(({ resource }) => resource)
  if (seen.length === 0 || chance() < 0.2) {
    kernel.put(bridge(`wb${Math.floor(chance() * 5)}`, 1400))
    return
  }
  if (chance() < 0.1) {
    kernel.lose('eth0')
    // As long as it is away, what stands on it cannot be made.
    if (chance() < 0.5) await settle(reconciler)
    kernel.restore('eth0')
    return
  }
  const victim = pick(chance, seen)
  if (chance() < 0.6) kernel.drop(keyOf(victim))
  else if ('alias' in victim) kernel.put({ ...victim, mtu: 9000 })
  else if (victim.type === 'element' && victim.value !== undefined) kernel.put({ ...victim, value: 'another' })
  else if (victim.type === 'sysctl') kernel.put({ ...victim, value: '7' })
  else if (victim.type === 'ruleset') kernel.put({ ...victim, digest: 'another' })
}

function planFor(owner: string, chance: Random): readonly Resource[] {
  const some = (resource: Resource): readonly Resource[] => (chance() < 0.8 ? [resource] : [])
  const [kind, network = '', endpoint = ''] = owner.split('/')
  if (kind === 'host') {
    return [
      ruleset(pick(chance, ['one', 'two'])),
      { type: 'sysctl', key: 'net/ipv4/ip_forward', value: '1' },
      ...some({ type: 'accept', family: 'ip', chain: 'FORWARD', backend: 'nft', mark: pick(chance, [1, 2]) }),
    ]
  }
  if (kind === 'network') {
    const name = `wb-${network}` as IfName
    return [
      ...some(element('bridges', name)),
      bridge(name, pick(chance, [1400, 1500])),
      ...some({ type: 'address', link: name, cidr: pick(chance, ['10.0.0.1/24', '10.0.1.1/24']) as Cidr }),
      { type: 'sysctl', key: `net/ipv4/conf/${name}/route_localnet`, value: '1' },
      ...shimOf(network, pick(chance, ['bridge', 'private'])),
    ]
  }
  const port = pick(chance, [80, 81, 82])
  const target = pick(chance, ['10.0.0.2 . 80', '10.0.0.3 . 80'])
  return [
    veth(`wv-${network}${endpoint}`, `wb-${network}`, chance() < 0.5),
    ...some(macvlan(`wm-${network}${endpoint}`, chance() < 0.5)),
    ...some({ type: 'port', protocol: 'tcp', address: '0.0.0.0' as Ip, port }),
    ...some(element('pub4any', `tcp . ${port}-${network}${endpoint}`, target)),
  ]
}

test('reconcile: a key has one owner, and the second claim changes nothing', async () => {
  const kernel = new FakeKernel()
  const reconciler = new Reconciler(kernel)
  await reconciler.set('endpoint/a/1', [element('bridges', 'x')])
  const claim = reconciler.set('endpoint/a/2', [element('bridges', 'y'), element('bridges', 'x')])
  await claim.then(
    () => {
      assert.unreachable()
    },
    (cause: unknown) => {
      assert.instance(cause, Claimed)
      assert.is((cause as Claimed).holder, 'endpoint/a/1')
    },
  )
  assert.is(String(kernel), 'element bridges x')
  assert.is(reconciler.ownerOf('element bridges y'), undefined)
})

test('reconcile: what one owner gives up is made for the next one after it has gone', async () => {
  const kernel = new HeldKernel(({ type }) => type === 'bridge')
  const reconciler = new Reconciler(kernel)
  await reconciler.set('host', [ruleset('one')])
  const shared = [element('pub4any', 'tcp . 80', '10.0.0.2 . 80'), element('bridges', 'x')]
  await reconciler.set('network/a', [...shared, bridge('wba', 1500)])
  const gone = reconciler.drop('network/a')
  let ready = false
  const made = reconciler.set('network/b', [...shared, bridge('wbb', 1500)]).then(() => (ready = true))
  await reconciler.set('network/c', [element('bridges', 'y')])
  assert.is(ready, false)
  assert.is(reconciler.ownerOf('element bridges x'), undefined)
  kernel.release()
  await Promise.all([gone, made])
  assert.equal(await reconciler.differences(), [])
  assert.is(reconciler.ownerOf('element bridges x'), 'network/b')
})

test('reconcile: of two that wait for one thing, one gets it', async () => {
  const kernel = new HeldKernel(() => true)
  const reconciler = new Reconciler(kernel)
  await reconciler.set('host', [ruleset('one')])
  await reconciler.set('network/a', [element('bridges', 'x')])
  const gone = reconciler.drop('network/a')
  const waiting = ['network/b', 'network/c'].map(owner => reconciler.set(owner, [element('bridges', 'x')]))
  kernel.release()
  const results = await Promise.allSettled(waiting)
  await gone
  assert.equal(
    results.map(result => (result.status === 'fulfilled' ? '' : String(result.reason))),
    ['', 'Claimed: element bridges x belongs to network/b'],
  )
  assert.equal(await reconciler.differences(), [])
})

test('reconcile: a wish that fails has back what it gave up, whoever waits for it', async () => {
  const kernel = new HeldKernel(({ type }) => type === 'bridge')
  const reconciler = new Reconciler(kernel)
  await reconciler.set('host', [ruleset('one')])
  await reconciler.set('network/a', [bridge('wba', 1500), element('bridges', 'x')])
  kernel.failOnceAt(2)
  const change = reconciler.set('network/a', [element('bridges', 'y')])
  const claim = reconciler.set('network/b', [element('bridges', 'x')])
  kernel.release()
  const results = await Promise.allSettled([change, claim])
  assert.equal(
    results.map(result => (result.status === 'fulfilled' ? '' : String(result.reason).replace(/ at .*/, ''))),
    ['Error: the fake kernel was told to fail', 'Claimed: element bridges x belongs to network/a'],
  )
  assert.equal(await reconciler.differences(), [])
})

test('reconcile: a port on one address is free when the same on every address has gone', async () => {
  const kernel = new HeldKernel(({ type }) => type === 'port')
  const reconciler = new Reconciler(kernel)
  const port = (address: string): Resource => ({ type: 'port', protocol: 'tcp', address: address as Ip, port: 80 })
  await reconciler.set('endpoint/a/1', [port('0.0.0.0')])
  const gone = reconciler.drop('endpoint/a/1')
  let ready = false
  const made = reconciler.set('endpoint/a/2', [port('192.0.2.1')]).then(() => (ready = true))
  await new Promise(setImmediate)
  assert.is(ready, false)
  kernel.release()
  await Promise.all([gone, made])
  assert.is(String(kernel), 'port tcp 192.0.2.1 80')
})

test('reconcile: a plan that names one thing twice is refused', () => {
  const reconciler = new Reconciler(new FakeKernel())
  assert.throws(() => {
    reconciler.wish('network/a', [element('bridges', 'x'), element('bridges', 'x')])
  }, /element bridges x belongs to network\/a/)
})

test('reconcile: one change that fails does not keep the others from being made', async () => {
  const kernel = new FakeKernel()
  const reconciler = new Reconciler(kernel)
  reconciler.wish('network/a', [element('bridges', 'x'), element('bridges', 'y'), element('bridges', 'z')])
  kernel.failOnceAt(1)
  const [difference] = await reconciler.differences()
  assert.ok(difference)
  const { done, failed } = await reconciler.mend(difference)
  assert.is(done.length, 2)
  assert.equal(
    failed.map(({ owner, text }) => `${owner}: ${text}`),
    ['network/a: create element bridges y'],
  )
  assert.is(String(kernel), 'element bridges x\nelement bridges z')
})

test('reconcile: what was meant when it was read, and is not any more, is left alone', async () => {
  const kernel = new FakeKernel()
  const reconciler = new Reconciler(kernel)
  kernel.put(element('bridges', 'x'))
  reconciler.wish('network/b', [element('bridges', 'y')])
  const differences = await reconciler.differences()
  reconciler.wish('network/a', [element('bridges', 'x')])
  reconciler.wish('network/b', [])
  for (const difference of differences) await reconciler.mend(difference)
  assert.is(String(kernel), 'element bridges x')
})

test('reconcile: a rule set that is made anew gets the elements that all owners miss in the same step', async () => {
  const reconciler = new Reconciler(new FakeKernel())
  reconciler.wish('network/a', [element('bridges', 'x'), bridge('x', 1500)])
  reconciler.wish('host', [ruleset('one')])
  const differences = await reconciler.differences()
  const texts = differences.map(({ owner, changes }) => `${owner ?? ''}: ${changes.map(({ op }) => op).join(' ')}`)
  assert.equal(texts, ['network/a: create', 'host: create create'])
})

test.run()

function bridge(name: string, mtu: number): Bridge {
  return { type: 'bridge', name: name as IfName, mac, mtu, adopted: false, alias: `weft network ${name}` }
}

function veth(name: string, master: string, handed: boolean): Veth {
  const peer = { name: name.replace('wv', 'wc') as IfName, mac }
  const names = { name: name as IfName, master: master as IfName, peer }
  return { type: 'veth', ...names, mac, isolated: false, handed, alias: `weft endpoint ${name}` }
}

function macvlan(name: string, handed: boolean): Child {
  const names = { name: name as IfName, parent: 'eth0' as IfName, alias: `weft endpoint ${name}` }
  return { type: 'child', kind: 'macvlan', mode: 'bridge', mtu: 1500, handed, ...names }
}

function shimOf(network: string, mode: 'bridge' | 'private'): readonly Resource[] {
  const shim: Child = { ...macvlan(`ws-${network}`, false), mode } as Child
  const destination = `10.1.0.${network.codePointAt(0) ?? 0}/32` as Cidr
  return [shim, { type: 'route', destination, link: shim.name }]
}

function element(set: string, key: string, value?: string): Element {
  return { type: 'element', table: 'weft', set, key, ...(value === undefined ? {} : { value }) }
}

function ruleset(digest: string): Ruleset {
  return { type: 'ruleset', family: 'inet', table: 'weft', digest, program: { messages: [], sets: {} } }
}
