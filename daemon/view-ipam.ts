/** What the daemon shows of its addresses, and what an operator may ask for. */
export interface IpamView {
  pools(): Promise<readonly PoolRow[]>
  /** Throws UserError BAD_ADDRESS, NO_SUCH_POOL. */
  address(address: string): Promise<AddressReport>
  /** What does not fit together; the engine is asked for it. */
  suspects(): Promise<readonly Suspect[]>
  reserve(wish: ReserveWish): Promise<AddressReport>
  /** Throws UserError BAD_ADDRESS, NO_SUCH_POOL, ADDRESS_FREE, ADDRESS_HELD, POOL_HELD. */
  release(wish: ReleaseWish): Promise<ReleaseReport>
}

export interface PoolRow {
  readonly id: string
  readonly subnet: string
  readonly range?: string
  /** Absent: not known, or none. */
  readonly networkId?: string
  readonly network?: string
  readonly driver?: string
  /** Addresses to choose from. As text, like `free`: a /64 has more than a number of JavaScript can tell. */
  readonly size: string
  readonly free: string
  readonly used: number
  /** In use by name, outside of the range: not among the ones above. */
  readonly outside: number
  /** Not in use, and for nobody who names no address: chosen once, reserved. */
  readonly kept: number
  readonly reserved: number
  /** Of the free ones. */
  readonly resting: number
  /** Milliseconds since 1970, as all times here. */
  readonly since: number
}

export interface AddressReport {
  readonly address: string
  readonly pool: string
  readonly subnet: string
  readonly network?: string
  readonly state: 'in use' | 'reserved' | 'kept' | 'resting' | 'special' | 'free'
  /** Why it is special: `broadcast address`. */
  readonly special?: string
  readonly lease?: {
    readonly purpose: string
    readonly since: number
    readonly mac?: string
    readonly endpoint?: string
    readonly container?: string
  }
  readonly reservation?: { readonly since: number; readonly mac?: string; readonly note?: string }
  /** It was asked for by name for the first time. */
  readonly chosenAt?: number
  readonly past?: { readonly endedAt: number; readonly mac?: string; readonly restsUntil?: number }
}

export interface Suspect {
  /** Its id. Absent: the subnet is none of weft's pools. */
  readonly pool?: string
  /** Its name, or the beginning of its id. */
  readonly network?: string
  /** Absent: it is about the pool. */
  readonly address?: string
  readonly reason: string
  /** Nobody uses the address, or the pool: `weft ipam release` ends it. */
  readonly idle?: true
}

export interface ReserveWish {
  /** Id or subnet of a pool; name, id or the beginning of the id of a network. */
  readonly where: string
  readonly address: string
  readonly mac?: string
  readonly note?: string
}

export interface ReleaseWish {
  /** An address, or the subnet or id of a pool. */
  readonly what: string
  readonly force: boolean
}

export interface ReleaseReport {
  /** The address, or the subnet of the pool. */
  readonly what: string
  readonly ended: readonly ('lease' | 'chosen' | 'reservation' | 'rest' | 'pool')[]
  /** Why the lease stays: `is in use by container www`. */
  readonly stays?: string
}
