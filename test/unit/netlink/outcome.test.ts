import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { walk } from '../../../native/netlink/message.ts'
import { parseOutcome, type Outcome } from '../../../native/netlink/outcome.ts'

/** Answers of kernel 6.18, port ids set to 0. */
const cases: { name: string; hex: string; outcome: Outcome | undefined }[] = [
  {
    name: 'an ack, capped',
    hex: '24000000 02000001 01000000 00000000 00000000 20000000 12000500 01000000 00000000',
    outcome: { errno: 0 },
  },
  {
    name: 'an error without words',
    hex: '24000000 02000001 01000000 00000000 edffffff 20000000 12000500 01000000 00000000',
    outcome: { errno: 19 },
  },
  {
    name: 'an error with words and a place',
    hex: `44000000 02000003 01000000 00000000 deffffff 20000000 12000500 01000000 00000000
      15000100 6d747520 746f6f20 736d616c 6c212100 00000000 08000200 24000000`,
    outcome: { errno: 34, text: 'mtu too small!!', offset: 36 },
  },
  {
    name: 'an error that repeats what was sent',
    hex: `38000000 02000002 01000000 00000000 eaffffff 1a000000 12000500 01000000 00000000 00000000 00000000 00000000
      08000200 14000000`,
    outcome: { errno: 22, offset: 20 },
  },
  { name: 'the end of a dump', hex: '14000000 03000200 01000000 00000000 00000000', outcome: { errno: 0 } },
  {
    name: 'an error at the end of a dump, with words',
    hex: '20000000 03000202 01000000 00000000 eaffffff 0a000100 6e6f2121 21000000',
    outcome: { errno: 22, text: 'no!!!' },
  },
  { name: 'an end without a number', hex: '10000000 03000200 01000000 00000000', outcome: { errno: 0 } },
  { name: 'data', hex: '10000000 10000200 01000000 00000000', outcome: undefined },
]
for (const { name, hex, outcome } of cases) {
  test(`outcome: ${name}`, () => {
    const [frame] = walk(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'))
    assert.ok(frame)
    assert.equal(parseOutcome(frame), outcome)
  })
}

test.run()
