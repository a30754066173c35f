/** Reading `-o key=value` by a table. Nothing is ignored silently: what is not in the table is refused by name. */
import { UserError } from '../plugin-api/answer.ts'

export interface Label<T> {
  /** Returns undefined for a value that it does not accept. */
  readonly parse: (text: string) => T | undefined
  readonly fallback: T
  /** Completes "expected ...". */
  readonly expected: string
  /** An empty value is as good as none, as Docker's own driver has it. */
  readonly mayBeEmpty?: true
  /** What is wrong with a value, in the words of Docker's own driver. */
  readonly refusal?: (text: string) => string
}
type Row = { readonly label: string } & Label<unknown>
export type Labels = Readonly<Record<string, Row>>
type Parsed<L> = L extends { readonly parse: (text: string) => infer T; readonly fallback: infer F }
  ? Exclude<T, undefined> | Widened<F>
  : never
type Widened<F> = F extends boolean ? boolean : F
type Values<L extends Labels> = { readonly [K in keyof L]: Parsed<L[K]> }

export interface LabelRules<L extends Labels> {
  readonly table: L
  /** "option" when left out. */
  readonly what?: string
  /** Labels that exist elsewhere and are not served, each with the reason. */
  readonly refused: Readonly<Record<string, string>>
  /** A row of the table. With the value false, unknown labels are ignored. */
  readonly strictLabel?: Row
}

export function parseLabels<const L extends Labels>(
  driver: string,
  { table, what = 'option', refused, strictLabel }: LabelRules<L>,
  raw: Readonly<Record<string, string>>,
): { readonly values: Values<L>; readonly ignored: readonly string[] } {
  const rows = Object.values<Row>(table)
  const known = rows.map(({ label }) => label)
  const unknown = Object.keys(raw).filter(key => !known.includes(key))
  const isStrict = strictLabel === undefined || valueOf(strictLabel, raw) !== false
  const [key] = unknown
  if (key !== undefined && isStrict) {
    const why = Object.hasOwn(refused, key) ? refused[key] : undefined
    if (why !== undefined) throw new UserError('OPTION_UNSUPPORTED', `${driver} does not serve ${key}: ${why}`)
    const near = nearest(key, known)
    throw new UserError('OPTION_UNKNOWN', `${driver} has no ${what} ${key}`, {
      hint: near ? `did you mean ${near}?` : `it has: ${known.join(', ') || 'none'}`,
    })
  }
  const values = Object.fromEntries(Object.entries<Row>(table).map(([name, row]) => [name, valueOf(row, raw)]))
  return { values: values as Values<L>, ignored: unknown }
}

function valueOf(row: Row, raw: Readonly<Record<string, string>>): unknown {
  const text = raw[row.label]
  if (text === undefined || (text === '' && row.mayBeEmpty)) return row.fallback
  const value = row.parse(text)
  if (value !== undefined) return value
  const what = row.refusal?.(text) ?? `failed to parse ${row.label} value: ${JSON.stringify(text)}`
  throw new UserError('OPTION_VALUE', what, {
    hint: `expected ${row.expected}`,
  })
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
