import type { DiffRow, EndpointRow, NetworkRow, PortRow, Settled, Status } from '../view.ts'
import type { AddressReport, PoolRow, ReleaseReport, ReleaseWish, ReserveWish, Suspect } from '../view-ipam.ts'

/** What a command may use: it prints through its context and never ends the process. */
export interface Context {
  /** Print JSON for programs instead of tables for people. */
  readonly json: boolean
  readonly admin: Admin
  /** A line on stdout. */
  print(text: string): void
}

export interface CommandOptions {
  readonly force?: boolean
  /** `--root`: a directory that stands for `/`. */
  readonly root?: string
  /** `--config` and `--run-dir`, as they were given. */
  readonly config?: string
  readonly runDir?: string
  /** Of a reservation. */
  readonly mac?: string
  readonly note?: string
  /** A file that `weft --json ipam check` printed. */
  readonly fromReport?: string
}

export interface Command {
  /** `words`: its arguments. Returns the exit status. Throws UserError: see `statusOf` in cli.ts. */
  run(context: Context, options: CommandOptions, ...words: readonly string[]): Promise<number>
}

/** Paths that admin.ts serves, and what it answers. */
export interface Answers {
  readonly '/v1/status': Status
  readonly '/v1/networks': readonly NetworkRow[]
  readonly '/v1/endpoints': readonly EndpointRow[]
  readonly '/v1/ports': readonly PortRow[]
  readonly '/v1/diff': readonly DiffRow[]
  readonly '/v1/ipam/pools': readonly PoolRow[]
  readonly '/v1/ipam/suspects': readonly Suspect[]
  readonly [address: `/v1/ipam/addresses/${string}`]: AddressReport
}

export interface Admin {
  get<P extends keyof Answers>(path: P): Promise<Answers[P]>
  settle(options: { readonly force: boolean }): Promise<Settled>
  reserve(wish: ReserveWish): Promise<AddressReport>
  release(wish: ReleaseWish): Promise<ReleaseReport>
}
