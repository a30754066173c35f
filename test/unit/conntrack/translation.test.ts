/** Which flows a change makes stale: `udp 1:5555>11:53 2:5353`, sender, where to, and who answers. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Flow } from '../../../native/conntrack/messages.ts'
import { rawOf, staleAmong, translating, translationsOf } from '../../../native/conntrack/translation.ts'
import type { Change } from '../../../native/kernel/kernel.ts'
import type { Element } from '../../../native/kernel/resource.ts'
import { ipToBytes, type Ip } from '../../../native/value/ip.ts'

const [host, other, far, client] = ['192.0.2.11', '198.51.100.11', '192.0.2.99', '192.0.2.12']
const host6 = 'fd00:2::11'
const local = new Set([host, other, host6].map(raw))

const element = (key: string, value?: string): Element => ({
  ...{ type: 'element', table: 'weft', set: 'pub', key },
  ...(value !== undefined && { value }),
})
const create = (key: string, value?: string): Change => ({ op: 'create', want: element(key, value) })
const remove = (key: string, value?: string): Change => ({ op: 'remove', have: element(key, value) })
const update = (key: string, from: string, to: string): Change => ({
  ...{ op: 'update', want: element(key, to), have: element(key, from) },
})

interface Traffic {
  readonly to: string
  readonly port?: number
  readonly answers: string
  readonly answerPort?: number
  readonly protocol?: number
}
function flow({ to, port = 53, answers, answerPort = 53, protocol = 17 }: Traffic): Flow {
  const [four, six] = to.includes(':') ? [undefined, true] : [true, undefined]
  const address = (text: string): Uint8Array => ipToBytes(text as Ip)
  const from = six ? 'fd00:2::12' : client
  return {
    original: {
      ip: four
        ? { source4: address(from), destination4: address(to) }
        : { source6: address(from), destination6: address(to) },
      proto: { protocol, source: 5555, destination: port },
    },
    reply: {
      ip: four
        ? { source4: address(answers), destination4: address(from) }
        : { source6: address(answers), destination6: address(from) },
      proto: { protocol, source: answerPort, destination: 5555 },
    },
  }
}

const untranslated = flow({ to: host, answers: host })
const untranslated6 = flow({ to: host6, answers: host6 })
const toSecond = flow({ to: other, answers: other })
const toLoopback = flow({ to: '127.0.0.2', answers: '127.0.0.2' })
const through = flow({ to: far, answers: far })
const toOld = flow({ to: host, answers: '172.18.0.2', answerPort: 5353 })
const toOldPort = flow({ to: host, answers: '172.18.0.3', answerPort: 5300 })
const toNew = flow({ to: host, answers: '172.18.0.3', answerPort: 5353 })
const lostAddress = flow({ to: '203.0.113.1', answers: '172.18.0.2', answerPort: 5353 })
const otherPort = flow({ to: host, port: 54, answers: '172.18.0.2', answerPort: 5353 })
const direct = flow({ to: '172.18.0.2', port: 5353, answers: '172.18.0.2', answerPort: 5353 })
const tcp = flow({ to: host, answers: host, protocol: 6 })
const sctp = flow({ to: host, answers: host, protocol: 132 })
const all = {
  ...{ untranslated, untranslated6, toSecond, toLoopback, through, toOld, toOldPort, toNew, lostAddress, otherPort },
  ...{ direct, tcp, sctp },
}
type Name = keyof typeof all

const cases: readonly { name: string; changes: readonly Change[]; stale: readonly Name[] }[] = [
  {
    name: 'published: what came before goes, and what leads elsewhere',
    changes: [create('udp . 53', '172.18.0.3 . 5353')],
    stale: ['untranslated', 'toSecond', 'toLoopback', 'toOld', 'toOldPort'],
  },
  {
    name: 'published in IPv6 alone',
    changes: [create('udp . 53', 'fd00:18::3 . 5353')],
    stale: ['untranslated6'],
  },
  {
    name: 'published on one address: flows to others stay',
    changes: [create('198.51.100.11 . udp . 53', '172.18.0.3 . 5353')],
    stale: ['toSecond'],
  },
  {
    name: 'replaced: those of the old container go, wherever they came to',
    changes: [update('udp . 53', '172.18.0.2 . 5353', '172.18.0.3 . 5353')],
    stale: ['untranslated', 'toSecond', 'toLoopback', 'toOld', 'toOldPort', 'lostAddress'],
  },
  {
    name: 'another port of the same container',
    changes: [update('192.0.2.11 . udp . 53', '172.18.0.3 . 5300', '172.18.0.3 . 5353')],
    stale: ['untranslated', 'toOld', 'toOldPort'],
  },
  {
    name: 'unpublished: all that came to the port; neither the neighbour port of the container nor its own address',
    changes: [remove('udp . 53', '172.18.0.2 . 5353')],
    stale: ['untranslated', 'toSecond', 'toLoopback', 'toOld', 'toOldPort', 'toNew', 'lostAddress'],
  },
  {
    name: 'unpublished on one address, which the host has lost',
    changes: [remove('203.0.113.1 . udp . 53', '172.18.0.2 . 5353')],
    stale: ['toOld', 'lostAddress'],
  },
  {
    name: 'removed and published again: the last word counts',
    changes: [remove('udp . 53', '172.18.0.2 . 5353'), create('udp . 53', '172.18.0.3 . 5353')],
    stale: ['untranslated', 'toSecond', 'toLoopback', 'toOld', 'toOldPort', 'lostAddress'],
  },
  {
    name: 'back where it was: its flows are right',
    changes: [
      remove('192.0.2.11 . udp . 53', '172.18.0.2 . 5353'),
      create('192.0.2.11 . udp . 53', '172.18.0.2 . 5353'),
    ],
    stale: ['untranslated', 'toOldPort', 'toNew'],
  },
  {
    name: 'sctp',
    changes: [create('sctp . 53', '172.18.0.3 . 5353')],
    stale: ['sctp'],
  },
  {
    name: 'neither tcp nor what translates nothing',
    changes: [
      create('tcp . 53', '172.18.0.3 . 5353'),
      create('bridges'),
      create('udp . 53'),
      create('10.0.0.0/8', '192.0.2.1'),
      create('udp . 53', 'somewhere'),
      create('wb1 . udp . 53', '172.18.0.3 . 5353'),
      create('fd00::1 . udp . 53', '172.18.0.3 . 5353'),
      { op: 'create', want: { type: 'sysctl', key: 'net/ipv4/ip_forward', value: '1' } },
    ],
    stale: [],
  },
]
for (const { name, changes, stale } of cases) {
  test(`stale: ${name}`, () => {
    const found = staleAmong(Object.values(all), translationsOf(changes), local)
    const names = Object.entries(all).flatMap(([known, each]) => (found.includes(each) ? [known] : []))
    assert.equal(names, stale)
  })
}

test('stale: tcp alone is no reason to look', () => {
  const udp = create('192.0.2.11 . udp . 53', '172.18.0.3 . 5353')
  const changes = [create('tcp . 53', '172.18.0.3 . 5353'), create('udp . 53'), udp, remove('bridges')]
  assert.equal(translating(changes), [udp])
})

test('stale: a flow of which the kernel tells only half', () => {
  const translations = translationsOf([create('udp . 53', '172.18.0.3 . 5353')])
  assert.equal(staleAmong([{}, { original: untranslated.original }], translations, local), [])
})

test.run()

function raw(address: string): string {
  return rawOf(ipToBytes(address as Ip))
}
