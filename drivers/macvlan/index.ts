/** weft-macvlan: containers are in the network of a link of the host, each with a MAC of its own. */
import type { Macvlan, MacvlanMode } from '../../native/kernel/resource.ts'
import { UserError } from '../../plugin-api/answer.ts'
import { childDriver } from '../child/driver.ts'
import { commonOptions, commonTable, refusedOptions, type ChildOptions } from '../child/options.ts'
import { parseLabels } from '../labels.ts'
import { number, withoutDefaults } from '../network-labels.ts'

const modes = ['bridge', 'private', 'vepa', 'passthru'] as const satisfies readonly MacvlanMode[]

const table = {
  ...commonTable,
  mode: {
    label: 'macvlan_mode',
    fallback: 'bridge',
    mayBeEmpty: true,
    expected: modes.join(', '),
    refusal: (text: string) => `requested macvlan mode '${text}' is not valid`,
    parse: (text: string) => modes.find(known => known === text),
  },
  bcqueuelen: number('bcqueuelen', 0, 1_000_000),
  bclim: number('bclim', -1, 1_000_000),
} as const

const rules = { table, refused: refusedOptions, strictLabel: table.strict } as const

export const macvlanLabels: readonly string[] = Object.values(table).map(({ label }) => label)

export const macvlanDriver = childDriver({
  name: 'macvlan',

  parseOptions(raw): ChildOptions {
    const { values, ignored } = parseLabels('weft-macvlan', rules, raw)
    const { mode, bcqueuelen, bclim } = values
    if (mode !== 'bridge' && values.hostAccess !== undefined && values.hostAccess !== false) {
      throw new UserError('OPTION_CONFLICT', `host_access has no meaning with macvlan_mode=${mode}`, {
        hint: 'only mode bridge lets the host and containers reach each other',
      })
    }
    if (mode === 'passthru' && values.parent === undefined) {
      throw new UserError('OPTION_CONFLICT', 'macvlan_mode=passthru needs a parent', { hint: 'add -o parent=LINK' })
    }
    return commonOptions(withoutDefaults<Macvlan>({ kind: 'macvlan', mode, bcqueuelen, bclim }), values, ignored)
  },

  /** The kernel would give a MAC of our choice to the parent. */
  fixedMac({ options }, { links }) {
    if (options.manner.kind !== 'macvlan' || options.manner.mode !== 'passthru') return undefined
    return links.find(({ name }) => name === options.parent)?.mac
  },
})
