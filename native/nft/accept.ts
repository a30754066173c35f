/**
 * The accept rule in another firewall's chain. Made of plain expressions only: `iptables -S` of the nft variant shows
 * it as `-m mark --mark 0x100000/0x100000 -j ACCEPT`. A look-up of a set would be shown as no condition at all, and a
 * save and restore would open that firewall.
 */
import type { Expression } from './messages.ts'

const register = 1
const verdictRegister = 0
const metaMark = 3
const cmpEqual = 0
const accept = 1

export function acceptExpressions(mark: number): readonly Expression[] {
  const value = word(mark)
  return [
    { name: 'meta', data: { metaKey: metaMark, dreg: register } },
    {
      name: 'bitwise',
      data: { sreg: register, dreg: register, length: 4, mask: { value }, xor: { value: word(0) } },
    },
    { name: 'cmp', data: { sreg: register, operator: cmpEqual, data: { value } } },
    { name: 'counter', data: {} },
    { name: 'immediate', data: { dreg: verdictRegister, data: { verdict: { code: accept } } } },
  ]
}

/** Is it the rule of `acceptExpressions`, or what iptables-nft makes of it when it saves and restores? */
export function isAcceptRule(expressions: readonly Expression[], mark: number): boolean {
  const [first, ...rest] = expressions.filter(({ name }) => name !== 'counter')
  const verdict = rest.at(-1)
  if (verdict?.name !== 'immediate' || verdict.data?.data?.verdict?.code !== accept) return false
  if (first?.name === 'match') {
    return rest.length === 1 && first.data?.match === 'mark' && equal(first.data.info?.subarray(0, 9), matchInfo(mark))
  }
  const [bitwise, cmp] = rest
  return (
    rest.length === 3 &&
    first?.name === 'meta' &&
    first.data?.metaKey === metaMark &&
    bitwise?.name === 'bitwise' &&
    equal(bitwise.data?.mask?.value, word(mark)) &&
    equal(bitwise.data?.xor?.value, word(0)) &&
    cmp?.name === 'cmp' &&
    cmp.data?.operator === cmpEqual &&
    equal(cmp.data.data?.value, word(mark))
  )
}

/** struct xt_mark_mtinfo1: mark, mask, not inverted. */
function matchInfo(mark: number): Buffer {
  return Buffer.concat([word(mark), word(mark), Buffer.alloc(1)])
}

/** Registers hold packet marks in host order. */
function word(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value >>> 0)
  return bytes
}

function equal(one: Uint8Array | undefined, other: Uint8Array): boolean {
  return one !== undefined && Buffer.compare(one, other) === 0
}
