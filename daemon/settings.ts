/** The one table of settings: flags, environment variables, keys of the settings file, `weftd --help` come from it. */
import { isAbsolute, normalize } from 'node:path'
import { nearest } from '../drivers/labels.ts'
import { parseDefaultPools, standardPools } from '../ipam/defaults.ts'
import { parseIp, type Ip } from '../native/value/ip.ts'

/** Thrown by a parser; reads on as `expected ..., got "x"`. */
export class Expected extends Error {}

/** Where the engine answers; only unix sockets, which need no credentials. */
export interface EngineAddress {
  /** `unix:///run/docker.sock` */
  readonly address: string
  readonly socketPath: string
}

interface Setting<T> {
  /** As text, read by the same parser as everybody's values. */
  readonly default: string
  /** `drivers`: the names that exist, when they are to be checked. Throws Expected, or a UserError of its own words. */
  readonly parse: (text: string, drivers: readonly string[] | undefined) => T
  /** Between the items of a list, which is a real one in the settings file. A comma when left out. */
  readonly separator?: string
  /** What stands for the value in the help. */
  readonly value: string
  readonly help: string
}

export const settings = {
  stateDir: {
    default: '/var/lib/weft',
    parse: absolutePath,
    value: 'DIR',
    help: 'records that survive a reboot',
  },
  runDir: {
    default: '/run/weft',
    parse: socketDirectory,
    value: 'DIR',
    help: 'admin socket, which `weft` talks to',
  },
  pluginDir: {
    default: '/run/docker/plugins',
    parse: socketDirectory,
    value: 'DIR',
    help: 'where the plugin sockets appear',
  },
  engine: {
    default: 'unix:///run/docker.sock',
    parse: engineAddress,
    value: 'ADDRESS',
    help: 'engine to ask in the background for names and lost endpoints; weft works without it',
  },
  drivers: {
    default: 'all',
    parse: driverNames,
    value: 'LIST',
    help: 'drivers to serve, separated by commas',
  },
  logLevel: {
    default: 'info',
    parse: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal'),
    value: 'LEVEL',
    help: 'least important line that is logged: trace, debug, info, warn, error, fatal',
  },
  logFormat: {
    default: 'json',
    parse: oneOf('json', 'pretty'),
    value: 'FORMAT',
    help: 'json for programs, pretty for people',
  },
  settleSeconds: {
    default: '60',
    parse: wholeNumber(1, 3600),
    value: 'SECONDS',
    help: 'pause between two full comparisons with the kernel',
  },
  markAllowed: {
    default: '0x00100000',
    parse: markBits,
    value: 'BITS',
    help: 'bits of the packet mark that say "weft allows it"',
  },
  markHairpin: {
    default: '0x00200000',
    parse: markBits,
    value: 'BITS',
    help: 'bits of the packet mark that say "returns to the bridge it came from"',
  },
  acceptFwmark: {
    default: 'none',
    parse: fwmark,
    value: 'MARK[/MASK]',
    help: 'packets with this mark may enter every network that is not internal',
  },
  allowDirectRouting: {
    default: 'false',
    parse: yesOrNo,
    value: 'true|false',
    help: "published ports are open by the containers' own addresses, too",
  },
  publishAddress: {
    default: 'any',
    parse: publishAddress,
    value: 'ADDRESS',
    help: 'address of the host for published ports that name none, where their network has no other',
  },
  tableOwner: {
    default: 'auto',
    parse: oneOf('auto', 'off'),
    value: 'auto|off',
    help: "auto protects weft's nftables table from other programs where the kernel can; off lets people edit it",
  },
  defaultPools: {
    default: standardPools,
    parse: parseDefaultPools,
    separator: ' ',
    value: 'LIST',
    help: 'subnets for networks that name none: base=PREFIX,size=LENGTH, separated by spaces',
  },
  addressRestSeconds: {
    default: '60',
    parse: wholeNumber(0, 86_400),
    value: 'SECONDS',
    help: 'how long an address that a container let go of is not given to another one, while there are others',
  },
} as const satisfies Readonly<Record<string, Setting<unknown>>>

export type SettingName = keyof typeof settings
export type Config = { readonly [K in SettingName]: ReturnType<(typeof settings)[K]['parse']> }

/** What joins a list of the settings file into the text that flags have. */
export function separatorOf(name: SettingName): string {
  return (settings as Readonly<Record<SettingName, Setting<unknown>>>)[name].separator ?? ','
}

/** `state-dir` of `stateDir`. */
export function flagOf(name: string): string {
  return name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}

/** `WEFT_STATE_DIR` of `stateDir`. */
export function variableOf(name: string): string {
  return `WEFT_${flagOf(name).replaceAll('-', '_').toUpperCase()}`
}

/** `, did you mean X?`, or nothing. Case is no difference: WEFT_StateDir was meant as WEFT_STATE_DIR. */
export function didYouMean(name: string, known: readonly string[]): string {
  const lower = known.map(candidate => candidate.toLowerCase())
  const near = nearest(name, lower)
  return near === undefined ? '' : `, did you mean ${known[lower.indexOf(near)] ?? near}?`
}

export function absolutePath(text: string): string {
  // A line end would break the unit file and the log; NUL no path can hold.
  if (!isAbsolute(text) || /[\0-\x1f]/.test(text)) throw new Expected('an absolute path')
  return normalize(text).replace(/(?<=.)\/$/, '')
}

/** Paths of unix sockets end at 107 bytes (sun_path in linux/un.h), and sockets are bound under longer, temporary names. */
function socketDirectory(text: string): string {
  const path = absolutePath(text)
  if (Buffer.byteLength(path) > 70) throw new Expected('an absolute path of at most 70 bytes')
  return path
}

function engineAddress(text: string): EngineAddress {
  const path = text.startsWith('unix://') ? text.slice('unix://'.length) : ''
  if (!isAbsolute(path)) throw new Expected('unix:// and an absolute path')
  return { address: text, socketPath: absolutePath(path) }
}

function driverNames(text: string, drivers: readonly string[] | undefined): readonly string[] {
  if (text === 'all') return drivers ?? []
  const names = listOf(text)
  for (const name of names) {
    if (drivers?.includes(name) ?? true) continue
    throw new Expected(`all or a list of ${(drivers ?? []).join(', ')}${didYouMean(name, drivers ?? [])}`)
  }
  return names
}

function yesOrNo(text: string): boolean {
  return oneOf('true', 'false')(text) === 'true'
}

/** `any` is every address, of both families. */
function publishAddress(text: string): Ip | undefined {
  const address = parseIp(text)
  if (text !== 'any' && address === undefined) throw new Expected('any, or an address')
  return address
}

/** As in the engine's own setting: `0x10`, `16`, `0x10/0xf0`. Without one nothing matches. */
function fwmark(text: string): { readonly value: number; readonly mask: number } {
  if (text === 'none') return { value: 1, mask: 0 }
  const [value, mask = 0xffffffff, ...more] = text
    .split('/')
    .map(part => (/^(0x[\da-f]{1,8}|\d{1,10})$/i.test(part) ? Number(part) : NaN))
  if (value === undefined || more.length > 0 || !(value <= 0xffffffff && mask <= 0xffffffff) || (value & ~mask) !== 0) {
    throw new Expected('none, or MARK[/MASK], of 32 bits each, where MASK covers MARK')
  }
  return { value, mask }
}

function oneOf<const T extends string>(...words: readonly T[]): (text: string) => T {
  return text => {
    const word = words.find(candidate => candidate === text)
    if (word === undefined) throw new Expected(`one of ${words.join(', ')}`)
    return word
  }
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return text => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN
    if (!(value >= least && value <= most)) throw new Expected(`a whole number from ${least} to ${most}`)
    return value
  }
}

function markBits(text: string): number {
  const value = /^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text) ? Number(text) : 0
  if (value < 1 || value > 0xffffffff) throw new Expected('bits of a 32-bit mark, like 0x00100000')
  return value
}

/** Spaces around names are nobody's intention; empty names are a slip. */
function listOf(text: string): readonly string[] {
  const items = text.split(',').map(item => item.trim())
  if (items.includes('')) throw new Expected('a list without empty items')
  return [...new Set(items)]
}
