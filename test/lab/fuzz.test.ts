/**
 * Damaged requests over the socket of a real weftd, on the real kernel: what was refused has changed nothing there.
 * WEFT_TEST_SEED repeats a run; WEFT_TEST_FULL makes it ten times as long.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { getGeneration } from '../../native/nft/messages.ts'
import { inNetns } from '../../native/ffi/netns.ts'
import { NetlinkSocket, protocols } from '../../native/netlink/socket.ts'
import { Rtnl } from '../../native/rtnl/rtnl.ts'
import { mutants } from '../support/mutants.ts'
import { random } from '../support/random.ts'
import { recordedCalls } from '../support/replay.ts'
import { difference, eventually, lab, type Host } from '../support/lab.ts'
import { Caller, moved } from '../support/town.ts'

const seed = Number(process.env['WEFT_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const count = process.env['WEFT_TEST_FULL'] ? 10_000 : 1_000
/** So many mutants, then all is removed, and the host must be as before. */
const round = 250

/** A quick look at one host, from outside of weftd. */
class Look implements AsyncDisposable {
  readonly #host: Host
  readonly #rtnl: Rtnl
  readonly #netfilter: NetlinkSocket

  constructor(host: Host) {
    this.#host = host
    this.#rtnl = inNetns(host.netns, () => new Rtnl())
    this.#netfilter = inNetns(host.netns, () => new NetlinkSocket(protocols.netfilter))
  }

  /** Links, addresses, routes, and what weftd says that it has promised; one line each. */
  async state(): Promise<readonly string[]> {
    const [links, addresses, routes] = await Promise.all([
      this.#rtnl.links(),
      this.#rtnl.addresses(),
      this.#rtnl.routes(),
    ])
    const { counts } = JSON.parse(await this.#admin('status')) as { readonly counts: object }
    return [...links, ...addresses.filter(({ cidr }) => !cidr.startsWith('fe80:')), counts]
      .map(line => JSON.stringify(line))
      .concat(routes.map(route => JSON.stringify(route)).filter(line => !/"(fe80|ff00):/.test(line)))
      .concat(await this.#admin('networks'), await this.#admin('endpoints'))
  }

  /** Number of the last change of nftables. */
  generation(): number {
    const about = { op: 'read', object: 'generation' }
    return this.#netfilter.requestSync(getGeneration, {}, {}, about)?.attrs.id ?? 0
  }

  async networks(): Promise<readonly string[]> {
    return (JSON.parse(await this.#admin('networks')) as readonly { readonly id: string }[]).map(({ id }) => id)
  }

  /** What settle would change; empty when kernel and records agree. */
  async diff(): Promise<string> {
    const text = await this.#admin('diff')
    return text === '[]' ? '' : text
  }

  /** Until links that were given up are gone: they are removed after the answer. */
  async calm(): Promise<void> {
    await eventually(
      'links without a record are gone',
      async () => {
        const known = await Promise.all([this.#admin('networks'), this.#admin('endpoints')])
        const links = await this.#rtnl.links()
        const lost = links.filter(
          ({ name, alias }) => alias?.startsWith('weft ') && !known.join().includes(`"${name}"`),
        )
        if (lost.length > 0) throw new Error(lost.map(({ name }) => name).join(', '))
        return true
      },
      { timeoutMs: 30_000, pauseMs: 5 },
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rtnl[Symbol.asyncDispose]()
    await this.#netfilter[Symbol.asyncDispose]()
  }

  async #admin(what: string): Promise<string> {
    return (await this.#host.admin(`/v1/${what}`)).body
  }
}

test(`fuzz: ${count} damaged requests to a real weftd: a refusal changes nothing, and nothing is left`, async () => {
  console.log(`seed ${seed}: WEFT_TEST_SEED=${seed} repeats this run`)
  await using net = await lab({ hosts: 1 })
  const [host] = net.hosts
  const weftd = await host.startWeft()
  await using look = new Look(host)
  using caller = new Caller(host.path('/run/docker/plugins/weft-bridge.sock'))
  const raze = async (): Promise<void> => {
    await caller.raze(await look.networks())
    await look.calm()
  }
  await caller.build()
  await raze()
  // Forwarding is on from now on: the first Join needed it.
  const empty = await host.snapshot()

  let [sent, accepted] = [0, 0]
  let before: readonly string[] = []
  let generation = 0
  for (const { method, body, how } of mutants(seed, count, moved(recordedCalls(), random(seed)))) {
    if (sent % round === 0) {
      await raze()
      assert.is(difference(empty, await host.snapshot()), '', `after ${sent}`)
      await caller.build()
      ;[before, generation] = [await look.state(), look.generation()]
    }
    const { refusal, malformed } = await caller.send(method, body)
    sent += 1
    const about = `${method}, ${how}: ${refusal ?? 'accepted'}\n${body.toString().slice(0, 2000)}`
    assert.is(malformed, undefined, about)
    assert.not.match(refusal ?? '', /internal error/, about)
    if (refusal === undefined) {
      accepted += 1
      await look.calm()
      ;[before, generation] = [await look.state(), look.generation()]
      continue
    }
    // A bridge that was made and undone may go a moment after the answer.
    await look.calm()
    const after = await look.state()
    assert.equal(changed(before, after), [], about)
    // What was begun and undone counts up as well: then all of it is compared with what is wished.
    if (look.generation() === generation) continue
    assert.is(await look.diff(), '', about)
    generation = look.generation()
  }
  assert.is(await look.diff(), '')
  await raze()
  assert.is(difference(empty, await host.snapshot()), '')
  assert.match(await host.weft('diff'), /agree/)
  console.log(`${sent} sent, ${accepted} accepted`)
  assert.ok(accepted >= 0.1 * count, `${accepted} of ${count} were accepted`)

  const bugs = weftd
    .log()
    .split('\n')
    .filter(line => /"level":"(error|fatal)"/.test(line))
  assert.equal(bugs, [])
  assert.is(host.weftd, weftd, 'weftd is the one that was started')
  assert.equal(await weftd.stop(), { status: 0, signal: null })
})

/** Lines that one of two states has and the other has not. */
function changed(before: readonly string[], after: readonly string[]): readonly string[] {
  return [
    ...before.filter(line => !after.includes(line)).map(line => `- ${line}`),
    ...after.filter(line => !before.includes(line)).map(line => `+ ${line}`),
  ]
}

test.run()
