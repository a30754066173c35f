/** Reads the settings: flag over environment over file over default. What is not known is refused by its name. */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { UserError } from '../plugin-api/answer.ts'
import { absolutePath, didYouMean, Expected, flagOf, separatorOf, settings, variableOf } from './settings.ts'
import type { Config, SettingName } from './settings.ts'

export type { Config, EngineAddress } from './settings.ts'

export const defaultFile = '/etc/weft/weft.json'

export interface Sources {
  /** Without the program's name. */
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** Content, or undefined when there is no such file. */
  readonly readFile: (path: string) => string | undefined
  /** Names in the driver registry. Left out: names of drivers are not checked. */
  readonly drivers?: readonly string[]
}

/** What the command line asks for. */
export type Start =
  { readonly do: 'run'; readonly config: Config } | { readonly do: 'help' } | { readonly do: 'version' }

/** A value as it was written, and where: `--state-dir`, `WEFT_STATE_DIR`, `/etc/weft/weft.json: stateDir`. */
interface Given {
  readonly text: string
  readonly source: string
}
type Givens = ReadonlyMap<string, Given>

const names = Object.keys(settings) as readonly SettingName[]
/** Variables of the tests and scripts, which are not settings. */
const otherVariables = /^WEFT_(CRASH_AT|CACHE|DEBIAN_MIRROR|TEST_.*)$/

/** Throws UserError `BAD_SETTING`. */
export function readConfig(sources: Sources): Start {
  const flags = readFlags(sources.argv)
  if (typeof flags === 'string') return { do: flags }
  const env = readEnvironment(sources.env)
  const file = readFileSettings(flags.get('config') ?? env.get('config'), sources.readFile)

  const givens: Givens = new Map([...file, ...env, ...flags])
  const values: Partial<Record<SettingName, unknown>> = {}
  for (const name of names) {
    const given = givens.get(name) ?? { text: settings[name].default, source: `default of --${flagOf(name)}` }
    values[name] = parsed(given, text => settings[name].parse(text, sources.drivers))
  }
  const config = values as Config
  refuseSharedBits(config, givens)
  return { do: 'run', config }
}

/** For Sources.readFile. */
export function readTextFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw refused(`${path}: cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, cause)
  }
}

/** What `weftd --help` prints. */
export function helpText(): string {
  const rows = [
    ...names.map(name => ({
      left: `--${flagOf(name)} ${settings[name].value}`,
      right: `${settings[name].help} (default ${settings[name].default})`,
    })),
    { left: '--config FILE', right: `settings file (default ${defaultFile}, which need not exist)` },
    { left: '--help', right: 'print this' },
    { left: '--version', right: 'print the version' },
  ]
  const width = Math.max(...rows.map(row => row.left.length))
  return [
    'Usage: weftd [flags]',
    '',
    "weft's daemon: container networking for the Docker Engine, as a plugin.",
    '',
    ...rows.map(row => `  ${row.left.padEnd(width)}  ${row.right}`),
    '',
    'A flag --state-dir is also a variable WEFT_STATE_DIR and a key "stateDir" of the settings file.',
    'Flag over environment over file over default.',
  ].join('\n')
}

function readFlags(argv: readonly string[]): Givens | 'help' | 'version' {
  const valued = [...names.map(flagOf), 'config']
  const { tokens } = parseArgs({
    args: [...argv],
    options: {
      ...Object.fromEntries(valued.map(flag => [flag, { type: 'string' as const }])),
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean' },
    },
    // Lenient, because its own messages neither suggest a name nor read like the others.
    strict: false,
    tokens: true,
  })
  const givens = new Map<string, Given>()
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') throw refused(`${quoted(token.value)}: weftd takes flags only`)
    if (token.name === 'help' || token.name === 'version') return token.name
    const flag = `--${token.name}`
    if (!valued.includes(token.name)) {
      throw refused(
        `${token.rawName}: unknown flag${didYouMean(
          flag,
          valued.map(name => `--${name}`),
        )}`,
      )
    }
    if (token.value === undefined) throw refused(`${flag}: expected a value after it`)
    const name = names.find(candidate => flagOf(candidate) === token.name) ?? 'config'
    givens.set(name, { text: token.value, source: flag })
  }
  return givens
}

function readEnvironment(env: Sources['env']): Givens {
  const known = new Map<string, string>([...names, 'config'].map(name => [variableOf(name), name]))
  const givens = new Map<string, Given>()
  for (const [variable, text] of Object.entries(env)) {
    if (text === undefined || !variable.startsWith('WEFT_') || otherVariables.test(variable)) continue
    const name = known.get(variable)
    if (name === undefined) throw refused(`${variable}: unknown variable${didYouMean(variable, [...known.keys()])}`)
    givens.set(name, { text, source: variable })
  }
  return givens
}

function readFileSettings(given: Given | undefined, readFile: Sources['readFile']): Givens {
  const path = given ? parsed(given, absolutePath) : defaultFile
  const content = readFile(path)
  if (content === undefined) {
    if (given) throw refused(`${given.source}: there is no file ${path}`)
    return new Map()
  }
  const keys = Object.entries(objectIn(path, content)).map(([key, value]): [string, Given] => {
    const source = `${path}: ${key}`
    const name = names.find(candidate => candidate === key)
    if (name === undefined) throw refused(`${source}: unknown key${didYouMean(key, names)}`)
    return [name, { text: textOf(source, value, separatorOf(name)), source }]
  })
  return new Map(keys)
}

function objectIn(path: string, content: string): object {
  let value: unknown
  try {
    value = JSON.parse(content)
  } catch (cause) {
    throw refused(`${path}: not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, cause)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refused(`${path}: expected an object`)
  return value
}

/** JSON has numbers and lists where flags have text only. */
function textOf(source: string, value: unknown, separator: string): string {
  if (typeof value === 'string' || typeof value === 'number') return String(value)
  if (Array.isArray(value) && value.every(item => typeof item === 'string')) return value.join(separator)
  throw refused(`${source}: expected a text, a number or a list of texts, got ${JSON.stringify(value)}`)
}

function parsed<T>(given: Given, parse: (text: string) => T): T {
  try {
    return parse(given.text)
  } catch (cause) {
    if (cause instanceof UserError) throw refused(`${given.source}: ${cause.text}`, cause)
    if (!(cause instanceof Expected)) throw cause
    throw refused(`${given.source}: expected ${cause.message}, got ${quoted(given.text)}`, cause)
  }
}

function refuseSharedBits(config: Config, givens: Givens): void {
  if ((config.markAllowed & config.markHairpin) === 0) return
  const [blamed, other] = givens.has('markHairpin')
    ? (['markHairpin', 'markAllowed'] as const)
    : (['markAllowed', 'markHairpin'] as const)
  const given = givens.get(blamed)
  const taken = `0x${config[other].toString(16).padStart(8, '0')}`
  throw refused(
    `${given?.source ?? blamed}: expected bits that --${flagOf(other)} (${taken}) leaves free, got ${quoted(given?.text ?? '')}`,
  )
}

function quoted(text: string): string {
  return JSON.stringify(text)
}

function refused(what: string, cause?: unknown): UserError {
  return new UserError('BAD_SETTING', what, { cause })
}
