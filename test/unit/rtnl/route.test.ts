import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from '../../../native/netlink/codec.ts'
import type { Request } from '../../../native/netlink/socket.ts'
import { newRoute, removeRoute, routeAttributes, routeInfoOf, setRoute } from '../../../native/rtnl/route.ts'
import type { Cidr, Ip } from '../../../native/value/ip.ts'

/** Header and attributes, as `ip route add` of iproute2 6.1 sends them. */
const cases: { name: string; hex: string; info: unknown }[] = [
  {
    name: 'a table above 255',
    hex: '02100000 00030001 00000000 08000100 0a080000 08000500 0a090002 08000f00 f4010000 08000400 03000000',
    info: { destination: '10.8.0.0/16', table: 500, outInterfaces: [3], gateway: '10.9.0.2', protocol: 3 },
  },
  {
    name: 'the default route has no destination',
    hex: '02000000 fe030001 00000000 08000500 0a090002 08000400 02000000',
    info: { destination: '0.0.0.0/0', table: 254, outInterfaces: [2], gateway: '10.9.0.2', protocol: 3 },
  },
  {
    name: 'a default route of IPv6',
    hex: '0a000000 fe090001 00000000 08000400 05000000',
    info: { destination: '::/0', table: 254, outInterfaces: [5], gateway: undefined, protocol: 9 },
  },
  {
    name: 'several next hops',
    hex: '02000000 fe030001 00000000 24000900 10000000 02000000 08000500 0a090002 10000000 07000000 08000500 0a090003',
    info: { destination: '0.0.0.0/0', table: 254, outInterfaces: [2, 7], gateway: undefined, protocol: 3 },
  },
  {
    name: "weft's own",
    hex: '02200000 fe57fd01 00000000 08000100 0a000002 08000700 c0000209 08000400 03000000',
    info: {
      ...{ destination: '10.0.0.2/32', table: 254, outInterfaces: [3], gateway: undefined, protocol: 0x57 },
      source: '192.0.2.9',
    },
  },
  {
    name: 'a local one is none of ours',
    hex: '02200000 ff02fe02 00000000 08000100 0a090001 08000400 02000000',
    info: undefined,
  },
]
for (const { name, hex, info } of cases) {
  test(`route: ${name}`, () => {
    const { header, attrs } = parse(newRoute, Buffer.from(hex.replaceAll(' ', ''), 'hex'))
    assert.equal(routeInfoOf(header, attrs), info)
  })
}

const four = { destination: '10.0.0.2/32' as Cidr, link: 'wm1', source: '192.0.2.9' as Ip }
const six = { destination: 'fd00::2/128' as Cidr, link: 'wm1' }
const sent: { name: string; request: Request; hex: string }[] = [
  {
    name: 'is added by its link',
    request: setRoute('add', four, 3),
    hex: '34000000 18000106 00000000 00000000 02200000 fe57fd01 00000000 08000100 0a000002 08000700 c0000209 08000400 03000000',
  },
  {
    name: 'of IPv6 has no scope, and is replaced',
    request: setRoute('replace', six, 3),
    hex: '38000000 18000105 00000000 00000000 0a800000 fe570001 00000000 14000100 fd000000 00000000 00000000 00000002 08000400 03000000',
  },
  {
    name: "is removed only if it is weft's",
    request: removeRoute(four, 3),
    hex: '2c000000 19000100 00000000 00000000 02200000 fe57fd01 00000000 08000100 0a000002 08000400 03000000',
  },
]
for (const { name, request, hex } of sent) {
  test(`route: one by a link ${name}`, () => {
    assert.is(Buffer.from(request.bytes).toString('hex'), hex.replaceAll(' ', ''))
  })
}

test('route: attributes in both directions', () => {
  const hex = '08000100 0a080000 08000400 03000000 08000f00 f4010000 08000600 07000000'
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
  const value = routeAttributes.decode(bytes)
  assert.equal(value, { destination: '10.8.0.0', outInterface: 3, table: 500, priority: 7 })
  assert.is(Buffer.from(routeAttributes.encode(value)).toString('hex'), bytes.toString('hex'))
})

test('route: next hops that do not add up are refused', () => {
  const hex = '02000000 fe030001 00000000 0c000900 04000000 02000000'
  assert.throws(() => parse(newRoute, Buffer.from(hex.replaceAll(' ', ''), 'hex')), RangeError)
})

test.run()
