/** The IPAM half of a socket: one shared IPAM behind every name. Wire names stop here. */
import type { Ipam } from '../ipam/ipam.ts'
import { readPoolWish } from '../ipam/wish.ts'
import { parseMac } from '../native/value/mac.ts'
import type { IpamHandlers } from '../plugin-api/methods.ts'
import { addressOptions } from '../plugin-api/options.ts'
import { explained } from './explain.ts'
import type { House } from './house.ts'

/**
 * `client`: name of the driver whose socket is asked; an engine repeats a pool where it got it. `readRoutes`: automatic
 * pools must keep clear of the host's routes as they are now.
 */
export function ipamHandlers(
  house: House,
  ipam: Ipam,
  client: string,
  readRoutes: () => Promise<void> = async () => undefined,
): IpamHandlers {
  const { log } = house
  return {
    macless: isMacless(house, client),
    engineStarted: () => ipam.engineStarted(client),

    async requestPool({ Pool, SubPool, Options, V6 }, signal) {
      const wish = {
        client,
        family: V6 ? 6 : 4,
        options: Options,
        ...(Pool === undefined ? {} : { pool: Pool }),
        ...(SubPool === undefined ? {} : { subPool: SubPool }),
      } as const
      if (readPoolWish(wish).kind === 'any') await explained(readRoutes())
      const pool = await ipam.requestPool(wish, signal)
      log.info({ pool: pool.id }, 'pool granted')
      return { PoolID: pool.id, Pool: pool.subnet }
    },

    async releasePool({ PoolID }) {
      if (await ipam.releasePool(PoolID)) log.info({ pool: PoolID }, 'pool released')
    },

    async requestAddress(request, signal) {
      const { purpose, mac } = addressOptions(request)
      const parsed = mac === undefined ? undefined : parseMac(mac)
      const wish = {
        purpose,
        ...(request.Address === undefined ? {} : { address: request.Address }),
        ...(parsed === undefined ? {} : { mac: parsed }),
      }
      const address = await ipam.requestAddress(request.PoolID, wish, signal)
      log.info({ pool: request.PoolID, address, purpose }, 'address granted')
      return { Address: address }
    },

    async releaseAddress({ PoolID, Address }) {
      const released = await ipam.releaseAddress(PoolID, Address)
      if (released) log.info({ pool: PoolID, address: Address }, 'address released')
    },
  }
}

/** Must engines send this client no MACs, for its driver refuses any? */
export function isMacless({ drivers }: House, client: string): boolean {
  return drivers[client.replace(/^weft-/, '')]?.macRefusal !== undefined
}
