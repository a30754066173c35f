import type { Driver } from './driver.ts'
import { bridgeDriver } from './bridge/index.ts'
import { ipvlanDriver } from './ipvlan/index.ts'
import { macvlanDriver } from './macvlan/index.ts'
import { noneDriver } from './none/index.ts'

/** Every driver by its name; its socket is `weft-NAME.sock`. */
export const drivers: Readonly<Record<string, Driver>> = {
  // Options are read by the driver that they are handed back to: the one place where their type is not known.
  bridge: bridgeDriver,
  ipvlan: ipvlanDriver,
  macvlan: macvlanDriver,
  none: noneDriver,
}
