/** Figures and how they are shown: each beside its goal, for people or as JSON. Nothing fails because of a figure. */
import { readFileSync } from 'node:fs'
import { release } from 'node:os'

export type Unit = 'ms' | 's' | 'MB' | '/s' | 'Gbit/s' | 'x' | '%'
export type Goal = { readonly most: number } | { readonly least: number }

export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: Unit
  /** What the figure should be at most, or at least. */
  readonly goal?: Goal
  /** How often it was measured. */
  readonly samples?: number
}

/** What the figures are true of. */
export interface Circumstances {
  readonly bench: string
  readonly kernel: string
  readonly node: string
  /** Version as the engine tells it; absent when none ran. */
  readonly engine?: string
  readonly cpu: string
  /** Load average over a minute when it began: above 0.5 something else runs beside. */
  readonly load: number
}

export function circumstances(bench: string, engine?: string): Circumstances {
  const [, cpu = 'unknown'] = /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8')) ?? []
  const load = Number.parseFloat(readFileSync('/proc/loadavg', 'utf8'))
  return { bench, kernel: release(), node: process.version, ...(engine === undefined ? {} : { engine }), cpu, load }
}

/** Linear between the two nearest samples. `share` from 0 to 1. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b)
  const at = (sorted.length - 1) * share
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]]
  if (low === undefined || high === undefined) throw new RangeError('no samples')
  return low + (high - low) * (at - Math.floor(at))
}

export const median = (samples: readonly number[]): number => quantile(samples, 0.5)

/** p50 and p99 of one thing; the goal is the p50's. */
export function spread(name: string, samples: readonly number[], goal?: { readonly most: number }): readonly Figure[] {
  const common = { unit: 'ms', samples: samples.length } as const
  return [
    { name: `${name}, p50`, value: median(samples), ...common, ...(goal && { goal }) },
    { name: `${name}, p99`, value: quantile(samples, 0.99), ...common },
  ]
}

const resamples = 5000

/** Bootstrap: where the median lies in 95 of 100 samples that are drawn out of these, with repetition. */
export function interval(samples: readonly number[]): readonly [number, number] {
  const medians = Array.from({ length: resamples }, () => {
    return median(samples.map(() => samples[Math.floor(Math.random() * samples.length)] ?? 0))
  })
  return [quantile(medians, 0.025), quantile(medians, 0.975)]
}

export interface RatioGoals {
  readonly median?: Goal
  readonly low?: Goal
  readonly high?: Goal
}

/** `ratios` are of pairs, each measured at one time, so that what the machine does beside hits both numbers alike. */
export function ratio(name: string, ratios: readonly number[], goals: RatioGoals = {}): readonly Figure[] {
  const [low, high] = interval(ratios)
  const row = (end: string, value: number, goal: Goal | undefined): Figure => {
    return { name: `${name}, ratio, ${end}`, value, unit: 'x', samples: ratios.length, ...(goal && { goal }) }
  }
  return [
    row('median of the pairs', median(ratios), goals.median),
    row('95 % interval, lower end', low, goals.low),
    row('95 % interval, upper end', high, goals.high),
  ]
}

/** undefined: there is no goal. */
export function isReached({ value, goal }: Figure): boolean | undefined {
  if (!goal) return undefined
  return 'most' in goal ? value <= goal.most : value >= goal.least
}

export function asTable(about: Circumstances, figures: readonly Figure[]): string {
  const rows = figures.map(figure => [figure.name, shown(figure.value, figure.unit), goalOf(figure), verdictOf(figure)])
  const widths = [0, 1, 2].map(column => Math.max(...rows.map(row => row[column]?.length ?? 0)))
  const line = ([name = '', value = '', goal = '', verdict = '']: readonly string[]): string =>
    [name.padEnd(widths[0] ?? 0), value.padStart(widths[1] ?? 0), goal.padEnd(widths[2] ?? 0), verdict]
      .join('  ')
      .trimEnd()
  const { bench, kernel, node, engine, cpu, load } = about
  const setting = [`kernel ${kernel}`, `node ${node}`, engine ? `engine ${engine}` : 'no engine', cpu, `load ${load}`]
  return [`${bench}: ${setting.join(', ')}`, ...rows.map(line)].join('\n')
}

export function asJson(about: Circumstances, figures: readonly Figure[]): string {
  const marked = figures.map(figure => {
    const reached = isReached(figure)
    return reached === undefined ? figure : { ...figure, reached }
  })
  return JSON.stringify({ ...about, figures: marked }, null, 2)
}

function shown(value: number, unit: Unit): string {
  const digits = unit === 'x' ? 3 : value < 10 ? 2 : value < 1000 ? 1 : 0
  return unit === 'x' ? value.toFixed(digits) : `${value.toFixed(digits)} ${unit}`
}

function goalOf({ goal, unit }: Figure): string {
  if (!goal) return ''
  const [sign, bound] = 'most' in goal ? ['≤', goal.most] : ['≥', goal.least]
  return `goal ${sign} ${bound}${unit === 'x' ? '' : ` ${unit}`}`
}

function verdictOf(figure: Figure): string {
  const reached = isReached(figure)
  if (reached === undefined) return ''
  return reached ? 'reached' : 'MISSED'
}
