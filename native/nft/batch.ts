/**
 * Changes of nf_tables in one network namespace, through one socket. It has to be one: a table with an owner belongs to
 * the socket that made it, and when that is closed, to nobody until the next one takes it over.
 */
import type { AcceptRule, Element, Ruleset, TableFamily } from '../kernel/resource.ts'
import type { KernelError } from '../netlink/errors.ts'
import { flags } from '../netlink/message.ts'
import { request, type NetlinkSocket, type Request } from '../netlink/socket.ts'
import { apartFrom } from './elements.ts'
import {
  accepting,
  adding,
  droppingTable,
  filling,
  loading,
  removing,
  textOf,
  unaccepting,
  type Member,
  type Place,
} from './member.ts'
import {
  batchBegin,
  batchEnd,
  batchHeader,
  delTable,
  destroyTable,
  families,
  newTable,
  tableFlags,
} from './messages.ts'
import type { Hold } from './program.ts'
import { placeIn } from './placing.ts'
import { acceptsIn, NftReader } from './read.ts'

export type NftOp =
  /**
   * The table's rules become these in one step, whatever they were. These elements are added to those that it has, which
   * are kept unless they overlap one of them.
   */
  | { readonly op: 'replace'; readonly ruleset: Ruleset; readonly elements: readonly Element[] }
  | { readonly op: 'delete'; readonly family: TableFamily; readonly table: string }
  | { readonly op: 'add' | 'remove'; readonly element: Element }
  /** Rules in the `filter` tables of others, of `backend: 'nft'` only. */
  | { readonly op: 'accept' | 'unaccept'; readonly rule: AcceptRule }

type Replacement = Extract<NftOp, { op: 'replace' }>

const inet = { family: families.inet }
/** What goes must neither be kept nor be in the way: the kernel refuses many prefixes that overlap another one. */
const rank = { delete: 0, replace: 1, remove: 2, add: 3, accept: 3, unaccept: 3 } as const
/** Other programs' changes may come in between, again and again: an engine that starts makes hundreds. */
const attempts = 10

export class Nft extends NftReader {
  readonly #wantOwner: boolean
  #features: Hold | undefined

  /**
   * Takes over the socket (of protocol netfilter). `owner: false`: tables stay open to everybody. `features` are found
   * out unless they are given; tests pretend to be on an older kernel.
   */
  constructor(socket: NetlinkSocket, options: { readonly owner: boolean; readonly features?: Hold }) {
    super(socket)
    this.#wantOwner = options.owner
    this.#features = options.features
  }

  /** Should tables have an owner, and can they here? */
  get owner(): boolean {
    return this.#hold().owned
  }

  /**
   * All operations or none; elements go before others come, whatever the order. Adding what is there already and
   * removing what is not are no errors. Rejects with KernelError that names the operation which was refused.
   */
  async commit(ops: readonly NftOp[]): Promise<void> {
    if (ops.length === 0) return
    // What is kept must be all there is when the batch arrives: nothing may have changed since it was read.
    const replaces = ops.some(({ op }) => op === 'replace')
    this.#hold()
    for (let attempt = 1; ; attempt += 1) {
      // In the end it is done all the same: nobody else changes this table, and what is wished of it is compared again.
      const generation = replaces && attempt < attempts ? this.generation() : undefined
      const error = this.#sendAll(await this.#membersOf(ops), generation)
      if (!error) return this.#note(ops)
      if (error.errno !== 'ERESTART' || attempt === attempts) throw error
    }
  }

  /** What others could change. */
  async #note(ops: readonly NftOp[]): Promise<void> {
    if (this.#hold().owned) return
    for (const op of ops) if (op.op === 'replace') await this.noteLoaded(op.ruleset)
  }

  async #membersOf(ops: readonly NftOp[]): Promise<readonly Member[]> {
    const members: Member[] = []
    for (const op of ops.toSorted((a, b) => rank[a.op] - rank[b.op])) members.push(...(await this.#membersOfOne(op)))
    return members
  }

  async #membersOfOne(op: NftOp): Promise<readonly Member[]> {
    switch (op.op) {
      case 'replace':
        this.learn(op.ruleset)
        return [loading(op.ruleset, this.#hold()), ...this.#fill([...(await this.#kept(op)), ...op.elements])]
      case 'delete':
        return [droppingTable(op.family, op.table, this.#hold())]
      case 'add':
        return [adding(this.#placeOf(op.element), textOf(op.element), this.#hold())]
      case 'remove':
        return [removing(this.#placeOf(op.element), op.element.key, this.#hold())]
      case 'accept':
        return this.#put(op.rule)
      case 'unaccept':
        return (await this.findAccept(op.rule)).map(handle => unaccepting(op.rule, handle))
    }
  }

  /** In its place, and nowhere else in its chain. */
  async #put(rule: AcceptRule): Promise<readonly Member[]> {
    const rules = await this.listRules(rule)
    const own = acceptsIn(rule.chain, rules).filter(({ mark }) => mark === rule.mark)
    const astray = own.filter(({ placed }) => !placed).map(({ handle }) => unaccepting(rule, handle))
    if (own.some(({ placed }) => placed)) return astray
    const place = placeIn(
      rule.chain,
      rules.map(({ part }) => part),
    )
    return [...astray, accepting(rule, rules[place]?.handle)]
  }

  async #kept({ ruleset: { table, program }, elements: wished }: Replacement): Promise<readonly Element[]> {
    const kept: Element[] = []
    const wishedOf = Map.groupBy(wished, ({ set }) => set)
    for (const [set, { learned, interval }] of Object.entries(program.sets)) {
      if (learned) continue
      const listed = await this.listElements(table, set)
      const elements = interval ? apartFrom(wishedOf.get(set) ?? [], listed) : listed
      kept.push(...elements.map((element): Element => ({ type: 'element', table, set, ...element })))
    }
    return kept
  }

  /** Of two elements with one key the later one counts. */
  #fill(elements: readonly Element[]): readonly Member[] {
    const bySet = Map.groupBy(elements, ({ set }) => set)
    return [...bySet.values()].flatMap(group => {
      const unique = [...new Map(group.map(element => [element.key, element])).values()]
      return unique[0] ? [filling(this.#placeOf(unique[0]), unique.map(textOf))] : []
    })
  }

  #placeOf({ table, set }: Element): Place {
    return { family: this.familyOf(table), table, set, shape: this.shapeOf(table, set) }
  }

  /** Some refusals have another way to the same end; what is left is the first one that has not. */
  #sendAll(all: readonly Member[], generation: number | undefined): KernelError | undefined {
    let members = all
    while (members.length > 0) {
      const { whole, refused } = this.#send(
        members.flatMap(({ requests }) => requests),
        generation,
      )
      if (whole) return whole
      if (refused.size === 0) return undefined
      const next: Member[] = []
      for (const member of members) {
        const error = member.requests.map(item => refused.get(item)).find(found => found !== undefined)
        const instead = error && member.instead?.[error.errno]
        if (error && !instead) return error
        next.push(...(instead ? instead() : [member]))
      }
      members = next
    }
    return undefined
  }

  /** What was refused of a batch that therefore changed nothing. `whole`: as the batch that it is. */
  #send(requests: readonly Request[], generation?: number): Refusals {
    const about = { op: 'commit', object: 'nftables batch' }
    const begin = request(batchBegin, batchHeader, { generation }, about)
    const all = [begin, ...requests, request(batchEnd, batchHeader, {}, about)]
    const results = this.socket.batchSync(all)
    const refused = new Map<Request, KernelError>()
    for (const [index, item] of all.entries()) {
      const error = results[index]
      if (error) refused.set(item, error)
    }
    return { whole: refused.get(begin), refused }
  }

  #hold(): Hold {
    this.#features ??= this.#probe()
    return this.#features
  }

  /** Tries both in batches that leave nothing. */
  #probe(): Hold {
    const name = `weft-probe-${this.socket.portId}`
    const about = { op: 'probe', object: `table ${name}` }
    const destroy = this.#allowed([request(destroyTable, inet, { name }, about)])
    const held = { name, flags: tableFlags.owner | tableFlags.persist }
    const owned =
      this.#wantOwner &&
      this.#allowed([
        request(newTable, inet, held, { ...about, flags: flags.create | flags.excl }),
        request(delTable, inet, { name }, about),
      ])
    return { owned, destroy }
  }

  #allowed(requests: readonly Request[]): boolean {
    // What comes after the first refusal may be refused for want of what that was to make.
    const [first] = this.#send(requests).refused.values()
    if (first && !['EOPNOTSUPP', 'EINVAL'].includes(first.errno)) throw first
    return first === undefined
  }
}

interface Refusals {
  readonly whole: KernelError | undefined
  readonly refused: ReadonlyMap<Request, KernelError>
}
