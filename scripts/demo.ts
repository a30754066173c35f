/**
 * The demo: a private engine and weftd on two hosts made of namespaces; the machine's own engine and network are not
 * touched. Every answer that is shown is also checked, so that a demo which ends well has proved something.
 */
import { parseArgs } from 'node:util'
import { endKept, type Host, inside, lab, type Lab, udp } from '../test/support/lab.ts'
import { engineNamed } from './engines.ts'

const usage = `usage: scripts/demo [--engine VERSION] [--keep | --stop]
  --engine VERSION  Docker Engine to use: 20.10 (default), 26.1 or 28.5
  --keep            leave everything running, and tell how to enter
  --stop            end what --keep left running`

const started = performance.now()
let interrupted = false

function say(line: string): void {
  console.log(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${line}`)
}

/** Runs a command in a host, shows both, and checks the answer. */
async function show(host: Host, command: string, expected?: RegExp): Promise<string> {
  const answer = await host.run(command)
  say(`${host.name}# ${command}`)
  for (const line of answer.split('\n')) if (line !== '') console.log(`            ${line}`)
  if (expected && !expected.test(answer)) throw new Error(`expected ${String(expected)}, got: ${answer}`)
  return answer
}

async function story(net: Lab<2>): Promise<void> {
  const [server, other] = net.hosts
  for (const { name, ip4, ip6 } of net.hosts) say(`host ${name} is up: ${ip4}, ${ip6}`)
  await server.startWeft()
  say('weftd is ready')
  await server.startEngine()
  await server.image()
  say(`engine ${await server.docker('version -f {{.Server.Version}}')} is ready, with a test image "probe"`)

  const create = 'docker network create --driver weft-bridge --ipam-driver weft-ipam --ipv6 web'
  await show(server, create, /^[0-9a-f]{64}$/)
  await show(server, 'docker run -d --name www --network web -p 8080:80 -p 8080:80/udp probe')
  await show(server, 'docker run -d --name shell --network web probe')
  say('-- containers reach each other by name, by v4 and by v6')
  await show(server, 'docker exec shell ping -c 1 -W 2 www', / 0% packet loss/)
  await show(server, `docker exec shell ping -c 1 -W 2 ${await server.addressOf('www', 'web')}`, / 0% packet loss/)
  const v6 = await server.addressOf('www', 'web', { family: 6 })
  await show(server, `docker exec shell ping -c 1 -W 2 ${v6}`, / 0% packet loss/)
  say(`-- a published port, fetched from ${other.name}: the container sees the real client`)
  await show(other, `curl -sS -m 5 http://${server.ip4}:8080/`, / client 192\.0\.2\.12$/)
  await show(other, `curl -sS -m 5 http://[${server.ip6}]:8080/`, / client fd00:2::12$/)
  const datagram = await udp(other, server.ip4, 8080)
  if (!datagram.includes(`client ${other.ip4} `)) throw new Error(`by UDP the container saw: ${datagram}`)
  say(`${other.name}: by UDP: ${datagram}`)
  say('-- containers reach the outside')
  await show(server, `docker exec shell ping -c 1 -W 2 ${other.ip4}`, / 0% packet loss/)
  await survive(server, other)
  say('-- what weft keeps, and whether the kernel agrees')
  await show(server, `${net.checkout}/bin/weft status`, /ready +yes/)
  await show(server, `${net.checkout}/bin/weft ports`, /8080/)
  await show(server, `${net.checkout}/bin/weft diff`)
}

/** Kills weftd with SIGKILL under traffic, starts it again, and counts what was lost. */
async function survive(server: Host, other: Host): Promise<void> {
  say('-- weftd is killed with SIGKILL under traffic, and started again')
  const count = 60
  const pings = inside(server, 'shell').run(`ping -q -i 0.05 -c ${count} -W 2 www`)
  const fetches = other.sh(
    `lost=0; for i in $(seq ${count}); do
       curl -sSf -m 2 -o /dev/null http://${server.ip4}:8080/ || lost=$((lost + 1)); sleep 0.03
     done; echo $lost`,
  )
  const weftd = server.weftd
  if (!weftd) throw new Error('weftd ended by itself')
  weftd.kill('SIGKILL')
  await weftd.exited
  say('weftd is dead')
  await server.run('sleep 1')
  await server.startWeft()
  say('weftd is back')
  const lostPings = count - Number(/(\d+) received/.exec(await pings)?.[1])
  const lostFetches = Number(await fetches)
  say(`lost: ${lostPings} of ${count} pings, ${lostFetches} of ${count} new connections to the published port`)
  if (lostPings + lostFetches > 0) throw new Error('the end of weftd was to be without loss')
}

async function cleanUp({ hosts: [server] }: Lab<2>): Promise<void> {
  say('-- cleaning up')
  await show(server, 'docker rm -f www shell')
  await show(server, 'docker network rm web')
  await show(server, 'ip -br link')
}

function explainKept(net: Lab<2>): void {
  say('everything is left running. To enter a host:')
  for (const host of net.hosts) console.log(`            ${host.name}: ${host.enterCommand}`)
  console.log(
    `            inside h1: docker ps; ${net.checkout}/bin/weft status; logs of the daemons: ${net.directory}`,
  )
  console.log('            to end it: scripts/demo --stop')
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      engine: { type: 'string', default: '20.10' },
      keep: { type: 'boolean', default: false },
      stop: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    console.log(usage)
    return 0
  }
  if (values.stop) {
    const ended = await endKept()
    console.log(ended.length === 0 ? 'no kept demo is running' : `ended: ${ended.join(', ')}`)
    return 0
  }
  const engine = engineNamed(values.engine)
  say(`weft on Docker Engine ${engine}; two hosts in namespaces, the machine's own network is not touched`)
  const net = await lab({ hosts: 2, engine, keep: values.keep, report: say })
  process.once('SIGINT', () => {
    interrupted = true
    say('interrupted: ending the hosts')
    void Promise.resolve(net[Symbol.asyncDispose]()).finally(() => process.exit(130))
  })
  try {
    await story(net)
    if (values.keep) {
      explainKept(net)
      return 0
    }
    await cleanUp(net)
  } catch (cause) {
    // What was running is being ended; so is this process.
    if (interrupted) return new Promise(() => undefined)
    const log = net.hosts[0].weftd?.log().trimEnd().split('\n').slice(-20).join('\n')
    if (log) console.error(`weftd's last words:\n${log}`)
    await net[Symbol.asyncDispose]()
    throw cause
  }
  await net[Symbol.asyncDispose]()
  say('hosts, links, rules, processes: all gone. The demo is over, and everything went well')
  return 0
}

try {
  // Daemons that are kept would hold this process, too: leave by the front door.
  process.exit(await main())
} catch (cause) {
  console.error(`demo: ${cause instanceof Error ? cause.message : String(cause)}`)
  process.exit(1)
}
