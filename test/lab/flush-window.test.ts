/** Rules that everybody may flush, as on kernels before 6.9: how long they are gone, and what is left of it. */
import { test } from 'uvu'
import { flushStory, type Neighbour } from '../support/flush-window.ts'
import { engines, shared } from '../support/scene.ts'

/** So that a restored rule set reads the same as the first one. */
const warm = 'iptables-save | iptables-restore; ip6tables-save | ip6tables-restore'
const rounds = process.env['WEFT_TEST_FULL'] ? 50 : 5

for (const engine of engines('28.5')) {
  const scene = shared({ engine, warm, weftFlags: '--table-owner off' })

  test(`flush window, engine ${engine}: what began in it does not go on`, () =>
    scene.play(async ({ server, client }) => {
      const { ip4 } = client
      const neighbour: Neighbour = { ip4, host: client, inside: '', run: (...args) => client.run(...args) }
      await flushStory(`engine ${engine}`, server, neighbour, { rounds })
    }))

  test(`flush window, engine ${engine}: the lab ends`, () => scene.end())
}

test.run()
