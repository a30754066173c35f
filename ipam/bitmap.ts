/**
 * Which offsets of a window are taken. Pages of 32,768 bits come into being with their first bit, and full pages are
 * passed over by their count: a full window of 2^24 costs 2 MB, and finding its only hole about a tenth of a millisecond.
 */
const pageSize = 32_768
/** Room for an IPv4 /8; larger pools hand out addresses from a window of this size. */
export const maxWindow = 2 ** 24

interface Page {
  readonly words: Uint32Array
  readonly size: number
  taken: number
}

export class Bitmap {
  readonly size: number
  readonly #pages: (Page | undefined)[]
  #taken = 0
  #cursor = 0

  constructor(size: number) {
    if (!Number.isInteger(size) || size < 1 || size > maxWindow) throw new RangeError(`no window of ${size} offsets`)
    this.size = size
    this.#pages = Array<Page | undefined>(Math.ceil(size / pageSize)).fill(undefined)
  }

  get taken(): number {
    return this.#taken
  }

  has(offset: number): boolean {
    this.#check(offset)
    const words = this.#pages[Math.floor(offset / pageSize)]?.words
    return words !== undefined && ((words[(offset % pageSize) >>> 5] ?? 0) & (1 << (offset & 31))) !== 0
  }

  /** False when it was taken already. */
  set(offset: number): boolean {
    if (this.has(offset)) return false
    this.#flip(this.#page(Math.floor(offset / pageSize)), offset, 1)
    return true
  }

  /** False when it was free already. */
  clear(offset: number): boolean {
    if (!this.has(offset)) return false
    this.#flip(this.#page(Math.floor(offset / pageSize)), offset, -1)
    return true
  }

  /** Lowest free offset from `from` up to, but not including, `to`. */
  firstFree(from = 0, to = this.size): number | undefined {
    if (this.#taken === this.size) return undefined
    for (let offset = from; offset < to;) {
      const index = Math.floor(offset / pageSize)
      const page = this.#pages[index]
      if (!page) return offset
      const free = page.taken < page.size ? firstZero(page, offset % pageSize) : undefined
      if (free !== undefined) return index * pageSize + free < to ? index * pageSize + free : undefined
      offset = (index + 1) * pageSize
    }
    return undefined
  }

  /** The free offset after the one found last, from the start again at the end: a released one rests for a while. */
  nextFree(): number | undefined {
    const found = this.firstFree(this.#cursor) ?? this.firstFree(0, this.#cursor)
    if (found !== undefined) this.resumeAfter(found)
    return found
  }

  /** `nextFree` goes on behind this offset. */
  resumeAfter(offset: number): void {
    this.#check(offset)
    this.#cursor = offset + 1 === this.size ? 0 : offset + 1
  }

  #page(index: number): Page {
    const size = Math.min(pageSize, this.size - index * pageSize)
    return (this.#pages[index] ??= { words: new Uint32Array(Math.ceil(size / 32)), size, taken: 0 })
  }

  #flip(page: Page, offset: number, by: 1 | -1): void {
    const word = (offset % pageSize) >>> 5
    page.words[word] = (page.words[word] ?? 0) ^ (1 << (offset & 31))
    page.taken += by
    this.#taken += by
  }

  #check(offset: number): void {
    if (!(offset >= 0 && offset < this.size)) throw new RangeError(`offset ${offset} is not below ${this.size}`)
  }
}

/** Lowest free bit of a page from `from` on. Bits beyond the end of a short last page do not count. */
function firstZero(page: Page, from: number): number | undefined {
  let ignored = 2 ** (from & 31) - 1
  for (let word = from >>> 5; word < page.words.length; word += 1) {
    const free = ~((page.words[word] ?? 0) | ignored)
    ignored = 0
    if (free === 0) continue
    const bit = word * 32 + 31 - Math.clz32(free & -free)
    return bit < page.size ? bit : undefined
  }
  return undefined
}
