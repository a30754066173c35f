/** What can be done to a request: `vary` keeps its form valid, the others break it. See mutants.ts. */
import { pick } from './random.ts'
import type { Random } from './random.ts'

/** A request, changed in place. */
export type Json = Record<string, unknown>
type Change = (random: Random, body: Json) => string | undefined

const hex = '0123456789abcdef'.split('')
const genericKey = 'com.docker.network.generic'
const portmapKey = 'com.docker.network.portmap'

/** One to three changes after which every field still has a type and a range that its schema accepts. */
export function vary(random: Random, body: Json): string {
  const done = Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(random, variations)(random, body))
  return done.filter(how => how !== undefined).join(', ') || 'nothing changed'
}

const variations: readonly Change[] = [
  (random, body) => {
    const name = pick(random, ['NetworkID', 'EndpointID', 'PoolID'])
    if (!(name in body)) return undefined
    const ids = ['..', '%s%n', '__proto__', 'constructor', 'a'.repeat(128), '💥', "'; drop table", String(body[name])]
    body[name] = random() < 0.5 ? word(random, 64) : pick(random, ids)
    return `another ${name}`
  },
  (random, body) => {
    body[pick(random, ['Extra', 'constructor', 'toString', 'ID'])] = junk(random, 3)
    return 'an unknown field'
  },
  (random, body) => {
    const name = pick(random, Object.keys(body))
    const value = body[name]
    Reflect.deleteProperty(body, name)
    body[random() < 0.5 ? name.toLowerCase() : name.toUpperCase()] = value
    return `the case of ${name}`
  },
  (random, body) => {
    const entries = Object.entries(body).sort(() => random() - 0.5)
    for (const [name] of entries) Reflect.deleteProperty(body, name)
    Object.assign(body, Object.fromEntries(entries))
    return 'the order of fields'
  },
  (random, body) => {
    const name = pick(random, ['IPv4Data', 'IPv6Data'])
    const data = body[name]
    if (!Array.isArray(data)) return undefined
    const pool = pick(random, pools)
    const entry = { AddressSpace: 'x', Pool: pool, Gateway: random() < 0.5 ? pick(random, pools) : '' }
    body[name] = random() < 0.3 ? [] : random() < 0.5 ? [entry] : [...(data as unknown[]), entry]
    return `another ${name}`
  },
  (random, body) => {
    if (!('Interface' in body)) return undefined
    body['Interface'] = {
      Address: pick(random, ['', ...pools]),
      AddressIPv6: pick(random, ['', ...pools]),
      MacAddress: pick(random, [
        '',
        '02:42:0A:00:00:01',
        'ff:ff:ff:ff:ff:ff',
        '00:00:00:00:00:00',
        '01-00-5e-00-00-01',
      ]),
    }
    return 'other addresses'
  },
  (random, body) => {
    if (!('PoolID' in body) || !('Address' in body)) return undefined
    body['Address'] = pick(random, ['0.0.0.0', '255.255.255.255', '10.77.1.200', 'fd00::1', '::', '::ffff:10.0.0.1'])
    return 'another Address'
  },
  (random, body) => {
    if (!('SubPool' in body)) return undefined
    body['Pool'] = pick(random, ['', ...pools])
    body['SubPool'] = pick(random, ['', ...pools])
    body['V6'] = random() < 0.5
    return 'another pool'
  },
  (random, body) => {
    const options = body['Options']
    if (typeof options !== 'object' || options === null || !(genericKey in options)) return undefined
    const key = pick(random, [
      'mtu',
      'com.docker.network.driver.mtu',
      'constructor',
      '',
      'x'.repeat(300),
      word(random, 6),
    ])
    Object.assign(options, {
      [genericKey]: { [key]: pick(random, ['', '0', '-1', '1e9', 'true', '\0', 'ÿ'.repeat(999)]) },
    })
    return 'other driver options'
  },
  (random, body) => {
    const options = body['Options']
    if (typeof options !== 'object' || options === null || !('EndpointID' in body)) return undefined
    const binding = (): object => ({
      Proto: pick(random, [0, 1, 6, 17, 132, 255]),
      IP: '',
      Port: pick(random, [0, 1, 80, 65_535]),
      HostIP: pick(random, ['', '0.0.0.0', '127.0.0.1', '::', '::1', '203.0.113.7']),
      HostPort: pick(random, [0, 1, 8080, 65_535]),
      HostPortEnd: pick(random, [0, 8080, 65_535]),
    })
    Object.assign(options, { [portmapKey]: Array.from({ length: Math.floor(random() * 5) }, binding) })
    return 'other ports'
  },
]

const pools = [
  '0.0.0.0/0',
  '10.0.0.0/8',
  '10.88.0.1/16',
  '127.0.0.0/8',
  '192.0.2.7/32',
  '224.0.0.1/4',
  '255.255.255.255/32',
  'fd00:9::1/64',
  'fe80::/10',
  '::/0',
  '::1/128',
]

/** Valid JSON whose fields are not what they should be. */
export function breakFields(random: Random, body: Json): readonly [string, string] {
  const [owner, name] = pick(random, places(body))
  const act = pick(random, ['delete', 'retype', 'huge', 'junk', 'proto', 'twice', 'whole'])
  switch (act) {
    case 'delete':
      Reflect.deleteProperty(owner, name)
      break
    case 'retype':
      owner[name] = pick(random, [null, true, 0, -1, 1.5, 1e300, '', 'x', '10.0.0.1/99', [], {}, [[]], ['a'], { a: 1 }])
      break
    case 'huge':
      owner[name] = random() < 0.5 ? 'A'.repeat(10 ** (3 + Math.floor(random() * 3))) : 2 ** 60
      break
    case 'junk':
      owner[name] = junk(random, 6)
      break
    case 'proto':
      return ['__proto__', JSON.stringify(body).replace('{', '{"__proto__":{"NetworkID":"a","polluted":true},')]
    case 'twice':
      return [
        `${name} twice`,
        JSON.stringify(body).replace('{', `{${JSON.stringify(name)}:${JSON.stringify(junk(random, 2))},`),
      ]
    default:
      return ['another value as a whole', JSON.stringify(junk(random, 3))]
  }
  return [`${act} ${name}`, JSON.stringify(body)]
}

/** No JSON any more, or not in UTF-8. */
export function breakBytes(random: Random, body: Buffer): readonly [string, Buffer] {
  const at = Math.floor(random() * body.length)
  const insert = (bytes: Buffer | string): Buffer =>
    Buffer.concat([body.subarray(0, at), Buffer.from(bytes), body.subarray(at)])
  const makers: readonly (() => readonly [string, Buffer])[] = [
    () => ['empty', Buffer.alloc(0)],
    () => ['white space only', Buffer.from(' \n')],
    () => ['cut off', body.subarray(0, at)],
    () => ['a NUL', insert('\0')],
    () => ['not UTF-8', insert(Buffer.from([0xff, 0xc0, 0x80]))],
    () => ['UTF-16', Buffer.from(body.toString(), 'utf16le')],
    () => ['a byte order mark', Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), body])],
    () => [
      'one bit',
      Buffer.from(body.map((byte, index) => (index === at ? byte ^ (1 << Math.floor(random() * 8)) : byte))),
    ],
    () => ['text behind it', Buffer.concat([body, body])],
    () => ['noise', Buffer.from(Array.from({ length: 1 + at }, () => Math.floor(random() * 256)))],
    () => ['nested lists', Buffer.from('['.repeat(100_000))],
    () => ['nested objects', Buffer.from(`${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`)],
    () => ['a trailing comma', insert(',')],
    () => ['a number beyond double', insert('1e999')],
  ]
  return pick(random, makers)()
}

/** Every field of the request, however deep, with the object or list that holds it. */
function places(value: object): readonly (readonly [Record<string, unknown>, string])[] {
  const owner = value as Record<string, unknown>
  return Object.keys(owner).flatMap(key => {
    const inner = owner[key]
    const below = typeof inner === 'object' && inner !== null ? places(inner) : []
    return [[owner, key] as const, ...below]
  })
}

function junk(random: Random, depth: number): unknown {
  const leaves = [null, true, 0, -0.5, 1e308, '', '\ud800', 'x'.repeat(300), '{{}}', '../..', '\r\n\0']
  if (depth === 0 || random() < 0.4) return pick(random, leaves)
  const width = Math.floor(random() * 4)
  if (random() < 0.5) return Array.from({ length: width }, () => junk(random, depth - 1))
  return Object.fromEntries(Array.from({ length: width }, () => [word(random, 4), junk(random, depth - 1)]))
}

function word(random: Random, length: number): string {
  return Array.from({ length }, () => pick(random, hex)).join('')
}
