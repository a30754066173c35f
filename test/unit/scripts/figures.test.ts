/** Figures of the benches: quantiles, and what is said about goals. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  asJson,
  asTable,
  interval,
  isReached,
  median,
  quantile,
  ratio,
  spread,
  type Figure,
} from '../../../scripts/benches/figures.ts'

const about = { bench: 'x', kernel: '6.12', node: 'v24', cpu: 'one', load: 0.1 }
const figures: readonly Figure[] = [
  { name: 'start', value: 6, unit: 'ms', goal: { most: 6 } },
  { name: 'rate', value: 249.9, unit: '/s', goal: { least: 250 } },
  { name: 'ratio', value: 1.0499, unit: 'x' },
]

test('figures: quantiles lie between samples, whatever their order', () => {
  assert.is(median([3, 1, 2]), 2)
  assert.is(median([4, 1]), 2.5)
  assert.is(quantile([10, 0, 20], 0), 0)
  assert.is(quantile([10, 0, 20], 0.75), 15)
  assert.is(quantile([10, 0, 20], 1), 20)
  assert.throws(() => quantile([], 0.5), /no samples/)
})

test('figures: a bound is reached when it is met exactly', () => {
  assert.equal(figures.map(isReached), [true, false, undefined])
})

test('figures: the goal of a spread is its median', () => {
  const [p50, p99] = spread('call', [1, 2, 3], { most: 2 })
  assert.equal(p50, { name: 'call, p50', value: 2, unit: 'ms', samples: 3, goal: { most: 2 } })
  assert.is(p99?.goal, undefined)
})

test('figures: the interval of a median lies around it, and is a point when all samples are alike', () => {
  const [low, high] = interval([1, 2, 3, 4, 5, 6, 7, 8, 9])
  assert.ok(low < 5 && high > 5 && low >= 1 && high <= 9)
  assert.equal(interval([2, 2, 2]), [2, 2])
})

test('figures: a ratio has goals for its median and for each end of the interval', () => {
  const rows = ratio('rate', [1.5, 1.5], { median: { least: 1 }, low: { least: 0.95 } })
  assert.equal(rows, [
    { name: 'rate, ratio, median of the pairs', value: 1.5, unit: 'x', samples: 2, goal: { least: 1 } },
    { name: 'rate, ratio, 95 % interval, lower end', value: 1.5, unit: 'x', samples: 2, goal: { least: 0.95 } },
    { name: 'rate, ratio, 95 % interval, upper end', value: 1.5, unit: 'x', samples: 2 },
  ])
})

test('figures: the table shows each goal beside its figure', () => {
  assert.equal(asTable(about, figures).split('\n'), [
    'x: kernel 6.12, node v24, no engine, one, load 0.1',
    'start   6.00 ms  goal ≤ 6 ms    reached',
    'rate   249.9 /s  goal ≥ 250 /s  MISSED',
    'ratio     1.050',
  ])
})

test('figures: JSON tells the same', () => {
  const json = JSON.parse(asJson({ ...about, engine: '28.5.2' }, figures)) as Record<string, unknown>
  assert.is(json['engine'], '28.5.2')
  assert.equal(json['figures'], [{ ...figures[0], reached: true }, { ...figures[1], reached: false }, figures[2]])
})

test.run()
