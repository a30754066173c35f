/** Networks that the engine forgot without a word, as one that is killed does. */
import type { Driver, Network } from '../drivers/driver.ts'
import { UserError } from '../plugin-api/answer.ts'
import { removeNetwork } from './edit.ts'
import { isForsaken, type House } from './house.ts'

/**
 * What such a network had is asked for again, and it is given up for that. In turns of the networks' own lanes,
 * before this one's begins: a turn must never wait for a lane of that sort.
 */
export async function forgetForgotten(
  house: House,
  driver: Driver,
  asked: Network,
  signal?: AbortSignal,
): Promise<void> {
  const isForgotten = (other: Network): boolean => isForsaken(house, other) || house.isUnlisted(other.id)
  const candidates = house.records.networks().filter(isForgotten)
  if (candidates.length === 0) return
  await house.refresh()
  // What is wrong with the network itself is said before anything is removed.
  driver.admit(asked, [], house.facts)
  for (const { id } of candidates.filter(other => clashes(house, driver, asked, other))) {
    const giveUp = async (): Promise<void> => {
      const other = house.records.network(id)
      if (!other || !isForgotten(other)) return
      await removeNetwork(house, other)
      house.log.warn(
        { network: id },
        'network given up: the engine does not know it, and what it had is asked for again',
      )
    }
    await house.lanes.run(id, giveUp, signal)
  }
}

function clashes(house: House, driver: Driver, asked: Network, other: Network): boolean {
  try {
    driver.admit(asked, [other], house.facts)
    return false
  } catch (cause) {
    if (cause instanceof UserError) return true
    throw cause
  }
}
