/** The IPAM half of a socket: what it costs the host to answer. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ipamHandlers } from '../../../daemon/address.ts'
import { parseDefaultPools, standardPools } from '../../../ipam/defaults.ts'
import { Ipam } from '../../../ipam/ipam.ts'
import { testHouse } from '../../support/house.ts'

test('address: the routes of the host are read for a subnet that weft chooses, and for no other', async () => {
  const { house, store } = await testHouse()
  const ipam = await Ipam.restore({ store, defaultPools: parseDefaultPools(standardPools) })
  let reads = 0
  const handlers = ipamHandlers(house, ipam, 'weft-ipam', async () => {
    reads += 1
  })
  const ask = async (Pool?: string): Promise<number> => {
    const before = reads
    await handlers.requestPool({
      AddressSpace: 'weft-local',
      ...(Pool === undefined ? {} : { Pool }),
      Options: {},
      V6: false,
    })
    return reads - before
  }
  assert.is(await ask('10.9.0.0/24'), 0)
  assert.is(await ask(), 1)
  assert.is(await ask('0.0.0.0/28'), 1)
})

test.run()
