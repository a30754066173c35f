import { Duplex } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Flow } from '../../../native/relay/flow.ts'
import { eventually } from '../../support/lab/eventually.ts'

const chunk = Buffer.alloc(64 << 10)

/** Gives as many chunks as it is asked for, as fast as it is read. */
function source(chunks: number): Duplex {
  let left = chunks
  return new Duplex({
    read() {
      this.push(left-- > 0 ? chunk : null)
    },
    write: (_chunk, _encoding, done) => {
      done()
    },
  })
}

interface Sink extends Duplex {
  bytes: number
}

/** `hold`: takes one chunk and no more, until `release` is called. */
function sink(): Sink & { readonly hold: () => void; readonly release: () => void } {
  let held = false
  let goOn = (): void => undefined
  const duplex = new Duplex({
    read: () => undefined,
    write(data: Buffer, _encoding, done) {
      all.bytes += data.length
      if (held) goOn = done
      else done()
    },
  })
  const hold = (): void => {
    held = true
  }
  const release = (): void => {
    held = false
    goOn()
  }
  const all = Object.assign(duplex, { bytes: 0, hold, release })
  return all
}

test('flow: a turn is shared by all, everything arrives, and so does the end', async () => {
  const flow = new Flow()
  const sinks = Array.from({ length: 40 }, () => sink())
  for (const to of sinks) flow.pass(source(100), to)
  const sum = (): number => sinks.reduce((bytes, { bytes: more }) => bytes + more, 0)
  let before = 0
  let most = 0
  while (sinks.some(to => !to.writableFinished)) {
    await setImmediate()
    most = Math.max(most, sum() - before)
    before = sum()
  }
  assert.is(sum(), 40 * 100 * chunk.length)
  // The budget, and one chunk of everyone who began in that turn.
  assert.ok(most <= (1 << 20) + 40 * chunk.length, `${most} bytes in one turn`)
})

test('flow: who does not take its data is waited for, and nobody else waits', async () => {
  const flow = new Flow()
  const [slow, quick] = [sink(), sink()]
  slow.hold()
  flow.pass(source(100), slow)
  flow.pass(source(100), quick)
  await eventually('the quick one has all', () => quick.writableFinished)
  assert.ok(slow.bytes <= chunk.length, `${slow.bytes} bytes`)
  slow.release()
  await eventually('the slow one has all', () => slow.writableFinished)
  assert.is(slow.bytes, 100 * chunk.length)
})

test.run()
