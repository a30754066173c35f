/** Which flows a change of published ports has made stale. Pure. */
import type { Change } from '../kernel/kernel.ts'
import type { Resource } from '../kernel/resource.ts'
import { ipToBytes, parseIp, type Family } from '../value/ip.ts'
import type { Flow } from './messages.ts'

/** TCP is not among them: a peer that is gone, or another one, resets the connection. */
export const protocols = { udp: 17, sctp: 132 } as const
/** Of an element: host address, if it is bound to one, protocol and port. */
const portKey = /^(?:(\S+) \. )?(udp|sctp) \. (\d+)$/

/** A port of the host whose translation has changed. Addresses are raw, see `rawOf`. */
export interface Translation {
  readonly family: Family
  /** IP protocol number. */
  readonly protocol: number
  readonly port: number
  /** Absent: every address of the host. */
  readonly address?: string
  /** Where it leads to now; absent: nowhere. */
  readonly target?: Target
  /** Where it has led to. */
  readonly gone: readonly Target[]
}

export interface Target {
  readonly address: string
  readonly port: number
}

interface Published {
  readonly key: string
  readonly place: Pick<Translation, 'family' | 'protocol' | 'port' | 'address'>
  readonly target: Target
}

/** The bytes of an address as a string: quick to compare, and to look up. */
export function rawOf(address: Uint8Array): string {
  return Buffer.from(address.buffer, address.byteOffset, address.length).toString('latin1')
}

/** Those that change the translation of a port whose flows may be stale then. */
export function translating(changes: readonly Change[]): readonly Change[] {
  return changes.filter(change => {
    const resource = change.op === 'remove' ? change.have : change.want
    return resource.type === 'element' && resource.value !== undefined && portKey.test(resource.key)
  })
}

/**
 * What such changes come to: `[address . ]udp . 53` leads to `172.18.0.2 . 53`. The last change of a port says where to.
 */
export function translationsOf(changes: readonly Change[]): readonly Translation[] {
  const found = new Map<string, Translation>()
  const known = new Map<string, string | undefined>()
  // Thousands of ports lead to a few addresses.
  const raw = (text: string): string | undefined => {
    if (!known.has(text)) {
      const address = parseIp(text)
      known.set(text, address && rawOf(ipToBytes(address)))
    }
    return known.get(text)
  }
  for (const change of changes) {
    const before = change.op === 'create' ? undefined : publishedBy(change.have, raw)
    const after = change.op === 'remove' ? undefined : publishedBy(change.want, raw)
    const { key, place } = after ?? before ?? {}
    if (key === undefined || place === undefined) continue
    const { gone = [], target } = found.get(key) ?? {}
    const left = [target, before?.target].filter(each => each !== undefined)
    found.set(key, { ...place, gone: [...gone, ...left], ...(after && { target: after.target }) })
  }
  return [...found.values()]
}

function publishedBy(resource: Resource, raw: (text: string) => string | undefined): Published | undefined {
  if (resource.type !== 'element' || resource.value === undefined) return undefined
  const [, bound, protocol, port] = portKey.exec(resource.key) ?? []
  const [to = '', toPort, ...others] = resource.value.split(' . ')
  const target = raw(to)
  const address = bound === undefined ? undefined : raw(bound)
  if (protocol === undefined || target === undefined || toPort === undefined || others.length > 0) return undefined
  if (bound !== undefined && address?.length !== target.length) return undefined
  const family = target.length === 4 ? 4 : 6
  return {
    key: `${family} ${resource.key}`,
    place: {
      family,
      protocol: protocols[protocol as keyof typeof protocols],
      port: Number(port),
      ...(address !== undefined && { address }),
    },
    target: { address: target, port: Number(toPort) },
  }
}

/**
 * Those of the flows that came to one of these ports and are sent on to where it does not lead (any more). What passes
 * through to the same port of another machine is never among them. `local`: raw addresses of this host.
 */
export function staleAmong(
  flows: readonly Flow[],
  translations: readonly Translation[],
  local: ReadonlySet<string>,
): readonly Flow[] {
  const byPlace = Map.groupBy(translations, ({ family, protocol, port }) => placeOf(family, protocol, port))
  return flows.filter(({ original, reply }) => {
    const { ip, proto } = original ?? {}
    const destination = ip?.destination4 ?? ip?.destination6
    const answering = reply?.ip?.source4 ?? reply?.ip?.source6
    const port = reply?.proto?.source
    if (!destination || !answering || port === undefined) return false
    const family = destination.length === 4 ? 4 : 6
    const candidates = byPlace.get(placeOf(family, proto?.protocol ?? 0, proto?.destination ?? 0))
    if (!candidates) return false
    const [to, from] = [rawOf(destination), { address: rawOf(answering), port }]
    return candidates.some(each => isStale(each, to, from, local))
  })
}

function isStale(
  { address, target, gone }: Translation,
  destination: string,
  answering: Target,
  local: ReadonlySet<string>,
): boolean {
  if (target && same(answering, target)) return false
  // Also to an address that the host has lost meanwhile.
  if (gone.some(each => same(answering, each))) return true
  return address === undefined ? isLocal(destination, local) : destination === address
}

function same(one: Target, other: Target): boolean {
  return one.port === other.port && one.address === other.address
}

/** All of 127.0.0.0/8 is. */
function isLocal(address: string, local: ReadonlySet<string>): boolean {
  return local.has(address) || (address.length === 4 && address.charCodeAt(0) === 127)
}

/** A number: there is one for every flow of a dump. */
function placeOf(family: Family, protocol: number, port: number): number {
  return (port << 9) | (protocol << 1) | (family === 4 ? 0 : 1)
}
