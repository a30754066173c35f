import { test } from 'uvu'
import * as assert from 'uvu/assert'
import Type from 'typebox'
import type { TSchema } from 'typebox'
import { Value } from 'typebox/value'
import { UserError } from '../../../plugin-api/answer.ts'
import { RequestPool } from '../../../plugin-api/ipam.ts'
import { CreateEndpoint, CreateNetwork, Join } from '../../../plugin-api/network.ts'
import { parse } from '../../../plugin-api/read.ts'
import * as shape from '../../../plugin-api/schema.ts'
import { parseCidr, parseIp } from '../../../native/value/ip.ts'
import { parseMac } from '../../../native/value/mac.ts'
import { pick, random } from '../../support/random.ts'

const ids = { NetworkID: 'n1', EndpointID: 'e1' }

function refusal(kind: TSchema, json: unknown, subject = 'Call'): string {
  try {
    parse(subject, kind, json)
  } catch (cause) {
    assert.instance(cause, UserError)
    assert.is((cause as UserError).code, 'BAD_REQUEST')
    return (cause as UserError).text
  }
  assert.unreachable(`accepted ${JSON.stringify(json)}`)
  return ''
}

test('names: matched whatever their case', () => {
  assert.equal(parse('Call', CreateEndpoint, { networkid: 'n1', ENDPOINTID: 'e1', interface: { macaddress: '' } }), {
    ...ids,
    Interface: {},
    Options: {},
  })
})

test('names: the exact one wins, wherever it stands', () => {
  const field = shape.object({ Name: shape.string() })
  assert.equal(parse('Call', field, { name: 'a', Name: 'b', NAME: 'c' }), { Name: 'b' })
})

test('names: unknown fields are ignored', () => {
  assert.equal(parse('Call', shape.object({ Name: shape.string() }), { Name: 'a', Other: [{}] }), { Name: 'a' })
})

test('names: keys of a map keep their case', () => {
  assert.equal(parse('Call', shape.map(shape.text()), { a: '1', A: '2' }), { a: '1', A: '2' })
})

test('absence: null stands for an absent object, list, map and string', () => {
  const nulls = { NetworkID: 'n1', Options: null, IPv4Data: null, IPv6Data: null }
  assert.equal(parse('Call', CreateNetwork, nulls), { NetworkID: 'n1', Options: {}, IPv4Data: [], IPv6Data: [] })
  assert.equal(parse('Call', CreateEndpoint, { ...ids, Interface: null }), { ...ids, Interface: {}, Options: {} })
  assert.equal(parse('Call', CreateEndpoint, { ...ids, Interface: { Address: null } }).Interface, {})
})

test('absence: an empty string is an absent one, but a value in a map', () => {
  const wish = { AddressSpace: '', Pool: '', SubPool: '', Options: { flag: '', other: null }, V6: false }
  assert.equal(parse('Call', RequestPool, wish), { Options: { flag: '', other: '' }, V6: false })
})

test('absence: a default is made anew for each value', () => {
  const one = parse('Call', CreateNetwork, { NetworkID: 'n1' })
  const two = parse('Call', CreateNetwork, { NetworkID: 'n1' })
  assert.is.not(one.IPv4Data, two.IPv4Data)
})

test('messages: name the call, the field, what was expected and what came', () => {
  const cases: readonly (readonly [unknown, string])[] = [
    [{ ...ids, Interface: { Address: 7 } }, 'Interface.Address: expected a string, got a number'],
    [{ ...ids, Interface: 'eth0' }, 'Interface: expected an object, got a string'],
    [
      { ...ids, Interface: { Address: '10.0.0.2' } },
      'Interface.Address: expected an address with a prefix length, like 10.0.0.2/16, got "10.0.0.2"',
    ],
    [
      { ...ids, Interface: { MacAddress: 'x'.repeat(100) } },
      `Interface.MacAddress: expected a hardware address, like 02:42:ac:11:00:02, got "${'x'.repeat(64)}..."`,
    ],
    [{ EndpointID: 'e' }, 'NetworkID: expected an id without slashes and control characters, got nothing'],
    [{ ...ids, NetworkID: null }, 'NetworkID: expected an id without slashes and control characters, got null'],
    [{ ...ids, EndpointID: 'a/b' }, 'EndpointID: expected an id without slashes and control characters, got "a/b"'],
    [{ ...ids, EndpointID: 'a'.repeat(129) }, 'EndpointID: expected at most 128 characters, got 129'],
  ]
  for (const [json, text] of cases)
    assert.is(refusal(CreateEndpoint, json, 'CreateEndpoint'), `CreateEndpoint: ${text}`)
  assert.is(refusal(CreateEndpoint, null), 'Call: expected an object, got null')
  assert.is(refusal(CreateEndpoint, []), 'Call: expected an object, got a list')
})

test('messages: lists are counted, keys of maps quoted where they are no plain word', () => {
  const pool = { Pool: '10.0.0.0/8', AuxAddresses: { 'my host': 1 } }
  const json = { NetworkID: 'n', IPv4Data: [{ Pool: '10.0.0.0/8' }, pool] }
  assert.is(refusal(CreateNetwork, json), 'Call: IPv4Data[1].AuxAddresses["my host"]: expected a string, got a number')
})

test('messages: an option value is never shown', () => {
  assert.not.match(refusal(RequestPool, { Options: { key: ['s3cret'] } }), /s3cret/)
  assert.not.match(refusal(RequestPool, { Options: 's3cret' }), /s3cret/)
})

test('integers: whole and in range', () => {
  const field = shape.object({ Port: shape.integer(0, 65_535) })
  assert.equal(parse('Call', field, { Port: 65_535 }), { Port: 65_535 })
  for (const bad of [-1, 65_536, 1.5, 1e999]) {
    assert.match(refusal(field, { Port: bad }), /^Call: Port: expected an integer from 0 to 65535, got /)
  }
  assert.is(refusal(field, { Port: '80' }), 'Call: Port: expected an integer, got a string')
})

test('option values: booleans and numbers become text, nothing else does', () => {
  const field = shape.map(shape.text())
  assert.equal(parse('Call', field, { a: true, b: 1500, c: 'x' }), { a: 'true', b: '1500', c: 'x' })
  assert.is(refusal(field, { a: { b: 1 } }), 'Call: a: expected a string, got an object')
})

test('prototypes: a key of that name pollutes nothing', () => {
  const json: unknown = JSON.parse(
    '{"NetworkID":"n","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}',
  )
  const read = parse('Call', CreateNetwork, json)
  assert.equal(Object.keys(read), ['NetworkID', 'Options', 'IPv4Data', 'IPv6Data'])
  assert.is(Object.getPrototypeOf(read), Object.prototype)
  assert.is(({} as { polluted?: unknown }).polluted, undefined)
  assert.is(refusal(shape.map(shape.text()), JSON.parse('{"__proto__":"x"}')), 'Call: __proto__ cannot be a key')
  assert.is(Object.hasOwn(parse('Call', shape.map(shape.text()), { constructor: 'x' }), 'constructor'), true)
})

test('depth: values of any shape are read to a depth of 16', () => {
  const nested = (depth: number): unknown => JSON.parse('{"a":'.repeat(depth) + '1' + '}'.repeat(depth))
  const at = (depth: number): unknown => ({ NetworkID: 'n', Options: { a: nested(depth) } })
  assert.is(parse('Call', CreateNetwork, at(16)).NetworkID, 'n')
  assert.is(refusal(CreateNetwork, at(17)), 'Call: Options.a: nested deeper than 16')
  assert.is(refusal(CreateNetwork, at(50_000)), 'Call: Options.a: nested deeper than 16')
})

test('paths: absolute, without control characters', () => {
  assert.is(parse('Call', Join, { ...ids, SandboxKey: '/run/netns/a' }).SandboxKey, '/run/netns/a')
  for (const bad of ['run/netns', '/run/\0', '']) assert.match(refusal(Join, { ...ids, SandboxKey: bad }), /SandboxKey/)
})

test('formats: what is accepted here, the parsers of native/value accept as well', () => {
  const next = random(1)
  const parts = [
    '10',
    '0',
    '255',
    '256',
    '01',
    '::',
    ':',
    '.',
    'fd00',
    'ffff',
    '/',
    '16',
    '129',
    '%eth0',
    'ab',
    '-',
    '',
  ]
  const [ip, cidr, mac] = [shape.formatted('ip'), shape.formatted('cidr'), shape.formatted('mac')]
  const good = [
    '10.0.0.1',
    '::ffff:1.2.3.4',
    'fe80::1',
    '10.0.0.1/32',
    '::/0',
    '02:42:AC:11:00:02',
    '02-42-ac-11-00-02',
  ]
  let accepted = 0
  for (let i = 0; i < 20_000; i += 1) {
    const made = Array.from({ length: 1 + Math.floor(next() * 8) }, () => pick(next, parts)).join('')
    const text = i < good.length ? (good[i] ?? '') : made
    const isRead = (kind: TSchema): boolean => {
      try {
        parse('Call', kind, text)
        return true
      } catch (cause) {
        assert.instance(cause, UserError)
        return false
      }
    }
    assert.is(isRead(ip), parseIp(text) !== undefined, `address ${text}`)
    assert.is(isRead(cidr), parseCidr(text) !== undefined, `prefix ${text}`)
    assert.is(isRead(mac), parseMac(text) !== undefined, `hardware address ${text}`)
    if (isRead(ip) || isRead(cidr) || isRead(mac)) accepted += 1
  }
  assert.ok(accepted > 100, `${accepted} accepted`)
})

test("shapes: TypeBox's own checker agrees with what was read", () => {
  const json = { NetworkID: 'n', IPv4Data: [{ Pool: '10.0.0.0/8', Gateway: '', AuxAddresses: null }], Options: null }
  assert.is(Value.Check(CreateNetwork, parse('Call', CreateNetwork, json)), true)
  assert.is(Value.Check(CreateNetwork, json), false)
  assert.is(Type.IsObject(CreateNetwork), true)
})

test("shapes: they are those of TypeBox's own builders", () => {
  const ours = shape.object({
    flag: shape.flag(),
    number: shape.integer(1, 9),
    text: shape.optional(shape.string(7)),
    lists: shape.list(shape.map(shape.formatted('ip'))),
    nested: shape.object({ any: shape.optional(shape.anything()) }),
  })
  const theirs = Type.Object({
    flag: Type.Boolean({ default: false }),
    number: Type.Integer({ minimum: 1, maximum: 9 }),
    text: Type.Optional(Type.String({ maxLength: 7 })),
    lists: Type.Array(Type.Record(Type.String(), Type.String({ maxLength: 128, format: 'ip' }), { default: {} }), {
      default: [],
    }),
    nested: Type.Object({ any: Type.Optional(Type.Unknown()) }),
  })
  const text = (schema: object): string => JSON.stringify(schema, (_, value: unknown) => sorted(value))
  assert.is(text(ours), text(theirs))
  assert.is(Type.IsOptional(ours.properties.text) && Type.IsString(ours.properties.text), true)
})

/** Keys in the order of the alphabet. */
function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
}

test.run()
