/** Fake time, of timers and both clocks: what anybody may set, and what only runs. */
import { mock } from 'node:test'

export interface FakeTime extends Disposable {
  pass(ms: number): void
  /** Somebody sets the clock: so much ahead of the time, or behind it. */
  setClock(aheadMs: number): void
}

export function fakeTime(): FakeTime {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.now() })
  const { now } = Date
  const mocks = [mock.method(performance, 'now', () => now())]
  return {
    pass(ms) {
      mock.timers.tick(ms)
    },
    setClock(aheadMs) {
      mocks.push(mock.method(Date, 'now', () => now() + aheadMs))
    },
    [Symbol.dispose]() {
      for (const one of mocks.reverse()) one.mock.restore()
      mock.timers.reset()
    },
  }
}
