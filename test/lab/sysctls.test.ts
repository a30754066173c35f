/** Switches of one link of a container: the engine sets them, and no driver may stand in its way. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { engines, shared } from '../support/scene.ts'

const option = '--driver-opt com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1'
/** Engines know the option from 27 on; older ones pass it on, and nobody reads it. */
const set = (engine: string): string => (Number(engine.split('.')[0]) >= 27 ? '1' : '0')

for (const engine of engines('28.5')) {
  const scene = shared({ engine })
  for (const [driver, how] of [
    ['bridge', ''],
    ['macvlan', '--subnet 192.0.2.0/24 --ip-range 192.0.2.128/26 -o parent=eth0'],
  ] as const) {
    test(`sysctls, engine ${engine}: of a link of weft-${driver}`, () =>
      scene.play(async ({ server }) => {
        await server.docker(`network create -d weft-${driver} ${how} a`)
        await server.docker('create --name one --network none probe')
        await server.docker('network disconnect none one')
        await server.docker(`network connect ${option} a one`)
        await server.docker('start one')
        const path = '/proc/sys/net/ipv4/conf/eth0/log_martians'
        assert.is(await server.docker(['exec', 'one', 'sh', '-c', `read value <${path}; echo $value`]), set(engine))
      }))
  }

  test(`sysctls, engine ${engine}: the end`, () => scene.end())
}

test.run()
