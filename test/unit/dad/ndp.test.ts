import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Holder } from '../../../native/dad/ethernet.ts'
import * as ndp from '../../../native/dad/ndp.ts'
import type { Ip } from '../../../native/value/ip.ts'
import type { Mac } from '../../../native/value/mac.ts'

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')
const [five, seven] = ['02:00:00:00:00:05', '02:00:00:00:00:07'] as Mac[] as [Mac, Mac]
const address = '2001:db8::1:9' as Ip
const local = 'fe80::ff:fe00:5' as Ip

const duplicate = `3333ff010009 020000000005 86dd 60000000 0018 3a ff
  00000000000000000000000000000000 ff0200000000000000000001ff010009
  87 00 4cdb 00000000 20010db8000000000000000000010009`
const neighbour = `3333ff010009 020000000005 86dd 60000000 0020 3a ff
  fe800000000000000000 00fffe000005 ff0200000000000000000001ff010009
  87 00 4c47 00000000 20010db8000000000000000000010009 0101 020000000005`
const advertisement = `333300000001 020000000007 86dd 60000000 0020 3a ff
  20010db8000000000000000000010009 ff020000000000000000000000000001
  88 00 f912 20000000 20010db8000000000000000000010009 0201 020000000007`
const bare = `333300000001 020000000007 86dd 60000000 0018 3a ff
  20010db8000000000000000000010009 ff020000000000000000000000000001
  88 00 fd22 20000000 20010db8000000000000000000010009`

test('ndp: groups, and what MACs become', () => {
  assert.is(ndp.solicitedNode(address), 'ff02::1:ff01:9')
  assert.is(ndp.groupMac('ff02::1:ff01:9' as Ip), '33:33:ff:01:00:09')
  assert.is(ndp.allNodesMac, '33:33:00:00:00:01')
  // RFC 2464 4.
  assert.is(ndp.linkLocal('34:56:78:9a:bc:de' as Mac), 'fe80::3656:78ff:fe9a:bcde')
})

test('ndp: a solicitation from nowhere, one of a neighbour, a ping', () => {
  assert.equal(Buffer.from(ndp.duplicateSolicitation(address, five)), bytes(duplicate))
  assert.equal(Buffer.from(ndp.neighbourSolicitation(address, five)), bytes(neighbour))
  assert.equal(
    Buffer.from(ndp.pingMac(seven, five)),
    bytes(`020000000007 020000000005 86dd 60000000 0008 3a ff
      fe80000000000000000000fffe000005 ff020000000000000000000000000001 80 00 8333 0000 0000`),
  )
})

test('ndp: an advertisement that nobody asked for', () => {
  assert.equal(Buffer.from(ndp.advertisement(address, seven)), bytes(advertisement))
})

const cases: { name: string; hex: string; holder: Holder | undefined }[] = [
  { name: 'a solicitation from nowhere', hex: duplicate, holder: { address, mac: five } },
  { name: 'a solicitation of a neighbour', hex: neighbour, holder: { address: local, mac: five } },
  { name: 'an advertisement', hex: advertisement, holder: { address, mac: seven } },
  {
    name: 'an advertisement that another one passes on',
    hex: advertisement.replace('020000000007', '020000000006'),
    holder: { address, mac: seven },
  },
  { name: 'an advertisement without options', hex: bare, holder: { address, mac: seven } },
  { name: 'a frame with something behind it', hex: `${bare} 00000000`, holder: { address, mac: seven } },
  { name: 'a wrong checksum', hex: advertisement.replace('f912', 'f913'), holder: undefined },
  { name: 'something from behind a router', hex: advertisement.replace('3a ff', '3a fe'), holder: undefined },
  { name: 'a code that is not 0', hex: advertisement.replace('88 00 f912', '88 01 f911'), holder: undefined },
  {
    name: 'an answer that is sent to all',
    hex: advertisement.replace('f912 2000', 'b912 6000'),
    holder: undefined,
  },
  {
    name: 'an option without length',
    hex: advertisement.replace('f912', 'f913').replace('0201', '0200'),
    holder: undefined,
  },
  {
    name: 'an option that runs past the end',
    hex: advertisement.replace('f912', 'f911').replace('0201', '0202'),
    holder: undefined,
  },
  {
    name: 'a solicitation from nowhere that is not sent to its group',
    hex: duplicate.replace('4cdb', '4cdc').replace('01ff010009', '01ff010008'),
    holder: undefined,
  },
  {
    name: 'a group that is advertised',
    hex: bare.replace('fd22', '1e22').replace('20000000 2001', '20000000 ff01'),
    holder: undefined,
  },
  { name: 'a packet that is longer than its frame', hex: bare.replace('0018', '0020'), holder: undefined },
  { name: 'a packet that is shorter than a message', hex: bare.replace('0018', '0010'), holder: undefined },
  { name: 'another protocol', hex: bare.replace('3a ff', '11 ff'), holder: undefined },
]
for (const { name, hex, holder } of cases) {
  test(`ndp: who is heard in ${name}`, () => {
    assert.equal(ndp.ndpHolder(bytes(hex)), holder)
  })
}

test('ndp: frames cut or damaged anywhere are no error, and name nobody', () => {
  for (const whole of [bytes(advertisement), bytes(duplicate), bytes(neighbour)]) {
    for (let length = 0; length < whole.length; length += 1) {
      assert.is(ndp.ndpHolder(whole.subarray(0, length)), undefined)
    }
    // All behind the Ethernet header but class and flow label, which nothing protects.
    for (let at = 18; at < whole.length; at += 1) {
      const damaged = Buffer.from(whole)
      damaged[at] = (damaged[at] ?? 0) ^ 0x21
      assert.is(ndp.ndpHolder(damaged), undefined, `byte ${at}`)
    }
  }
})

test.run()
