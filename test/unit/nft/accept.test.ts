import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { acceptedMark, acceptExpressions, partOf } from '../../../native/nft/accept.ts'
import { legacyAccepts } from '../../../native/nft/legacy.ts'
import { expression, type Expression } from '../../../native/nft/messages.ts'
import { commentUserdata } from '../../../native/nft/program.ts'

const mark = 0x100000
const userdata = commentUserdata('weft')
const rule = acceptExpressions(mark)
const counter: Expression = { name: 'counter', data: {} }
const verdict = (code: number): Expression => ({ name: 'immediate', data: { dreg: 0, data: { verdict: { code } } } })
const match = (name: string, revision: number, info: Buffer): Expression => ({
  name: 'match',
  data: { match: name, revision, info },
})
/** As iptables-nft writes it. */
const comment = (text: string): Expression => match('comment', 0, Buffer.concat([Buffer.from(text)], 256))
const marked = (hex: string): Expression => match('mark', 1, Buffer.concat([Buffer.from(hex, 'hex')], 12))

/** Through the kernel's bytes, as a dump gives them. */
function markIn(expressions: readonly Expression[], data: Uint8Array | undefined): number | undefined {
  const dumped = expressions.map(item => expression.decode(expression.encode(item)))
  return acceptedMark({ expressions: dumped, ...(data && { userdata: data }) })
}

test('accept: the mark is compared under its own mask, in host order', () => {
  const [, bitwise, cmp] = rule
  const hex = (item: Expression | undefined): string => Buffer.from(item ? expression.encode(item) : []).toString('hex')
  assert.match(hex(bitwise), /0800010000001000.*0800010000000000/)
  assert.match(hex(cmp), /0800010000001000/)
})

const recognised: Readonly<Record<string, readonly [readonly Expression[], Uint8Array | undefined, number]>> = {
  'as it is made': [rule, userdata, mark],
  'without a counter': [rule.filter(({ name }) => name !== 'counter'), userdata, mark],
  'with any bits, the highest too': [acceptExpressions(0x80000000), userdata, 0x80000000],
  'as iptables-nft of today restores it': [rule.toSpliced(3, 0, comment('weft')), undefined, mark],
  'as an older one does': [[marked('000010000000100000'), comment('weft'), counter, verdict(1)], undefined, mark],
}
for (const [name, [expressions, data, want]] of Object.entries(recognised)) {
  test(`accept: the rule is recognised ${name}`, () => {
    assert.is(markIn(expressions, data), want)
  })
}

const others: Readonly<Record<string, readonly [readonly Expression[], Uint8Array | undefined]>> = {
  'no comment': [rule, undefined],
  'another comment': [rule, commentUserdata('weft too')],
  'another comment, by iptables-nft': [rule.toSpliced(3, 0, comment('weft2')), undefined],
  'two comments': [rule.toSpliced(3, 0, comment('weft')), commentUserdata('another')],
  'another verdict': [[...rule.slice(0, -1), verdict(0)], userdata],
  'no condition': [rule.slice(-1), userdata],
  'one condition more': [[...rule.slice(0, 2), ...rule.slice(0, 2), ...rule.slice(2)], userdata],
  'other bits than its mask has': [[...rule.slice(0, 2), ...acceptExpressions(0x300000).slice(2)], userdata],
  'an inverted match': [[marked('000010000000100001'), counter, verdict(1)], userdata],
  'a match with another mask': [[marked('000010000000300000'), counter, verdict(1)], userdata],
  nothing: [[], userdata],
}
for (const [name, [expressions, data]] of Object.entries(others)) {
  test(`accept: another rule has ${name}`, () => {
    assert.is(markIn(expressions, data), undefined)
  })
}

test('accept: in the old tables the comment tells as well', () => {
  const lines = [
    '-P FORWARD DROP',
    '-A FORWARD -m mark --mark 0x100000/0x100000 -m comment --comment weft -j ACCEPT',
    '-A FORWARD -m mark --mark 0x100000/0x100000 -m comment --comment weft -j ACCEPT',
    '-A FORWARD -m mark --mark 0x400000/0x400000 -m comment --comment weft -j ACCEPT',
    '-A FORWARD -m mark --mark 0x800000/0x800000 -j ACCEPT',
    '-A FORWARD -m mark --mark 0x1000000/0x1000000 -m comment --comment somebody -j ACCEPT',
    '-A FORWARD -m mark --mark 0x2000000/0x3000000 -m comment --comment weft -j ACCEPT',
    '-A FORWARD -m mark --mark 0x4000000/0x4000000 -m comment --comment weft -j DROP',
    '-A FORWARD ! -i eth0 -m mark --mark 0x8000000/0x8000000 -m comment --comment weft -j ACCEPT',
    '-A DOCKER-USER -m mark --mark 0x10000000/0x10000000 -m comment --comment weft -j ACCEPT',
    '-A FORWARD -m comment --comment weft -j ACCEPT',
  ]
  const filter = { family: 'ip', drops: true, dockerUser: true, lines } as const
  const marks = legacyAccepts(filter, 'FORWARD').map(found => found.mark)
  assert.equal(marks, [0x100000, 0x400000])
})

test('accept: what a rule is to the place of its own', () => {
  const parts = {
    own: partOf({ expressions: rule, userdata }),
    end: partOf({ expressions: [counter, verdict(0xfffffffb)] }),
    'end with a comment': partOf({ expressions: [comment('last'), counter, verdict(0xfffffffb)] }),
    'a return for some': partOf({ expressions: [...rule.slice(0, 4), verdict(0xfffffffb)] }),
    jump: partOf({
      expressions: [counter, { name: 'immediate', data: { data: { verdict: { code: 1, chain: 'DOCKER-USER' } } } }],
    }),
    'everything dropped': partOf({ expressions: [verdict(0)] }),
    nothing: partOf({}),
  }
  assert.equal(parts, {
    ...{ own: 'own', end: 'end', 'end with a comment': 'end', 'a return for some': 'other', jump: 'jump' },
    ...{ 'everything dropped': 'other', nothing: 'other' },
  })
})

const own = '-m mark --mark 0x100000/0x100000 -m comment --comment weft -j ACCEPT'
const ends = ['-j RETURN', '-m comment --comment last -j RETURN', '-m comment --comment "the last one" -j RETURN']
const places: Readonly<Record<string, readonly [chain: string, rules: readonly string[], misplaced: boolean]>> = {
  'alone in DOCKER-USER': ['DOCKER-USER', [own], false],
  'last in DOCKER-USER': ['DOCKER-USER', ['-s 192.0.2.1/32 -j DROP', own], false],
  ...Object.fromEntries(ends.map(end => [`before ${end}`, ['DOCKER-USER', ['-j DROP', own, end], false]])),
  'before what is never reached': ['DOCKER-USER', [own, '-j RETURN', '-s 192.0.2.1/32 -j DROP'], false],
  'before another rule': ['DOCKER-USER', [own, '-s 192.0.2.1/32 -j DROP'], true],
  'before a return for some': ['DOCKER-USER', [own, '-s 192.0.2.1/32 -j RETURN'], true],
  'behind the end': ['DOCKER-USER', ['-j RETURN', own], true],
  'there twice': ['DOCKER-USER', [own, '-s 192.0.2.1/32 -j DROP', own], true],
  'in FORWARD without the jump': ['FORWARD', [own, '-j OTHER'], false],
  'in FORWARD behind the jump': ['FORWARD', ['-j DOCKER-USER', '-i eth0 -j DROP', own], false],
  'in FORWARD before a jump': ['FORWARD', ['-j DOCKER-USER', own, '-j DOCKER-USER'], true],
}
for (const [name, [chain, rules, misplaced]] of Object.entries(places)) {
  test(`accept: ${misplaced ? 'misplaced' : 'in its place'} ${name}`, () => {
    const lines = ['-P FORWARD DROP', `-N ${chain}`, ...rules.map(text => `-A ${chain} ${text}`)]
    const filter = { family: 'ip', drops: true, dockerUser: true, lines } as const
    const want = { type: 'accept', family: 'ip', chain, backend: 'legacy', mark, ...(misplaced && { misplaced }) }
    assert.equal(legacyAccepts(filter, chain), [want])
  })
}

test.run()
