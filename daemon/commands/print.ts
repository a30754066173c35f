/** Text for people. */

export const none = '-'

/** Columns as wide as their widest cell; two spaces between them. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows].map(row => row.map(plain))
  const widths = header.map((_, column) => Math.max(...lines.map(line => line[column]?.length ?? 0)))
  return lines
    .map(line =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Names before values, one a line. A value of several lines is aligned. */
export function fields(rows: readonly (readonly [name: string, value: string | readonly string[]])[]): string {
  const lines = rows.flatMap(([name, value]) =>
    (typeof value === 'string' ? [value] : value).map((text, index) => [index === 0 ? name : '', text]),
  )
  return table(['', ''], lines).replace(/^.*\n/, '')
}

/** As the engine shortens ids. */
export function shortId(id: string): string {
  return id.slice(0, 12)
}

/** `3 endpoints`, `1 endpoint` */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

/** The two largest units of a span: `3 h 12 min`. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const units = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ] as const
  const first = units.findIndex(([number]) => number > 0)
  if (first < 0) return '0 s'
  return units
    .slice(first, first + 2)
    .filter(([number]) => number > 0)
    .map(([number, unit]) => `${number} ${unit}`)
    .join(' ')
}

export function yesNo(value: boolean): string {
  return value ? 'yes' : 'no'
}

/** `0.0.0.0:80`, `[::]:80` */
export function socketAddress(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** Names and reasons come from elsewhere: a terminal must not obey what stands in them. */
function plain(text: string): string {
  return text.replace(/[\0-\x1f\x7f-\x9f]/g, '?')
}
