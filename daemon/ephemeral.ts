/** Host ports for bindings that name none. */
import { readFileSync } from 'node:fs'
import { boundSockets } from '../native/diag/sockets.ts'
import type { PortChoices } from './ports.ts'

/**
 * The kernel's ip_local_port_range without ip_local_reserved_ports, read at each use. All of it: after a restart the
 * first thousands may be held by containers. It begins after the last port tried, so that none is used again at once.
 * `read` is given by tests.
 */
export function ephemeralPorts(read = readSwitch): PortChoices & Required<Pick<PortChoices, 'tried' | 'bound'>> {
  let last = 0
  const choices = (): readonly number[] => {
    const [from = 32768, to = 60999] = read('ip_local_port_range').trim().split(/\s+/).map(Number)
    const reserved = new Set(read('ip_local_reserved_ports').trim().split(',').flatMap(portsOf))
    const all = Array.from({ length: to - from + 1 }, (_, i) => from + i).filter(port => !reserved.has(port))
    const next = all.findIndex(port => port > last)
    return next <= 0 ? all : [...all.slice(next), ...all.slice(0, next)]
  }
  return Object.assign(choices, {
    tried: (port: number): void => {
      last = port
    },
    bound: boundSockets,
  })
}

/** `8080` or `9000-9010`; nothing for an empty text. */
function portsOf(text: string): readonly number[] {
  const [from, to = from] = text.split('-').map(Number)
  return text === '' || from === undefined || to === undefined
    ? []
    : Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

function readSwitch(name: string): string {
  return readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8')
}
