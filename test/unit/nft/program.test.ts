import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Program, Ruleset } from '../../../native/kernel/resource.ts'
import { walk } from '../../../native/netlink/message.ts'
import {
  commentInUserdata,
  commentUserdata,
  digestInComment,
  digestOf,
  fillMarks,
  placeholders,
  replayFrames,
  type Marks,
} from '../../../native/nft/program.ts'

const { allowed, hairpin, acceptValue, acceptMask } = placeholders
const marks: Marks = { allowed: 0x100000, hairpin: 0x80000000, acceptValue: 0x12, acceptMask: 0xff }
/** NFTA_DATA_VALUE of 4 bytes in host order. */
function value(mark: number): string {
  const bytes = Buffer.from('0800010000000000', 'hex')
  bytes.writeUInt32LE(mark >>> 0, 4)
  return bytes.toString('hex')
}
function program(...attrs: readonly string[]): Program {
  const messages = attrs.map((hex, index) => ({
    type: index === 0 ? 2560 : 2566,
    family: 1,
    attrs: Buffer.from(hex, 'hex').toString('base64'),
  }))
  return { messages, sets: { bridges: { key: ['ifname'] } } }
}
function hexOf({ messages }: Program): readonly string[] {
  return messages.map(({ attrs }) => Buffer.from(attrs, 'base64').toString('hex'))
}

test('program: marks and their complements are filled in, wherever they stand', () => {
  const compiled = program(value(~allowed) + value(allowed), value(hairpin), value(acceptMask) + value(acceptValue))
  const filled = fillMarks(compiled, marks)
  assert.equal(hexOf(filled), [
    '08000100ffffefff0800010000001000',
    '0800010000000080',
    '08000100ff0000000800010012000000',
  ])
})

test('program: other values stay, and what was filled in is not taken for a placeholder', () => {
  const compiled = program(value(0x1234), value(allowed))
  const filled = fillMarks(compiled, { ...marks, allowed: hairpin, hairpin: 1 })
  assert.equal(hexOf(filled), [value(0x1234), value(hairpin)])
})

test('program: an empty mask accepts nothing', () => {
  const compiled = program(value(acceptMask), value(acceptValue))
  for (const nothing of [0, 7]) {
    const filled = fillMarks(compiled, { ...marks, acceptMask: 0, acceptValue: nothing })
    assert.equal(hexOf(filled), ['0800010000000000', '0800010001000000'])
  }
})

test('program: a mark that is not a whole value stays', () => {
  const bare = value(allowed).slice(8)
  assert.equal(hexOf(fillMarks(program(bare), marks)), [bare])
})

test('program: other marks are another digest', () => {
  const compiled = program(value(allowed))
  const digests = [1, 2].map(bit => digestOf(fillMarks(compiled, { ...marks, allowed: bit })))
  assert.match(digests[0] ?? '', /^[0-9a-f]{64}$/)
  assert.is.not(digests[0], digests[1])
  assert.is(digestOf(fillMarks(compiled, { ...marks, allowed: 1 })), digests[0])
})

test('program: the digest is in the comment that nft shows', () => {
  const digest = 'a'.repeat(64)
  const userdata = commentUserdata(`weft ${digest}`)
  assert.is(Buffer.from(userdata.subarray(0, 2)).toString('hex'), '0046')
  assert.is(digestInComment(commentInUserdata(userdata) ?? ''), digest)
  assert.is(digestInComment('somebody else'), undefined)
})

test('program: a comment is found behind other user data', () => {
  assert.is(commentInUserdata(Buffer.from('0704000000010003616200', 'hex')), 'ab')
  assert.is(commentInUserdata(Buffer.from('070400000001', 'hex')), undefined)
})

test('program: a table is replaced on old kernels and on new ones', () => {
  const compiled = program('0900010077656674000000', value(1))
  const ruleset: Ruleset = { type: 'ruleset', family: 'inet', table: 'weft', program: compiled, digest: 'b'.repeat(64) }
  const types = (owned: boolean, destroy: boolean): readonly number[] =>
    replayFrames(ruleset, { owned, destroy }).map(bytes => [...walk(bytes)].map(({ type }) => type & 0xff)[0] ?? -1)
  assert.equal(types(false, false), [0, 2, 0, 6])
  assert.equal(types(true, true), [26, 0, 6])
  const [, fresh] = replayFrames(ruleset, { owned: true, destroy: true })
  // Attribute 2, flags: owner and persist, in network order.
  assert.match(Buffer.from(fresh ?? []).toString('hex'), /0800020000000006/)
})

test.run()
