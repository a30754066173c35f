/**
 * An IPAM over a real store, as a process of its own that a test kills: a request on each line of stdin, an answer on each
 * of stdout. `WEFT_CRASH_AT=n`: it kills itself at the n-th of the points before and after each commit.
 * Run as `node ipam-child.ts FILE`.
 */
import { createInterface } from 'node:readline'
import { crashingStore, crashPoints } from '../../daemon/crash.ts'
import { SqliteStore } from '../../daemon/store/sqlite.ts'
import { Ipam } from '../../ipam/ipam.ts'
import type { AddressWish, PoolWish } from '../../ipam/wish.ts'
import type { PoolId } from '../../plugin-api/ids.ts'
import { UserError } from '../../plugin-api/answer.ts'

export type ChildRequest =
  | { readonly call: 'begin' }
  | { readonly call: 'pool'; readonly wish: PoolWish }
  | { readonly call: 'address'; readonly pool: PoolId; readonly wish: AddressWish }
  | { readonly call: 'release'; readonly pool: PoolId; readonly address: string }
  | { readonly call: 'leases' }

export type ChildAnswer = { readonly value: unknown } | { readonly refused: string }

async function answer(ipam: Ipam, request: ChildRequest): Promise<unknown> {
  switch (request.call) {
    case 'begin':
      return ipam.engineStarted('weft-ipam')
    case 'pool':
      return ipam.requestPool(request.wish)
    case 'address':
      return ipam.requestAddress(request.pool, request.wish)
    case 'release':
      return ipam.releaseAddress(request.pool, request.address)
    case 'leases':
      return ipam.leases()
  }
}

if (import.meta.main) {
  const [, , file = ''] = process.argv
  using sqlite = new SqliteStore(file)
  const ipam = await Ipam.restore({ store: crashingStore(sqlite, crashPoints(process.env)), defaultPools: [] })
  for await (const line of createInterface({ input: process.stdin })) {
    let told: ChildAnswer
    try {
      told = { value: (await answer(ipam, JSON.parse(line) as ChildRequest)) ?? null }
    } catch (cause) {
      if (!(cause instanceof UserError)) throw cause
      told = { refused: cause.code }
    }
    process.stdout.write(`${JSON.stringify(told)}\n`)
  }
}
