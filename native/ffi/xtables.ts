/**
 * What the kernel holds in the `filter` tables of the old iptables, read with two system calls and no program. Of the
 * network namespace in which it is opened; needs CAP_NET_ADMIN.
 * Source: include/uapi/linux/netfilter_ipv4/ip_tables.h, netfilter_ipv6/ip6_tables.h.
 */
import koffi from 'koffi'
import { errnoText, AF_INET, AF_INET6, close, SOCK_RAW, socket } from './libc.ts'
import { SystemError } from './errno.ts'

const getsockopt = koffi
  .load(null)
  .func('int getsockopt(int, int, int, _Inout_ uint8_t *, _Inout_ uint32_t *)') as GetSockOpt
type GetSockOpt = (fd: number, level: number, option: number, value: Uint8Array, length: Uint32Array) => number

const IPPROTO_RAW = 255
/** IPT_SO_GET_INFO and IPT_SO_GET_ENTRIES, the same numbers for both families. */
const getInfo = 64
const getEntries = 65
/** Struct ipt_getinfo; struct ipt_get_entries before its entries. */
const infoLength = 84
const sizeAt = 80
const entriesAt = 40

/** Level, and within struct ipt_entry or ip6t_entry: offset to the next one, and the two counters. */
const layouts = {
  ip: { domain: AF_INET, level: 0, nextAt: 90, countersAt: 96 },
  ip6: { domain: AF_INET6, level: 41, nextAt: 142, countersAt: 152 },
} as const
export type XtablesFamily = keyof typeof layouts

/**
 * The bytes of a table without its counters: equal as long as nobody changes it. Asking for a table that is not in use
 * would make it: look into /proc/net/ip_tables_names before. Undefined: it was changed between the two calls.
 */
export function readOldTable(family: XtablesFamily, table: string): Uint8Array | undefined {
  const { domain, level, nextAt, countersAt } = layouts[family]
  const fd = socket(domain, SOCK_RAW, IPPROTO_RAW)
  try {
    const info = named(table, infoLength)
    ask(fd, level, getInfo, info)
    const size = info.readUInt32LE(sizeAt)
    const answer = named(table, entriesAt + size)
    answer.writeUInt32LE(size, 32)
    ask(fd, level, getEntries, answer)
    const entries = answer.subarray(entriesAt)
    for (let at = 0; at + countersAt + 16 <= size;) {
      entries.fill(0, at + countersAt, at + countersAt + 16)
      const next = entries.readUInt16LE(at + nextAt)
      if (next === 0) break
      at += next
    }
    return entries
  } catch (error) {
    if (error instanceof SystemError && error.code === 'EAGAIN') return undefined
    throw error
  } finally {
    close(fd)
  }
}

function named(table: string, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  bytes.write(table)
  return bytes
}

function ask(fd: number, level: number, option: number, value: Uint8Array): void {
  const length = new Uint32Array([value.length])
  if (getsockopt(fd, level, option, value, length) < 0) {
    const errno = koffi.errno()
    throw new SystemError('getsockopt', errno, errnoText(errno))
  }
}
