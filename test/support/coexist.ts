/** What is tried beside other firewalls: what must work, what must not, and a stream of questions for both. */
import type { Host } from './lab.ts'
import { closed, netOf, pings, sees } from './reach.ts'
import { together, type Rows } from './scene.ts'
import type { streams } from './streams.ts'

const pair = '--subnet 10.30.0.0/24 --ipv6 --subnet fd00:30::/64'
const named = '-o com.docker.network.bridge.name=lan0'

export interface Town {
  readonly open: Rows
  readonly closed: Rows
  ways(server: Host, client: Host): Parameters<typeof streams>[0]
}

/** Asks the closed ways again and again until the work is done. */
export async function closedDuring<T>(work: Promise<T>, { closed: shut }: Town): Promise<T> {
  const working = { over: false }
  const end = work.finally(() => {
    working.over = true
  })
  // A failure of the work is told after the questions.
  end.catch(() => undefined)
  do await together('meanwhile', shut)
  while (!working.over)
  return end
}

/** A network, one with a bridge of a chosen name, an internal one, one without icc, and the engine's own. */
export async function town(server: Host, client: Host): Promise<Town> {
  await server.docker(`network create -d weft-bridge ${pair} one`)
  await server.docker(`network create -d weft-bridge ${named} --subnet 10.31.0.0/24 two`)
  await server.docker('network create -d weft-bridge --internal --subnet 10.32.0.0/24 hidden')
  await server.docker(
    'network create -d weft-bridge -o com.docker.network.bridge.enable_icc=false --subnet 10.33.0.0/24 shy',
  )
  await Promise.all([
    server.docker('run -d --name one --network one --ip 10.30.0.9 --ip6 fd00:30::9 -p 8080:80 probe'),
    server.docker('run -d --name one-b --network one --ip 10.30.0.10 --ip6 fd00:30::10 probe'),
    server.docker('run -d --name two --network two --ip 10.31.0.9 -p 127.0.0.1:8082:80 probe'),
    server.docker('run -d --name two-b --network two --ip 10.31.0.10 probe'),
    server.docker('run -d --name hidden --network hidden --ip 10.32.0.9 probe'),
    server.docker('run -d --name shy --network shy --ip 10.33.0.9 probe'),
    server.docker('run -d --name shy-b --network shy --ip 10.33.0.10 probe'),
  ])
  for (const pool of ['10.30.0.0/24', '10.31.0.0/24']) {
    await client.run(['ip', 'route', 'replace', pool, 'via', server.ip4])
  }
  const [one, two, hidden, shy] = [
    await netOf(server, 'one'),
    await netOf(server, 'two'),
    await netOf(server, 'hidden'),
    await netOf(server, 'shy'),
  ]
  await hidden.run('ip route replace default via 10.32.0.1')
  return {
    open: {
      neighbours: sees(one, '10.30.0.10', '10.30.0.9'),
      'neighbours, v6': sees(one, 'fd00:30::10', 'fd00:30::9'),
      'neighbours on lan0': sees(two, '10.31.0.10', '10.31.0.9'),
      out: () => pings(one, client.ip4),
      'out, v6': () => pings(one, client.ip6),
      'out of lan0': () => pings(two, client.ip4),
      'out, without icc': () => pings(shy, client.ip4),
      published: sees(client, server.ip4, client.ip4, { port: 8080 }),
      'published, v6': sees(client, server.ip6, client.ip6, { port: 8080 }),
      'published, for two': sees(two, server.ip4, '10.31.0.9', { port: 8080 }),
      'published on 127.0.0.1': sees(server, '127.0.0.1', '10.31.0.1', { port: 8082 }),
    },
    closed: {
      'one to two': () => closed(one, '10.31.0.9'),
      'hidden to one': () => closed(hidden, '10.30.0.9'),
      'hidden to the LAN': () => closed(hidden, client.ip4),
      'no icc': () => closed(shy, '10.33.0.10'),
      'the LAN to one': () => closed(client, '10.30.0.9'),
      "two's port on 127.0.0.1 from the LAN": () => closed(client, server.ip4, { port: 8082 }),
    },
    ways: (host, outside) => ({
      closed: {
        'one to two': { host, container: 'one', address: '10.31.0.9' },
        'hidden to the LAN': { host, container: 'hidden', address: outside.ip4 },
        'no icc': { host, container: 'shy', address: '10.33.0.10' },
        'the LAN to one': { host: outside, address: '10.30.0.9' },
      },
      open: {
        out: { host, container: 'one', address: outside.ip4 },
        neighbours: { host, container: 'one', address: '10.30.0.10' },
      },
    }),
  }
}
