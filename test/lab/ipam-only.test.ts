/** weft's addresses under the engine's own network driver. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { difference, eventually, inside, lab } from '../support/lab.ts'
import { engines } from '../support/scene.ts'

for (const engine of engines('20.10')) {
  test(`weft-ipam, engine ${engine}: gives the engine's own bridge driver its subnet and addresses`, async () => {
    await using net = await lab({ hosts: 1, engine })
    const [host] = net.hosts
    await host.startWeft()
    await host.startEngine()
    await host.image()
    // The first published port of engine 28 makes a raw table that stays, empty.
    await host.docker('run --rm -p 65000:80 probe true')
    const before = await host.snapshot()

    await host.docker('network create -d bridge --ipam-driver weft-ipam own')
    await host.docker(
      'network create -d bridge --ipam-driver weft-ipam --subnet 10.70.0.0/24 --ip-range 10.70.0.128/25 chosen',
    )
    for (const name of ['one', 'two']) await host.docker(`run -d --name ${name} --network own probe`)
    await host.docker('run -d --name three --network chosen probe')
    await host.docker('run -d --name four --network chosen --ip 10.70.0.9 probe')

    assert.match(await host.addressOf('one', 'own'), /^10\.64\.0\.\d+$/)
    assert.is.not(await host.addressOf('one', 'own'), await host.addressOf('two', 'own'))
    assert.match(await host.addressOf('three', 'chosen'), /^10\.70\.0\.(12[89]|1[3-9]\d|2\d\d)$/)
    assert.is(await host.addressOf('four', 'chosen'), '10.70.0.9')
    await inside(host, 'one').run('ping -c 1 -W 2 two')
    const again = 'run --rm --network chosen --ip 10.70.0.9 probe true'
    assert.match(await host.docker(again, { fails: true }), /Address already in use/)

    await host.docker('rm -f one two three four')
    await host.docker('network rm own chosen')
    await eventually('the host is as before', async () => {
      const left = difference(before, await host.snapshot())
      if (left !== '') throw new Error(left)
      return true
    })
  })
}

test.run()
