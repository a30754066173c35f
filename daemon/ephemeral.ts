/** Host ports for bindings that name none. */
import { readFileSync } from 'node:fs'
import type { PortChoices } from './ports.ts'

const attempts = 10

/**
 * The kernel's ip_local_port_range without ip_local_reserved_ports, read at each use; ten of them, after the last ones
 * given, so that a port is not used again at once. `read` is given by tests.
 */
export function ephemeralPorts(read = readSwitch): PortChoices {
  let last = 0
  return () => {
    const [from = 32768, to = 60999] = read('ip_local_port_range').trim().split(/\s+/).map(Number)
    const reserved = new Set(read('ip_local_reserved_ports').trim().split(',').flatMap(portsOf))
    const all = Array.from({ length: to - from + 1 }, (_, i) => from + i).filter(port => !reserved.has(port))
    const start = Math.max(
      0,
      all.findIndex(port => port > last),
    )
    const choices = Array.from({ length: Math.min(attempts, all.length) }, (_, i) => all[(start + i) % all.length] ?? 0)
    last = choices[0] ?? 0
    return choices
  }
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
