import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Change } from '../../../native/kernel/kernel.ts'
import { batchOf } from '../../../native/kernel/kinds/nftables.ts'
import type { Element, Resource, Ruleset } from '../../../native/kernel/resource.ts'
import type { NftOp } from '../../../native/nft/batch.ts'

const program = { messages: [], sets: {} }
const routed: Ruleset = { type: 'ruleset', family: 'inet', table: 'routed', digest: 'one', program }
const switched: Ruleset = { ...routed, family: 'bridge', table: 'switched' }

function element(table: string, key: string): Element {
  return { type: 'element', table, set: 'names', key }
}

function create(want: Resource): Change {
  return { op: 'create', want }
}

function print(op: NftOp): string {
  switch (op.op) {
    case 'replace':
      return `replace ${op.ruleset.table}: ${op.elements.map(({ key }) => key).join(' ')}`
    case 'delete':
      return `delete ${op.family} ${op.table}`
    case 'add':
    case 'remove':
      return `${op.op} ${op.element.table} ${op.element.key}`
    case 'accept':
    case 'unaccept':
      return `${op.op} ${op.rule.chain}`
  }
}

const cases: readonly {
  readonly name: string
  readonly changes: readonly Change[]
  readonly ops: readonly string[]
}[] = [
  {
    name: 'elements are loaded with the table that they belong to, of several ones too',
    changes: [
      create(routed),
      create(switched),
      create(element('routed', 'a')),
      create(element('switched', 'b')),
      create(element('routed', 'c')),
    ],
    ops: ['replace routed: a c', 'replace switched: b'],
  },
  {
    name: 'elements of a table that stays are added one by one',
    changes: [create(switched), create(element('routed', 'a'))],
    ops: ['replace switched: ', 'add routed a'],
  },
  {
    name: 'what is added after a removal stays after it',
    changes: [create(routed), { op: 'remove', have: element('routed', 'a') }, create(element('routed', 'a'))],
    ops: ['replace routed: ', 'remove routed a', 'add routed a'],
  },
  {
    name: 'a table is deleted in its family',
    changes: [{ op: 'remove', have: switched }],
    ops: ['delete bridge switched'],
  },
]

for (const { name, changes, ops } of cases) {
  test(`nftables: ${name}`, () => {
    assert.equal(batchOf(changes).map(print), ops)
  })
}

test.run()
