/**
 * Which offsets of a window are taken. Pages of 32,768 bits come into being with their first bit and go with their last,
 * and full pages are passed over by their count: a full window of 2^24 costs 2 MB, and finding its only hole about a
 * tenth of a millisecond; a window of 2^53 costs what is taken in it.
 */
const pageSize = 32_768
/** Offsets are plain numbers. Room for every IPv4 pool; larger pools hand out addresses from a window of this size. */
export const maxWindow = 2 ** 53

interface Page {
  readonly words: Uint32Array
  readonly size: number
  taken: number
}

export class Bitmap {
  readonly size: number
  readonly #pages = new Map<number, Page>()
  #taken = 0
  #cursor = 0
  /** The page that was looked up last: neighbours follow each other. */
  #near: Page | undefined
  #nearIndex = -1
  /** All zeros, of a page that went: where one address comes and goes, so does its page. */
  #spare: Uint32Array | undefined

  constructor(size: number) {
    if (!Number.isInteger(size) || size < 1 || size > maxWindow) throw new RangeError(`no window of ${size} offsets`)
    this.size = size
  }

  get taken(): number {
    return this.#taken
  }

  has(offset: number): boolean {
    this.#check(offset)
    const page = this.#pageAt(Math.floor(offset / pageSize))
    return page !== undefined && (wordAt(page, offset) & bitOf(offset)) !== 0
  }

  /** False when it was taken already. */
  set(offset: number): boolean {
    this.#check(offset)
    const index = Math.floor(offset / pageSize)
    const page = this.#pageAt(index) ?? this.#addPage(index)
    const word = wordAt(page, offset)
    if ((word & bitOf(offset)) !== 0) return false
    page.words[(offset % pageSize) >>> 5] = word | bitOf(offset)
    page.taken += 1
    this.#taken += 1
    return true
  }

  /** False when it was free already. */
  clear(offset: number): boolean {
    this.#check(offset)
    const index = Math.floor(offset / pageSize)
    const page = this.#pageAt(index)
    if (!page) return false
    const word = wordAt(page, offset)
    if ((word & bitOf(offset)) === 0) return false
    page.words[(offset % pageSize) >>> 5] = word ^ bitOf(offset)
    page.taken -= 1
    this.#taken -= 1
    if (page.taken === 0) this.#dropPage(index, page)
    return true
  }

  /** Lowest free offset from `from` up to, but not including, `to`. */
  firstFree(from = 0, to = this.size): number | undefined {
    if (this.#taken === this.size) return undefined
    for (let offset = from; offset < to;) {
      const index = Math.floor(offset / pageSize)
      const page = this.#pageAt(index)
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

  #pageAt(index: number): Page | undefined {
    if (index !== this.#nearIndex) {
      this.#near = this.#pages.get(index)
      this.#nearIndex = index
    }
    return this.#near
  }

  #addPage(index: number): Page {
    const size = Math.min(pageSize, this.size - index * pageSize)
    const length = Math.ceil(size / 32)
    const words = this.#spare?.length === length ? this.#spare : new Uint32Array(length)
    if (words === this.#spare) this.#spare = undefined
    const page = { words, size, taken: 0 }
    this.#pages.set(index, page)
    this.#near = page
    this.#nearIndex = index
    return page
  }

  #dropPage(index: number, { words }: Page): void {
    this.#spare = words
    this.#pages.delete(index)
    this.#near = undefined
    this.#nearIndex = index
  }

  #check(offset: number): void {
    if (!(offset >= 0 && offset < this.size)) throw new RangeError(`offset ${offset} is not below ${this.size}`)
  }
}

function wordAt(page: Page, offset: number): number {
  return page.words[(offset % pageSize) >>> 5] ?? 0
}

function bitOf(offset: number): number {
  return 1 << (offset & 31)
}

/** Lowest free bit of a page from `from` on. Bits beyond the end of a short last page do not count. */
function firstZero(page: Page, from: number): number | undefined {
  let ignored = bitOf(from) - 1
  for (let word = from >>> 5; word < page.words.length; word += 1) {
    const free = ~((page.words[word] ?? 0) | ignored)
    ignored = 0
    if (free === 0) continue
    const bit = word * 32 + 31 - Math.clz32(free & -free)
    return bit < page.size ? bit : undefined
  }
  return undefined
}
