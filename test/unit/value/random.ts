/** Numbers that look random and come again with the same seed. A failing property test prints its seed. */
export const seed = Number(process.env['WEFT_TEST_SEED'] ?? Date.now() % 1_000_000)

/** Mulberry32: 32 bits a call. */
export function randomFrom(start: number): () => number {
  let state = start >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}
