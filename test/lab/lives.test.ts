/** Container lives while weftd and the engine are killed at random: in the end nothing is left of them. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Lives } from '../support/lives.ts'
import { engineJumps, engines, open, unchanged } from '../support/scene.ts'

const full = process.env['WEFT_TEST_FULL'] === '1'
const seed = Number(process.env['WEFT_TEST_SEED'] ?? Date.now() % 1_000_000)
/** 1,000 lives, shared by all engines; otherwise a few with the newest one. */
const lives = full ? Math.ceil(1000 / engines('28.5').length) : 25

for (const engine of engines('28.5')) {
  test(`lives, engine ${engine}: ${lives} of them, weftd and the engine killed at random, leave nothing`, async () => {
    console.log(`seed ${seed}: WEFT_TEST_SEED=${seed} WEFT_LAB_ENGINE=${engine} repeats this run`)
    await using scene = await open({ engine, hosts: 1 })
    const { server, before } = scene
    const all = new Lives(scene, { seed, lives, beside: 6 })
    const started = performance.now()
    await all.run()
    const removed = performance.now()
    await unchanged(server, before, { anyOrder: true, except: engineJumps })
    const seconds = (from: number, to: number): string => ((to - from) / 1000).toFixed(1)
    const after = `as before ${seconds(removed, performance.now())} s after the last removal`
    console.log(`engine ${engine}: ${all.figures()}; ${seconds(started, removed)} s; ${after}`)
    const bugs = server.weftd?.log().match(/^.*not foreseen.*$/gm) ?? []
    assert.equal(bugs, [])
  })
}

test.run()
