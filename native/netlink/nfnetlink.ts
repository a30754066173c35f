/** The messages of netfilter's subsystems. Source: include/uapi/linux/netfilter/nfnetlink.h. */
import { be16, message, struct, u8, type AttrTable, type Infer, type Message } from './codec.ts'

export const nfgenmsg = struct(4, { family: [0, u8], version: [1, u8], resource: [2, be16] })
export type Nfgenmsg = Infer<typeof nfgenmsg>

/** Numbers of a message and of its reply within a subsystem. */
export type Numbered = <A>(name: string, number: number, table: AttrTable<A>, reply?: number) => Message<Nfgenmsg, A>

/** NFNL_SUBSYS_*: the upper byte of a type. */
export function messagesOf(subsystem: number): Numbered {
  const type = (number: number): number => (subsystem << 8) | number
  return (name, number, table, reply) =>
    message({
      name,
      type: type(number),
      header: nfgenmsg,
      attrs: table,
      ...(reply !== undefined && { reply: type(reply) }),
    })
}
