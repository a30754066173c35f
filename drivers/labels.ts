/** Reading `-o key=value` by a table. Nothing is ignored silently: what is not in the table is refused by name. */
import { UserError } from '../plugin-api/answer.ts'

export interface Label<T> {
  /** Returns undefined for a value that it does not accept. */
  readonly parse: (text: string) => T | undefined
  readonly fallback: T
  /** Completes "expected ...". */
  readonly expected: string
}
export type Labels = Readonly<Record<string, { readonly label: string } & Label<unknown>>>
type Values<L extends Labels> = { readonly [K in keyof L]: L[K] extends Label<infer T> ? T : never }

/** `later`: labels of Docker's own driver that weft knows and does not serve yet. */
export function parseLabels<const L extends Labels>(
  driver: string,
  table: L,
  later: readonly string[],
  raw: Readonly<Record<string, string>>,
): Values<L> {
  const known = Object.values(table).map(row => row.label)
  for (const key of Object.keys(raw)) {
    if (known.includes(key)) continue
    if (later.includes(key)) {
      throw new UserError('OPTION_UNSUPPORTED', `option ${key} is not supported yet by ${driver}`, {
        hint: 'leave it out, or use the driver "bridge" for this network',
      })
    }
    const near = nearest(key, [...known, ...later])
    throw new UserError('OPTION_UNKNOWN', `${driver} has no option ${key}`, {
      hint: near ? `did you mean ${near}?` : `it has: ${known.join(', ')}`,
    })
  }
  const values: Record<string, unknown> = {}
  for (const [name, row] of Object.entries(table)) {
    const text = raw[row.label]
    const value = text === undefined ? row.fallback : row.parse(text)
    if (value === undefined && text !== undefined) {
      throw new UserError('OPTION_VALUE', `failed to parse ${row.label} value: ${JSON.stringify(text)}`, {
        hint: `expected ${row.expected}`,
      })
    }
    values[name] = value
  }
  return values as Values<L>
}

/** As Go's strconv.ParseBool, which reads these options in the engine. */
export function bool(label: string, fallback: boolean): { readonly label: string } & Label<boolean> {
  const words: Readonly<Record<string, boolean>> = { 1: true, t: true, true: true, 0: false, f: false, false: false }
  return {
    label,
    fallback,
    expected: 'true or false',
    parse: text =>
      /^([01]|[tfTF]|true|TRUE|True|false|FALSE|False)$/.test(text) ? words[text.toLowerCase()] : undefined,
  }
}

/** The candidate that differs in the fewest letters, if it is near enough to be a misspelling. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: { readonly candidate: string; readonly distance: number } | undefined
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate)
    if (!best || distance < best.distance) best = { candidate, distance }
  }
  return best && best.distance <= Math.max(3, word.length / 3) ? best.candidate : undefined
}

/** Levenshtein. Words are cut at 100 characters: they come from outside. */
function editDistance(a: string, b: string): number {
  const one = a.slice(0, 100)
  const other = b.slice(0, 100)
  let row = Array.from({ length: other.length + 1 }, (_, i) => i)
  for (let i = 1; i <= one.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= other.length; j += 1) {
      const swap = (row[j - 1] ?? 0) + (one[i - 1] === other[j - 1] ? 0 : 1)
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[other.length] ?? 0
}
