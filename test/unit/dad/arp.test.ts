import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { arpAnnouncement, arpHolder, arpProbe } from '../../../native/dad/arp.ts'
import type { Holder } from '../../../native/dad/ethernet.ts'
import type { Ip } from '../../../native/value/ip.ts'
import type { Mac } from '../../../native/value/mac.ts'

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')
const [five, seven] = ['02:00:00:00:00:05', '02:00:00:00:00:07'] as Mac[] as [Mac, Mac]
const address = '192.0.2.9' as Ip
const probe = 'ffffffffffff 020000000005 0806 0001 0800 06 04 0001 020000000005 00000000 000000000000 c0000209'

test('arp: a probe names the address, and no sender', () => {
  assert.equal(Buffer.from(arpProbe(address, five)), bytes(probe))
})

test('arp: an announcement names the address as its own', () => {
  const told = 'ffffffffffff 020000000005 0806 0001 0800 06 04 0001 020000000005 c0000209 000000000000 c0000209'
  assert.equal(Buffer.from(arpAnnouncement(address, five)), bytes(told))
})

const cases: { name: string; hex: string; holder: Holder | undefined }[] = [
  { name: 'a probe', hex: probe, holder: { address, mac: five } },
  {
    name: 'an answer, padded to the shortest frame',
    hex: `020000000005 020000000007 0806 0001 0800 06 04 0002 020000000007 c0000209 020000000005 00000000 ${'00'.repeat(18)}`,
    holder: { address, mac: seven },
  },
  {
    name: 'a question about another address',
    hex: 'ffffffffffff 020000000007 0806 0001 0800 06 04 0001 020000000007 c0000209 000000000000 c0000201',
    holder: { address, mac: seven },
  },
  {
    name: 'an announcement',
    hex: 'ffffffffffff 020000000007 0806 0001 0800 06 04 0001 020000000007 c0000209 000000000000 c0000209',
    holder: { address, mac: seven },
  },
  {
    name: 'the sender of the frame is not whom it speaks for',
    hex: '020000000005 020000000006 0806 0001 0800 06 04 0002 020000000007 c0000209 020000000005 00000000',
    holder: { address, mac: seven },
  },
  {
    name: 'an answer from nobody',
    hex: '020000000005 020000000007 0806 0001 0800 06 04 0002 020000000007 00000000 020000000005 c0000209',
    holder: undefined,
  },
  {
    name: 'another operation',
    hex: 'ffffffffffff 020000000007 0806 0001 0800 06 04 0008 020000000007 c0000209 000000000000 c0000201',
    holder: undefined,
  },
  {
    name: 'addresses of another protocol',
    hex: 'ffffffffffff 020000000007 0806 0001 86dd 06 10 0001 020000000007 c0000209 000000000000 c0000201',
    holder: undefined,
  },
  { name: 'cut short', hex: probe.slice(0, -2), holder: undefined },
  { name: 'IPv4', hex: probe.replace('0806', '0800'), holder: undefined },
]
for (const { name, hex, holder } of cases) {
  test(`arp: who is heard in ${name}`, () => {
    assert.equal(arpHolder(bytes(hex)), holder)
  })
}

test.run()
