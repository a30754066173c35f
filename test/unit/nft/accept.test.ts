import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { acceptExpressions, isAcceptRule } from '../../../native/nft/accept.ts'
import { expression, type Expression } from '../../../native/nft/messages.ts'

const mark = 0x100000
/** Through the kernel's bytes, as a dump gives them. */
const dumped = (expressions: readonly Expression[]): readonly Expression[] =>
  expressions.map(item => expression.decode(expression.encode(item)))

test('accept: the mark is compared under its own mask, in host order', () => {
  const [, bitwise, cmp] = acceptExpressions(mark)
  const hex = (item: Expression | undefined): string => Buffer.from(item ? expression.encode(item) : []).toString('hex')
  assert.match(hex(bitwise), /0800010000001000.*0800010000000000/)
  assert.match(hex(cmp), /0800010000001000/)
})

test('accept: the rule is recognised with and without a counter', () => {
  assert.ok(isAcceptRule(dumped(acceptExpressions(mark)), mark))
  assert.ok(isAcceptRule(dumped(acceptExpressions(mark).filter(({ name }) => name !== 'counter')), mark))
})

test('accept: the form that iptables-nft writes is recognised', () => {
  const info = Buffer.from('000010000000100000', 'hex')
  const rule = (bytes: Buffer): readonly Expression[] =>
    dumped([
      { name: 'match', data: { match: 'mark', revision: 1, info: Buffer.concat([bytes], 12) } },
      ...acceptExpressions(mark).slice(3),
    ])
  assert.ok(isAcceptRule(rule(info), mark))
  info[8] = 1 // inverted
  assert.not(isAcceptRule(rule(info), mark))
})

test('accept: other marks, verdicts and further conditions are other rules', () => {
  const rule = acceptExpressions(mark)
  assert.not(isAcceptRule(rule, 0x200000))
  assert.not(isAcceptRule(acceptExpressions(0x300000), mark))
  assert.not(isAcceptRule([], mark))
  assert.not(isAcceptRule(rule.slice(-1), mark), 'without a condition')
  const drop: Expression = { name: 'immediate', data: { dreg: 0, data: { verdict: { code: 0 } } } }
  assert.not(isAcceptRule([...rule.slice(0, -1), drop], mark))
  assert.not(isAcceptRule([...rule.slice(0, 2), ...rule.slice(0, 2), ...rule.slice(2)], mark))
})

test.run()
