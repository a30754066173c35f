/**
 * Where in another firewall's chain the accept rule belongs. The rules of the host's administrator come first: they
 * stand in DOCKER-USER, and in FORWARD that is entered by a jump.
 */

/** What a rule is to weft's: weft's own, the end of the chain (`-j RETURN` without condition), or the jump. */
export type Part = 'own' | 'end' | 'jump' | 'other'

export const userChain = 'DOCKER-USER'

/** Index of the rule before which it is put; their number: after the last one. Never that of an own one. */
export function placeIn(chain: string, parts: readonly Part[]): number {
  return chain === userChain ? endOf(parts) : parts.lastIndexOf('jump') + 1
}

/** Does the own rule with this index stand where the administrator's rules have had their say, and is it reached? */
export function isPlaced(chain: string, parts: readonly Part[], index: number): boolean {
  if (chain !== userChain) return index > parts.lastIndexOf('jump')
  const end = endOf(parts)
  return index < end && parts.slice(index, end).every(part => part === 'own')
}

/** What follows the first unconditional RETURN is never reached. */
function endOf(parts: readonly Part[]): number {
  const end = parts.indexOf('end')
  return end < 0 ? parts.length : end
}
