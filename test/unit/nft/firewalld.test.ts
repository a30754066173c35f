/** Which links firewalld's rules put into weft's zone, as its versions write them. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { linkOf } from '../../../native/nft/firewalld.ts'
import type { Expression } from '../../../native/nft/messages.ts'

/** 6 is iifname, 7 oifname; 0 "equal", 1 "not"; a jump is -3, a goto -4. */
function rule(key: number, operator: number, name: string, code: number, chain: string): readonly Expression[] {
  return [
    { name: 'meta', data: { metaKey: key, dreg: 1 } },
    { name: 'cmp', data: { sreg: 1, operator, data: { value: Buffer.from(name) } } },
    { name: 'immediate', data: { dreg: 0, data: { verdict: { code: code >>> 0, chain } } } },
  ]
}

const lan0 = 'lan0'.padEnd(16, '\0')
const cases: readonly { name: string; rule: readonly Expression[]; link: string | undefined }[] = [
  { name: 'of 1.3', rule: rule(6, 0, 'wb', -4, 'filter_FWD_weft'), link: 'wb+' },
  { name: 'of 2.5', rule: rule(6, 0, 'wb', -3, 'filter_FWD_weft_dispatch_stage2'), link: 'wb+' },
  { name: 'a whole name', rule: rule(6, 0, lan0, -4, 'filter_FWD_weft'), link: 'lan0' },
  { name: 'another zone', rule: rule(6, 0, lan0, -4, 'filter_FWD_public'), link: undefined },
  { name: 'a zone with a longer name', rule: rule(6, 0, lan0, -4, 'filter_FWD_wefts'), link: undefined },
  { name: 'another chain of the zone', rule: rule(6, 0, lan0, -4, 'filter_IN_weft'), link: undefined },
  { name: 'the way out', rule: rule(7, 0, lan0, -4, 'filter_FWD_weft'), link: undefined },
  { name: 'all but one', rule: rule(6, 1, lan0, -4, 'filter_FWD_weft'), link: undefined },
  { name: 'no condition', rule: rule(6, 0, lan0, -4, 'filter_FWD_weft').slice(2), link: undefined },
  { name: 'nothing', rule: [], link: undefined },
]

for (const { name, rule: expressions, link } of cases) {
  test(`firewalld: ${name} is ${link ?? 'no member'}`, () => {
    assert.is(linkOf(expressions), link)
  })
}

test.run()
