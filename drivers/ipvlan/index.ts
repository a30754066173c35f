/** weft-ipvlan: containers are in the network of a link of the host, or behind it, all with that link's MAC. */
import type { Ipvlan, IpvlanFlag, IpvlanMode } from '../../native/kernel/resource.ts'
import { UserError } from '../../plugin-api/answer.ts'
import { childDriver } from '../child/driver.ts'
import { commonOptions, commonTable, refusedOptions, type ChildOptions } from '../child/options.ts'
import { parentOf } from '../child/parent.ts'
import { bool, parseLabels } from '../labels.ts'
import { macOf } from '../names.ts'

const modes = ['l2', 'l3', 'l3s'] as const satisfies readonly IpvlanMode[]
const flags = ['bridge', 'private', 'vepa'] as const satisfies readonly IpvlanFlag[]

const table = {
  ...commonTable,
  mode: {
    label: 'ipvlan_mode',
    fallback: 'l2',
    mayBeEmpty: true,
    expected: modes.join(', '),
    refusal: (text: string) => `requested ipvlan mode '${text}' is not valid`,
    parse: (text: string) => modes.find(known => known === text),
  },
  flag: {
    label: 'ipvlan_flag',
    fallback: 'bridge',
    mayBeEmpty: true,
    expected: flags.join(', '),
    refusal: (text: string) => `requested ipvlan flag '${text}' is not valid`,
    parse: (text: string) => flags.find(known => known === text),
  },
  proxy: bool('weft.proxy', false),
} as const

const rules = { table, refused: refusedOptions, strictLabel: table.strict } as const

export const ipvlanLabels: readonly string[] = Object.values(table).map(({ label }) => label)

export const ipvlanDriver = childDriver({
  name: 'ipvlan',

  parseOptions(raw): ChildOptions {
    const { values, ignored } = parseLabels('weft-ipvlan', rules, raw)
    const { mode, flag, proxy } = values
    if (flag !== 'bridge' && values.hostAccess !== undefined && values.hostAccess !== false) {
      throw new UserError('OPTION_CONFLICT', `host_access has no meaning with ipvlan_flag=${flag}`, {
        hint: 'only flag bridge lets the host and containers reach each other',
      })
    }
    if (proxy && (mode === 'l2' || values.parent === undefined || !values.hostAccess)) {
      throw new UserError(
        'OPTION_CONFLICT',
        'weft.proxy=true has no meaning without ipvlan_mode=l3 or l3s, a parent and host_access',
        {
          hint: 'in mode l2 containers answer for themselves; the host answers for those that it reaches',
        },
      )
    }
    const manner: Ipvlan = { kind: 'ipvlan', mode, ...(flag === 'bridge' ? {} : { flag }) }
    return { ...commonOptions(manner, values, ignored), ...(proxy ? { proxy } : {}) }
  },

  macRefusal: 'ipvlan interfaces do not support custom mac address assignment',
  fixedMac(network, { links }) {
    const parent = parentOf(network)
    return links.find(({ name }) => name === parent)?.mac ?? macOf(network.id)
  },
})
