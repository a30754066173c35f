/** Why a binding gets no port, in the words of the engine's own driver, which people and scripts know. */
import { familyOf, type Ip } from '../native/value/ip.ts'
import { UserError } from '../plugin-api/answer.ts'
import type { PortBinding } from '../plugin-api/options.ts'
import type { Wanted } from './ports.ts'

/** `holder`: the owner in weft that has the port; none where another program has it. */
export function exhausted(
  { binding, addresses }: Wanted,
  { cause, holder }: { readonly cause: unknown; readonly holder: string | undefined },
): UserError {
  const address = hostOf(addresses)
  if (isFixed(binding)) {
    const text = `Bind for ${address}:${binding.HostPort} failed: port is already allocated${byWhom(holder)}`
    return new UserError('PORT_TAKEN', text, { cause })
  }
  const text = `all ports are allocated: none of ${rangeOf(binding)} is free on ${address}`
  return new UserError('PORTS_EXHAUSTED', text, { cause })
}

/** After `tries` ports that nothing had told to be in use. */
export function givenUp({ binding, addresses }: Wanted, tries: number, cause: unknown): UserError {
  const text =
    `all ports are allocated: ${tries} of ${rangeOf(binding)} were tried on ${hostOf(addresses)}, ` +
    'and other programs have them'
  return new UserError('PORTS_EXHAUSTED', text, { cause })
}

export function isFixed({ HostPort, HostPortEnd }: PortBinding): boolean {
  return HostPort !== 0 && HostPort === HostPortEnd
}

function byWhom(holder: string | undefined): string {
  const [kind, , id] = holder?.split('/') ?? []
  return kind === 'endpoint' && id !== undefined ? ` (endpoint ${id.slice(0, 12)})` : ''
}

function rangeOf({ HostPort, HostPortEnd }: PortBinding): string {
  return HostPort === 0 ? 'the ephemeral range' : `${HostPort}-${HostPortEnd}`
}

function hostOf([address = '' as Ip]: readonly Ip[]): string {
  return familyOf(address) === 6 ? `[${address}]` : address
}
