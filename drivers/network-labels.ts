/** Options that networks of several drivers have: Docker's own names, and what weft accepts as their values. */
import type { IfName } from '../native/kernel/resource.ts'
import type { Family } from '../native/value/ip.ts'
import { UserError } from '../plugin-api/answer.ts'
import { bool } from './labels.ts'

export const mtu = {
  label: 'com.docker.network.driver.mtu',
  fallback: undefined,
  expected: 'a number of bytes from 68 to 65535, or 0 for the default',
  parse(text: string): number | undefined {
    const bytes = /^\d{1,5}$/.test(text) ? Number(text) : NaN
    return bytes === 0 || (bytes >= 68 && bytes <= 65535) ? bytes : undefined
  },
} as const

/** RFC 8200, section 5. */
export const smallestMtu6 = 1280

/** Throws UserError: a link whose MTU is too small for IPv6 has no addresses of it, nor the switches. */
export function checkMtu6(bytes: number | undefined, given: readonly Family[]): void {
  if (bytes === undefined || bytes >= smallestMtu6 || !given.includes(6)) return
  throw new UserError('MTU_TOO_SMALL', `MTU ${bytes} is too small for IPv6`, {
    hint: `the smallest is ${smallestMtu6}`,
  })
}

export const ifacePrefix = {
  label: 'com.docker.network.container_iface_prefix',
  fallback: undefined,
  expected: 'the beginning of an interface name: at most 12 letters, digits, - and _',
  parse: (text: string) => (/^[A-Za-z][\w-]{0,11}$/.test(text) ? text : undefined),
} as const

/** What the user said of the families, to be held against what the engine gave. */
export const families = {
  ipv4: { ...bool('com.docker.network.enable_ipv4', true), fallback: undefined },
  ipv6: { ...bool('com.docker.network.enable_ipv6', true), fallback: undefined },
} as const

/** Throws UserError when the engine gave other families. */
export function matchFamilies(
  said: { readonly ipv4?: boolean | undefined; readonly ipv6?: boolean | undefined },
  given: readonly Family[],
): void {
  for (const [family, wanted] of [
    [4, said.ipv4],
    [6, said.ipv6],
  ] as const) {
    if (wanted === undefined || wanted === given.includes(family)) continue
    const text = `com.docker.network.enable_ipv${family}=${wanted}, but the engine made a network ${wanted ? 'without' : 'with'} it`
    throw new UserError('FAMILY_MISMATCH', text, { hint: `use the flag --ipv${family} of docker network create` })
  }
}

/** The engine itself announces addresses, from 28 on, and reads these where it keeps the network. */
export const announcements = {
  announcements: number('com.docker.network.advertise_addr_nmsgs', 0, 3),
  announcementMs: number('com.docker.network.advertise_addr_ms', 100, 2000),
} as const

/** Endpoint options of any driver that the engine itself carries out, from 27 on: `net.ipv4.conf.IFNAME.log_martians=1,...` */
export const sysctls = {
  label: 'com.docker.network.endpoint.sysctls',
  fallback: undefined,
  expected: 'NAME=VALUE, separated by commas',
  parse: (text: string) => (/^[^=,\s]+=[^,]*(,[^=,\s]+=[^,]*)*$/.test(text) ? text : undefined),
} as const

export const strict = bool('weft.strict', true)

export function number(label: string, least: number, most: number) {
  return {
    label,
    fallback: undefined,
    expected: `a number from ${least} to ${most}`,
    parse(text: string): number | undefined {
      const value = /^-?\d{1,7}$/.test(text) ? Number(text) : NaN
      return value >= least && value <= most ? value : undefined
    },
  }
}

/** What the kernel accepts as the name of a link. */
export function isLinkName(text: string): text is IfName {
  return /^[^\s/:.\0][^\s/:\0]{0,14}$/.test(text) && Buffer.byteLength(text) <= 15
}

/** As it is recorded: what is absent has its default. */
export function withoutDefaults<T extends object>(values: { readonly [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T
}
