/** Classic BPF, in rows. Source: include/uapi/linux/filter.h, include/uapi/linux/bpf_common.h. */

/** BPF_LD | size | BPF_ABS, BPF_JMP | condition | BPF_K, BPF_RET | BPF_K. Loads swap to host order by themselves. */
const operations = { word: 0x20, half: 0x28, byte: 0x30, equal: 0x15, anyBit: 0x45, answer: 0x06 } as const

/** Which row is next: the one after, so many after that one, or one of the two that end it. */
type Next = 'next' | number | 'accept' | 'drop'

/** Loads have an offset, conditions have a value and two ways to go on. */
export type Row =
  | readonly ['word' | 'half' | 'byte', number]
  | readonly ['equal' | 'anyBit', number, { readonly yes: Next; readonly no: Next }]

/** Offsets beyond the frame, SKF_AD_OFF and more: what the kernel knows of it. */
export const beside = { vlanTag: 0xfffff000 + 44, hasVlanTag: 0xfffff000 + 48 } as const

/**
 * An array of struct sock_filter. What runs past the last row is dropped, and so is a frame that ends before an offset.
 */
export function compileFilter(rows: readonly Row[]): Uint8Array {
  const ends = { drop: rows.length, accept: rows.length + 1 }
  const bytes = Buffer.alloc(8 * (rows.length + 2))
  const put = (at: number, name: keyof typeof operations, value: number, yes = 0, no = 0): void => {
    bytes.writeUInt16LE(operations[name], 8 * at)
    bytes.writeUInt8(yes, 8 * at + 2)
    bytes.writeUInt8(no, 8 * at + 3)
    bytes.writeUInt32LE(value, 8 * at + 4)
  }
  for (const [at, [name, value, ways]] of rows.entries()) {
    const skip = (to: Next): number => {
      if (to === 'next') return 0
      return typeof to === 'number' ? to : ends[to] - at - 1
    }
    if (ways) put(at, name, value, skip(ways.yes), skip(ways.no))
    else put(at, name, value)
  }
  put(ends.drop, 'answer', 0)
  put(ends.accept, 'answer', 0xffff)
  return bytes
}
