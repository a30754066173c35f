/** What nf_tables holds in one network namespace. */
import type { AcceptRule, Ruleset, SetShape, TableFamily } from '../kernel/resource.ts'
import { KernelError } from '../netlink/errors.ts'
import type { NetlinkSocket } from '../netlink/socket.ts'
import { acceptedMark, partOf } from './accept.ts'
import { toText, type TextElement } from './elements.ts'
import { contentsOf, list } from './listing.ts'
import {
  elementFlags,
  families,
  getChain,
  getElements,
  getGeneration,
  getRule,
  getSet,
  getTable,
  newSet,
  set as setAttributes,
  tableFlags,
} from './messages.ts'
import { isPlaced, type Part } from './placing.ts'
import { commentInUserdata, digestInComment } from './program.ts'

export interface TableState {
  /** Of the rule set that was loaded; undefined when it was not weft, or when somebody has changed it since. */
  readonly digest: string | undefined
  /** Is this socket the one that alone may change the table? */
  readonly owned: boolean
  readonly persist: boolean
}

/** What another firewall does with forwarded packets. */
export interface ForeignFilter {
  readonly family: 'ip' | 'ip6'
  /** Policy of FORWARD is drop. */
  readonly drops: boolean
  /** The engine's chain for rules of others exists. */
  readonly dockerUser: boolean
}

interface FoundAccept {
  readonly handle: bigint
  readonly mark: number
  /** Is it where it belongs? */
  readonly placed: boolean
}

/** One of a chain of others. */
interface FoundRule {
  readonly handle: bigint
  readonly part: Part
  /** Of weft's own. */
  readonly mark: number | undefined
}

export class NftReader implements AsyncDisposable {
  protected readonly socket: NetlinkSocket
  readonly #rulesets = new Map<string, Ruleset>()
  /** Contents of tables as they were right after this process loaded them. */
  readonly #loaded = new Map<string, string>()

  constructor(socket: NetlinkSocket) {
    this.socket = socket
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.socket[Symbol.asyncDispose]()
  }

  /** Shapes of the sets of a table, and what its chains should hold. Loading a rule set does the same. */
  learn(ruleset: Ruleset): void {
    this.#rulesets.set(ruleset.table, ruleset)
  }

  /** undefined: there is no such table. */
  async readTable({ family, table }: Pick<Ruleset, 'family' | 'table'>): Promise<TableState | undefined> {
    const about = { op: 'read', object: `table ${table}`, absent: ['ENOENT'] }
    const found = this.socket.requestSync(getTable, { family: families[family] }, { name: table }, about)?.attrs
    if (!found) return undefined
    const bits = found.flags ?? 0
    const owned = (bits & tableFlags.owner) !== 0 && found.owner === this.socket.portId
    const comment = found.userdata && commentInUserdata(found.userdata)
    const digest = comment === undefined ? undefined : digestInComment(comment)
    const intact = owned || ((bits & tableFlags.dormant) === 0 && (await this.#isIntact(family, table)))
    return { digest: intact ? digest : undefined, owned, persist: (bits & tableFlags.persist) !== 0 }
  }

  /** None when there is no such set, or one of another shape: from another version of the rules. */
  async listElements(table: string, set: string): Promise<readonly TextElement[]> {
    const shape = this.shapeOf(table, set)
    if (!this.#hasShape(table, set)) return []
    const about = { op: 'list', object: `set ${set}` }
    const header = { family: families[this.familyOf(table)] }
    const found = await absentIsEmpty(this.socket.dump(getElements, header, { table, set }, about))
    const raw = found.flatMap(({ attrs }) => attrs.elements ?? [])
    return toText(
      shape,
      raw.flatMap(({ key, keyEnd, data, flags: bits = 0 }) => {
        const end = (bits & elementFlags.intervalEnd) !== 0
        const more = { ...(keyEnd?.value && { keyEnd: keyEnd.value }), ...(data?.value && { data: data.value }) }
        return key?.value ? [{ key: key.value, ...more, end }] : []
      }),
    )
  }

  /** `filter` tables as iptables-nft makes them. */
  async foreignFilters(): Promise<readonly ForeignFilter[]> {
    const chains = await this.socket.dump(getChain, {}, {}, { op: 'list', object: 'chains' })
    return (['ip', 'ip6'] as const).flatMap(family => {
      const own = chains.filter(({ header, attrs }) => header.family === families[family] && attrs.table === 'filter')
      const forward = own.find(({ attrs }) => attrs.name === 'FORWARD' && attrs.hook)
      if (!forward) return []
      const dockerUser = own.some(({ attrs }) => attrs.name === 'DOCKER-USER')
      return [{ family, drops: forward.attrs.policy === 0, dockerUser }]
    })
  }

  /** Handles of this rule in its chain; iptables-nft may have written it anew. */
  async findAccept(rule: AcceptRule): Promise<readonly bigint[]> {
    return (await this.listAccepts(rule)).flatMap(({ handle, mark }) => (mark === rule.mark ? [handle] : []))
  }

  /** Accept rules of weft in the chain, whatever their bits. None when there is no such chain. */
  async listAccepts(place: Pick<AcceptRule, 'family' | 'chain'>): Promise<readonly FoundAccept[]> {
    return acceptsIn(place.chain, await this.listRules(place))
  }

  /** In their order. None when there is no such chain. */
  protected async listRules({ family, chain }: Pick<AcceptRule, 'family' | 'chain'>): Promise<readonly FoundRule[]> {
    const header = { family: families[family] }
    const about = { op: 'list', object: `rules of ${family} filter ${chain}` }
    const rules = await absentIsEmpty(this.socket.dump(getRule, header, { table: 'filter', chain }, about))
    return rules.flatMap(({ attrs }) =>
      attrs.handle === undefined ? [] : [{ handle: attrs.handle, part: partOf(attrs), mark: acceptedMark(attrs) }],
    )
  }

  /** Number of the last change to any table. */
  protected generation(): number {
    return this.socket.requestSync(getGeneration, {}, {}, { op: 'read', object: 'generation' })?.attrs.id ?? 0
  }

  /** What is there now is what was loaded. */
  protected async noteLoaded({ family, table }: Ruleset): Promise<void> {
    this.#loaded.set(table, await this.#contents(family, table))
  }

  protected familyOf(table: string): TableFamily {
    const family = this.#rulesets.get(table)?.family
    if (!family) throw new TypeError(`no table ${table} is known`)
    return family
  }

  protected shapeOf(table: string, set: string): SetShape {
    const shape = this.#rulesets.get(table)?.program.sets[set]
    if (!shape) throw new TypeError(`no set ${set} is known in table ${table}`)
    return shape
  }

  #hasShape(table: string, set: string): boolean {
    const about = { op: 'read', object: `set ${set}`, absent: ['ENOENT'] }
    const have = this.socket.requestSync(
      getSet,
      { family: families[this.familyOf(table)] },
      { table, name: set },
      about,
    )?.attrs
    const want = this.#rulesets
      .get(table)
      ?.program.messages.filter(({ type }) => type === newSet.type)
      .map(({ attrs }) => setAttributes.decode(Buffer.from(attrs, 'base64')))
      .find(({ name }) => name === set)
    const same = (['flags', 'keyType', 'keyLength', 'dataType', 'dataLength'] as const).every(
      name => have?.[name] === want?.[name],
    )
    return have !== undefined && same
  }

  /**
   * Without an owner anybody can change rules and chains. Another kernel than the one that the program was compiled with
   * may show them otherwise: they are alike as well when they are as this process found them right after it loaded them.
   */
  async #isIntact(family: TableFamily, table: string): Promise<boolean> {
    const program = this.#rulesets.get(table)?.program
    if (!program) return true
    const contents = await this.#contents(family, table)
    return contents === contentsOf(program.messages) || contents === this.#loaded.get(table)
  }

  async #contents(family: TableFamily, table: string): Promise<string> {
    const chains = await list(this.socket, getChain, family)
    const own = chains.filter(({ attrs }) => getChain.attrs.decode(Buffer.from(attrs, 'base64')).table === table)
    const rules = await absentIsEmpty(list(this.socket, getRule, family, getRule.attrs.encode({ table })))
    return contentsOf([...own, ...rules])
  }
}

/** Weft's own. */
export function acceptsIn(chain: string, rules: readonly FoundRule[]): readonly FoundAccept[] {
  const parts = rules.map(({ part }) => part)
  return rules.flatMap(({ handle, mark }, index) =>
    mark === undefined ? [] : [{ handle, mark, placed: isPlaced(chain, parts, index) }],
  )
}

/** For a list of what may vanish meanwhile. */
export async function absentIsEmpty<T>(dump: Promise<readonly T[]>): Promise<readonly T[]> {
  try {
    return await dump
  } catch (error) {
    if (error instanceof KernelError && error.errno === 'ENOENT') return []
    throw error
  }
}
