/**
 * Every recorded conversation of two engines, call by call through the real server, with our own pools and addresses put
 * in where the engine repeats them. What stands in the records and in the kernel at the end, and every refusal, is
 * compared with test/golden/expected; `WEFT_TEST_UPDATE=1` writes those files anew.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ipamHandlers } from '../../daemon/address.ts'
import { parseDefaultPools, ulaPool } from '../../ipam/defaults.ts'
import { Ipam } from '../../ipam/ipam.ts'
import { ulaKey } from '../../ipam/records.ts'
import { createPluginServer } from '../../plugin-api/server.ts'
import { client } from '../support/client.ts'
import { testHouse } from '../support/house.ts'
import { transcripts, type Step, type Transcript } from '../support/replay.ts'

const expected = join(import.meta.dirname, 'expected')

for (const transcript of transcripts()) {
  const name = `${transcript.engine}-${transcript.scenario}`
  test(`replay: ${name}`, async () => {
    const text = await replay(transcript)
    const path = join(expected, `${name}.txt`)
    if (process.env['WEFT_TEST_UPDATE']) writeFileSync(path, text)
    assert.fixture(text, readFileSync(path, 'utf8'))
  })
}

async function replay({ steps }: Transcript): Promise<string> {
  const { house, handlers, store, kernel } = await testHouse()
  // Drawn by lot at the first use otherwise.
  await store.commit([{ key: ulaKey, value: ulaPool(Uint8Array.of(1, 2, 3, 4, 5)) }])
  const ipam = await Ipam.restore({ store, defaultPools: parseDefaultPools('base=10.64.0.0/11,size=24'), now: () => 0 })
  const folder = mkdtempSync(join(tmpdir(), 'weft-replay-'))
  await using server = createPluginServer({ log: house.log })
  const refusals: string[] = []
  let peak = ''
  try {
    for (const socket of new Set(steps.map(step => step.socket))) {
      const own = { ipam: ipamHandlers(house, ipam, socket), ...(socket === 'recipam' ? {} : { network: handlers }) }
      await server.listen(join(folder, `${socket}.sock`), { driver: socket, handlers: own })
    }
    const ours = new Map<string, string>()
    for (const step of steps) {
      const answer = await call(join(folder, `${step.socket}.sock`), step, ours)
      note(step, answer, ours)
      const error = answer['Err'] ?? answer['Error']
      if (error) refusals.push(`${step.n} ${step.method}: ${error}`)
      if (lines(String(kernel)) > lines(peak)) peak = `after ${step.n} ${step.method}\n${String(kernel)}`
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
  const records = (await store.list('')).map(({ key, value }) => `${key} ${shown(value)}`)
  const text = (kernelText: string): string => kernelText.replace(/(ruleset weft\w*) \w+/g, '$1')
  const parts = {
    refusals,
    'records at the end': records,
    'kernel at the end': [text(String(kernel))],
    'kernel at its fullest': [text(peak)],
  }
  return Object.entries(parts)
    .flatMap(([title, rows]) => section(title, rows))
    .join('\n')
}

async function call(path: string, { method, request }: Step, ours: ReadonlyMap<string, string>): Promise<Answer> {
  using engine = client(path)
  const body = request === null ? '' : JSON.stringify(request, (_key, value: unknown) => translated(value, ours))
  return (await engine.post(method, body)).json as Answer
}
type Answer = Readonly<Record<string, string | undefined>>

/** The engine repeats what it was answered: from now on it means our answer. */
function note(step: Step, answer: Answer, ours: Map<string, string>): void {
  const recorded = (step.response ?? {}) as Answer
  for (const field of ['PoolID', 'Pool', 'Address']) {
    const [theirs, own] = [recorded[field], answer[field]]
    if (typeof theirs !== 'string' || typeof own !== 'string') continue
    ours.set(theirs, own)
    if (field === 'Address') ours.set(bare(theirs), bare(own))
  }
}

function translated(value: unknown, ours: ReadonlyMap<string, string>): unknown {
  return typeof value === 'string' ? (ours.get(value) ?? value) : value
}

function bare(address: string): string {
  return address.split('/')[0] ?? address
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return [`# ${title}`, ...lines, '']
}

function lines(text: string): number {
  return text.split('\n').length
}

/** Times differ from run to run. */
function shown(value: unknown): string {
  return JSON.stringify(value, (key, field: unknown) => (key === 'changedAt' || key === 'at' ? undefined : field))
}

test.run()
