/** Flows as kernel 6.18 dumps them, and the messages that ask for them and delete them. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { delFlow, filterFlags, getFlow, newFlow, type Flow } from '../../../native/conntrack/messages.ts'
import { frame, parse } from '../../../native/netlink/message.ts'

/** Header and attributes. What comes behind the reply, but for zone and id, weft does not look at. */
const dumped: readonly { name: string; hex: string; family: number; flow: Flow }[] = [
  {
    name: 'translated',
    hex: `02000000 34000180 14000180 08000100 c000020d 08000200 c000020b 1c000280 05000100 11000000 06000200 15b30000
      06000300 00350000 34000280 14000180 08000100 0a000002 08000200 c000020d 1c000280 05000100 11000000 06000200
      14e90000 06000300 15b30000 08000300 000001a8 08000800 00000000 08000c00 ea584bfc 08000b00 00000001`,
    family: 2,
    flow: {
      original: {
        ip: { source4: bytes('c000020d'), destination4: bytes('c000020b') },
        proto: { protocol: 17, source: 5555, destination: 53 },
      },
      reply: {
        ip: { source4: bytes('0a000002'), destination4: bytes('c000020d') },
        proto: { protocol: 17, source: 5353, destination: 5555 },
      },
      status: 0x1a8,
      id: 0xea584bfc,
    },
  },
  {
    name: 'IPv6',
    hex: `0a000000 4c000180 2c000180 14000300 fd000002 00000000 00000000 00000012 14000400 fd000002 00000000 00000000
      00000011 1c000280 05000100 11000000 06000200 15b30000 06000300 00350000 4c000280 2c000180 14000300 fd000002
      00000000 00000000 00000011 14000400 fd000002 00000000 00000000 00000012 1c000280 05000100 11000000 06000200
      00350000 06000300 15b30000 08000300 00000008 08000800 00000000 08000c00 0f6e8aad 08000b00 00000001`,
    family: 10,
    flow: {
      original: {
        ip: {
          source6: bytes('fd000002000000000000000000000012'),
          destination6: bytes('fd000002000000000000000000000011'),
        },
        proto: { protocol: 17, source: 5555, destination: 53 },
      },
      reply: {
        ip: {
          source6: bytes('fd000002000000000000000000000011'),
          destination6: bytes('fd000002000000000000000000000012'),
        },
        proto: { protocol: 17, source: 53, destination: 5555 },
      },
      status: 8,
      id: 0x0f6e8aad,
    },
  },
  {
    name: 'a zone of both directions',
    hex: `02000000 34000180 14000180 08000100 c000020c 08000200 c000020b 1c000280 05000100 84000000 06000200 15b40000
      06000300 00350000 34000280 14000180 08000100 c000020b 08000200 c000020c 1c000280 05000100 84000000 06000200
      00350000 06000300 15b40000 06001200 00070000 08000c00 d09c1233`,
    family: 2,
    flow: {
      original: {
        ip: { source4: bytes('c000020c'), destination4: bytes('c000020b') },
        proto: { protocol: 132, source: 5556, destination: 53 },
      },
      reply: {
        ip: { source4: bytes('c000020b'), destination4: bytes('c000020c') },
        proto: { protocol: 132, source: 53, destination: 5556 },
      },
      zone: 7,
      id: 0xd09c1233,
    },
  },
]
for (const { name, hex, family, flow } of dumped) {
  test(`flow: ${name}`, () => {
    assert.equal(parse(newFlow, bytes(hex)), { header: { family, version: 0, resource: 0 }, attrs: flow })
    assert.equal(newFlow.attrs.decode(newFlow.attrs.encode(flow)), flow)
  })
}

test('flow: the zone of one direction stands with its tuple', () => {
  const hex = `3c000180 14000180 08000100 c000020c 08000200 c000020b 1c000280 05000100 11000000 06000200 15b30000
    06000300 00350000 06000300 00090000 08000c00 8e469733`
  assert.is(newFlow.attrs.decode(bytes(hex)).original?.zone, 9)
})

const sent: readonly { name: string; message: Uint8Array; hex: string }[] = [
  {
    name: 'the flows to one port are asked for',
    message: frame(
      getFlow,
      { family: 2 },
      {
        original: { proto: { protocol: 17, destination: 53 } },
        filter: { original: filterFlags.protocol | filterFlags.destinationPort },
      },
    ),
    hex: `38000000 01010100 00000000 00000000 02000000 18000180 14000280 05000100 11000000 06000300 00350000
      0c001980 08000100 28000000`,
  },
  {
    name: 'one is deleted by its original tuple and id',
    message: frame(delFlow, { family: 2 }, { original: dumped[0]?.flow.original, id: 0xea584bfc }),
    hex: `50000000 02010100 00000000 00000000 02000000 34000180 14000180 08000100 c000020d 08000200 c000020b
      1c000280 05000100 11000000 06000200 15b30000 06000300 00350000 08000c00 ea584bfc`,
  },
]
for (const { name, message, hex } of sent) {
  test(`flow: ${name}`, () => {
    assert.is(Buffer.from(message).toString('hex'), bytes(hex).toString('hex'))
  })
}

test.run()

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')
}
