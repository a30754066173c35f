/** Beside the real firewalld, as Debian ships it: what is closed stays closed through its reloads, and the rest works. */
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { closedDuring, town } from '../support/coexist.ts'
import { difference, eventually, type Host, type Snapshot } from '../support/lab.ts'
import { bringFirewalls, startFirewalld } from '../support/lab/firewalls.ts'
import { agrees, engines, open, removeAll, rows, together, unchanged } from '../support/scene.ts'
import { streams } from '../support/streams.ts'

const reloads = ['firewall-cmd --reload', 'firewall-cmd --complete-reload']
/** A reload keeps new connections away while it lasts, and engine and weft come after it. */
const patience = { timeoutMs: 60_000, pauseMs: 100 }

for (const engine of engines('28.5')) {
  test(`firewalld, engine ${engine}: networks work beside it, through its reloads, and nothing opens`, async () => {
    await using scene = await open({ engine })
    const { server, client, restartEngine } = scene
    const versions = await bringFirewalls(server, engine)
    const firewalld = await startFirewalld(server)
    // The engine asks only when it starts whether there is one.
    await restartEngine()
    // The zone comes with the first network, and stays. A reload of the oldest engine loses rules of its own.
    await server.docker('network create -d weft-bridge first')
    await eventually('weft has its zone', async () => (await zones(server)).includes('wb+'), patience)
    await server.docker('network rm first')
    await server.run('firewall-cmd --reload', { timeoutMs: 120_000 })
    const before = await restful(server)

    const table = await town(server, client)
    await server.weft('settle')
    await eventually('the bridge with a name of its own is in it', async () => (await zones(server)).includes('lan0'))
    await rows(table.open, 'firewalld runs')
    for (const reload of reloads) {
      const asked = await streams(table.ways(server, client))
      let done = 0
      const work = server.run(reload, { timeoutMs: 120_000 }).then(() => {
        done = Date.now()
      })
      await closedDuring(work, table)
      await together(reload, { ...table.open, ...table.closed })
      const healed = Object.entries(asked.healedAfter(done)).map(([name, ms]) => `${name} ${ms} ms`)
      const sum = await asked.stop()
      console.log(
        `engine ${engine}, ${versions}, ${reload}: ${healed.join(', ')}; ${sum.asked} questions, none answered`,
      )
      await agrees(server)
    }
    await together('closed', table.closed)
    await removeAll(server)
    await eventually('lan0 has left the zone', async () => !(await zones(server)).includes('lan0'), patience)
    // The engine writes its rules anew after a reload.
    await unchanged(server, before, { anyOrder: true })
    await firewalld.stop()
  })

  test(`firewalld, engine ${engine}: one that starts and ends beside running containers`, async () => {
    await using scene = await open({ engine })
    const { server, client } = scene
    await bringFirewalls(server, engine)
    const table = await town(server, client)
    await rows(table.open, 'before')
    const asked = await streams({ closed: table.ways(server, client).closed, open: {} })
    for (const round of ['first', 'second']) {
      const firewalld = await closedDuring(startFirewalld(server), table)
      await eventually('weft has its zone', async () => (await zones(server)).includes('wb+'), patience)
      await together(`the ${round} time`, { ...table.open, ...table.closed })
      await closedDuring(firewalld.stop(), table)
      await together(`ended for the ${round} time`, { ...table.open, ...table.closed })
    }
    await asked.stop()
    assert.match(server.read('/etc/firewalld/zones/weft.xml'), 'wb+')
    await agrees(server)
    await removeAll(server)
  })
}

test.run()

/** The engine hears of a reload, and answers it in its own time. */
function restful(server: Host): Promise<Snapshot> {
  return eventually(
    'nothing changes any more',
    async () => {
      const first = await server.snapshot()
      await sleep(1_000)
      const second = await server.snapshot()
      return difference(first, second) === '' && second
    },
    patience,
  )
}

/** Links in weft's zone; none where firewalld has no such zone yet. */
function zones(server: Host): Promise<string> {
  return server.sh('firewall-cmd --zone=weft --list-interfaces 2>&1 || true')
}
