/** A process with a real store is killed at every commit of an engine's requests, and the next one goes on. */
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { LeaseEntry, PoolEntry } from '../../../ipam/records.ts'
import type { PoolId } from '../../../plugin-api/ids.ts'
import { directory } from '../../support/directory.ts'
import type { ChildAnswer, ChildRequest } from '../../support/ipam-child.ts'
import { macOf } from './house.ts'

const kills = process.env['WEFT_TEST_FULL'] ? 50 : 4
const script = join(import.meta.dirname, '../../support/ipam-child.ts')

test('kill: an IPAM that is killed at a commit loses nothing that it answered, and gives nothing twice', async () => {
  await using place = await directory()
  const file = join(place.path, 'weft.db')
  const held = new Map<string, string>()
  let [number, deaths, pool] = [0, 0, undefined as PoolId | undefined]

  while (deaths < kills) {
    // Points come in pairs; a life of the process meets one of them.
    await using child = start(file, 1 + (deaths % 10))
    const life = async (): Promise<void> => {
      await child.ask({ call: 'begin' })
      const wish = { client: 'weft-ipam', family: 4, pool: '10.90.0.0/16' } as const
      pool = ((await child.ask({ call: 'pool', wish })) as PoolEntry).id
      await child.ask({ call: 'address', pool, wish: { purpose: 'gateway', address: '10.90.0.1' } })
      for (;;) {
        const mac = macOf((number += 1))
        const address = number % 5 === 0 ? { address: `10.90.200.${number % 250}` } : {}
        const wished = { purpose: 'endpoint', mac, ...address } as const
        const given = (await child.ask({ call: 'address', pool, wish: wished })) as string | undefined
        if (given === undefined) continue
        assert.not(held.has(given), `${given} twice`)
        held.set(given, mac)
        const [eldest] = held.keys()
        if (number % 3 !== 0 || eldest === undefined) continue
        held.delete(eldest)
        await child.ask({ call: 'release', pool, address: eldest.slice(0, eldest.indexOf('/')) })
      }
    }
    await assertDies(child, life)
    deaths += 1
  }

  await using last = start(file)
  const leases = (await last.ask({ call: 'leases' })) as readonly LeaseEntry[]
  const byAddress = new Map(leases.map(({ address, mac }) => [`${address}/16`, mac]))
  for (const [address, mac] of held) assert.is(byAddress.get(address), mac, `${address} was promised`)
  // A process that died may have granted one address, or kept one, that nobody heard of.
  const unknown = leases.filter(({ address, purpose }) => purpose === 'endpoint' && !held.has(`${address}/16`))
  assert.ok(unknown.length <= deaths, `${unknown.length} unknown after ${deaths} deaths`)
})

test.run()

interface Child extends AsyncDisposable {
  /** Undefined: refused in words. Rejects when the process ends. */
  ask(request: ChildRequest): Promise<unknown>
  readonly ended: Promise<NodeJS.Signals | null>
}

function start(file: string, crashAt?: number): Child {
  const env = { ...process.env, ...(crashAt === undefined ? {} : { WEFT_CRASH_AT: String(crashAt) }) }
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(process.execPath, [script, file], {
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit').then(([, signal]) => signal as NodeJS.Signals | null)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  child.stdin.on('error', () => undefined)
  return {
    ended,
    async ask(request) {
      child.stdin.write(`${JSON.stringify(request)}\n`)
      const line = await lines.next()
      if (line.done) throw new Died()
      const answer = JSON.parse(line.value) as ChildAnswer
      return 'refused' in answer ? undefined : answer.value
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end()
      await ended
    },
  }
}

class Died extends Error {}

async function assertDies(child: Child, life: () => Promise<void>): Promise<void> {
  try {
    await life()
  } catch (cause) {
    if (!(cause instanceof Died)) throw cause
  }
  assert.is(await child.ended, 'SIGKILL')
}
