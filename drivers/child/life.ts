/** Evidence about containers that leave nothing on the host which would go with them. */
import type { IfName } from '../../native/kernel/resource.ts'
import type { Endpoint, Evidence } from '../driver.ts'

/** A link that waits for its container longer than this waits in vain: before engine 28 it is fetched after Join. */
const waitMs = 60_000

/** `link`: what was handed to the container, if it got one. */
export function aliveApart(endpoint: Endpoint, evidence: Evidence, link?: IfName): boolean | 'unknown' {
  const { sandboxKey, changedAt } = endpoint
  const stands = sandboxKey !== undefined && evidence.hasNamespace(sandboxKey)
  const waits = link !== undefined && evidence.hasLink(link)
  if (!waits) return stands || 'unknown'
  if (evidence.now - changedAt < waitMs) return true
  // The engine puts it back when it disconnects a container that goes on.
  return stands ? 'unknown' : false
}
