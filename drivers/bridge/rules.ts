/**
 * The bridge driver's firewall. Its rules are static. Which bridges, pools and ports exist is only ever told by elements
 * of its sets and maps, so a container costs no rule, and a lookup costs the same for one as for ten thousand.
 * docs/firewall.md is made from it.
 */
import type { NftTable } from '../../native/kernel/nftables.ts'
import type { Marks } from '../driver.ts'
import { tableName } from '../names.ts'
import { forwardingChains } from './forwarding.ts'
import { plain, type ExplainedTable } from './nft.ts'
import { portsTable } from './port-rules.ts'
import { sets } from './sets.ts'
import { translationChains } from './translation.ts'

/** Every table of the bridge driver, as it is compiled. */
export function bridgeTables(marks: Marks): readonly NftTable[] {
  return explainedTables(marks).map(plain)
}

export function explainedTables(marks: Marks): readonly ExplainedTable[] {
  return [routedTable(marks), portsTable]
}

function routedTable(marks: Marks): ExplainedTable {
  return {
    family: 'inet',
    name: tableName,
    about:
      "Every packet that is forwarded from or to one of weft's bridges is judged here, once, and for good: it is " +
      'dropped, or it leaves with the `allowed` bit in its mark, which an accept rule in other firewalls looks for (they ' +
      'run later and could still drop it). What a network of another program begins has no bit: its own firewall decides, ' +
      'too. With br_netfilter loaded, frames switched within a bridge pass the same ' +
      'chains with that bridge as both interfaces.',
    sets,
    chains: [...translationChains(marks), ...forwardingChains(marks)],
  }
}
