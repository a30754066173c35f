/** Sockets that wait for others: which ports of a namespace are taken. Source: include/uapi/linux/inet_diag.h. */
import { attrs, be16, bool8, fixedBytes, message, struct, u32, u8, type Infer } from '../netlink/codec.ts'
import { NetlinkSocket, protocols, type Entry } from '../netlink/socket.ts'
import { ipFromBytes, type Ip } from '../value/ip.ts'

export interface Listener {
  readonly protocol: 'tcp' | 'udp'
  /** `0.0.0.0` and `::` are every address. */
  readonly address: Ip
  readonly port: number
  /** Without it, a listener on `::` has the port of IPv4 too. Always false for IPv4. */
  readonly v6Only: boolean
}

const AF_INET = 2
const AF_INET6 = 10
/** IP protocol, and the state of a socket that waits: TCP_LISTEN; a UDP socket without peer is TCP_CLOSE. */
const kinds = [
  { protocol: 'tcp', number: 6, states: 1 << 10 },
  { protocol: 'udp', number: 17, states: 1 << 7 },
] as const

const question = message({
  name: 'sock_diag',
  type: 20,
  header: struct(56, { family: [0, u8], protocol: [1, u8], states: [4, u32] }),
  attrs: attrs({}),
})
const answer = message({
  name: 'sock_diag',
  type: 20,
  header: struct(72, { family: [0, u8], state: [1, u8], port: [4, be16], address: [8, fixedBytes(16)] }),
  attrs: attrs({ v6Only: [11, bool8] }),
})

/** In the namespace of the calling thread at the time of the call. */
export async function listeners(): Promise<readonly Listener[]> {
  await using socket = new NetlinkSocket(protocols.sockDiag)
  const found: Listener[] = []
  for (const family of [AF_INET, AF_INET6]) {
    for (const { protocol, number, states } of kinds) {
      const about = { op: 'list', object: `${protocol} listeners`, reply: answer }
      const sockets = await socket.dump(question, { family, protocol: number, states }, {}, about)
      for (const each of sockets) found.push({ protocol, ...listenerOf(each) })
    }
  }
  return found
}

type Answer = Entry<Infer<typeof answer.header>, Infer<typeof answer.attrs>>
function listenerOf({ header, attrs: more }: Answer): Omit<Listener, 'protocol'> {
  const bytes = header.family === AF_INET ? header.address.subarray(0, 4) : header.address
  return { address: ipFromBytes(bytes), port: header.port, v6Only: more.v6Only ?? false }
}
