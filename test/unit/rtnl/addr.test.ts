import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from '../../../native/netlink/codec.ts'
import { addressInfoOf, newAddress } from '../../../native/rtnl/addr.ts'

/** Header and attributes, as `ip addr add` of iproute2 6.1 sends them and kernel 6.18 dumps them. */
const cases = [
  {
    name: 'IPv4',
    hex: '02180000 02000000 08000200 0a090001 08000100 0a090001',
    info: { linkIndex: 2, cidr: '10.9.0.1/24', protocol: 0 },
  },
  {
    name: 'IPv6, marked as ours',
    hex: '0a400080 03000000 14000100 fd000009 00000000 00000000 00000001 05000b00 57000000',
    info: { linkIndex: 3, cidr: 'fd00:9::1/64', protocol: 0x57 },
  },
  {
    name: 'a point-to-point link has two, and the local one counts',
    hex: '02200000 02000000 08000100 c0000202 08000200 c0000201',
    info: { linkIndex: 2, cidr: '192.0.2.1/32', protocol: 0 },
  },
]
for (const { name, hex, info } of cases) {
  test(`address: ${name}`, () => {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
    const { header, attrs } = parse(newAddress, bytes)
    assert.equal(addressInfoOf(header, attrs), info)
    const again = Buffer.concat([newAddress.header.encode(header), newAddress.attrs.encode(attrs)])
    assert.is(again.toString('hex'), bytes.toString('hex'))
  })
}

test('address: a message without any', () => {
  const { header, attrs } = parse(newAddress, Buffer.alloc(8))
  assert.is(addressInfoOf(header, attrs), undefined)
})

test.run()
