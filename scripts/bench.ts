/** `scripts/bench`: chooses one of the benches, and prints what it found. */
import { parseArgs } from 'node:util'
import { bridge, partNames, type Part } from './benches/bridge.ts'
import { endpoints } from './benches/endpoints.ts'
import { asJson, asTable } from './benches/figures.ts'
import { ipam } from './benches/ipam.ts'
import { macvlan } from './benches/macvlan.ts'
import { restart } from './benches/restart.ts'
import { run } from './benches/run.ts'
import { engineNamed } from './engines.ts'

const usage = `usage: scripts/bench endpoints|run|restart|bridge|macvlan|ipam [OPTION...]
endpoints: weftd without an engine, called over its sockets on the real kernel
  --singles N       endpoints that are made and removed one after the other (default 200)
  --many N          endpoints that exist at once (default 1000)
  --profile DIR     write a profile of weftd's processor time to DIR
run: docker run -d and docker rm -f, on a network of weft and on one of the engine's own bridge driver
  --pairs N         containers on each of the two networks (default 100)
restart: from the start of weftd until its sockets answer, and its memory
  --starts N        starts of each sort (default 10)
  --many N          endpoints that exist at once (default 1000)
ipam: the allocator in memory, and weftd asked for addresses over its socket by many at once
  --many N          addresses in each of five rounds over the socket (default 20000)
bridge: weft-bridge beside the engine's own bridge driver, in turn; 15 minutes
  --only PART       throughput, connections, start, latency or memory; may be given again
  --seconds N       length of a slice of traffic (default 1)
  --pairs N         slices of each, and half of the containers that are started on each (default 20)
macvlan: weft-macvlan beside the engine's own macvlan driver, in turn, on one parent; 3 minutes
  --seconds N       length of a slice of traffic (default 1)
  --pairs N         slices of each, and half of the containers that are started on each (default 20)
run, bridge and macvlan:
  --engine VERSION  Docker Engine to use: 20.10, 26.1 or 28.5 (default 28.5)
run and restart:
  --publish         each container or endpoint has a published port
all of them:
  --json            print JSON instead of a table`

const started = performance.now()

/** Progress goes to stderr: stdout holds the result alone. */
function report(line: string): void {
  console.error(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${line}`)
}

function count(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name}: expected a number from 1 on, got ${text}`)
  return value
}

function partNamed(text: string): Part {
  const part = partNames.find(name => name === text)
  if (!part) throw new Error(`--only: expected one of ${partNames.join(', ')}, got ${text}`)
  return part
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      singles: { type: 'string', default: '200' },
      many: { type: 'string' },
      engine: { type: 'string', default: '28.5' },
      pairs: { type: 'string' },
      only: { type: 'string', multiple: true, default: [...partNames] },
      seconds: { type: 'string', default: '1' },
      publish: { type: 'boolean', default: false },
      starts: { type: 'string', default: '10' },
      profile: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const singles = count('singles', values.singles)
  const many = (usual: number): number => (values.many === undefined ? usual : count('many', values.many))
  const pairs = (usual: number): number => (values.pairs === undefined ? usual : count('pairs', values.pairs))
  const [starts, seconds] = [count('starts', values.starts), count('seconds', values.seconds)]
  const [engine, only] = [engineNamed(values.engine), values.only.map(partNamed)]
  const benches = {
    endpoints: () => endpoints({ singles, many: many(1000), profile: values.profile, report }),
    run: () => run({ engine, pairs: pairs(100), publish: values.publish, report }),
    bridge: () => bridge({ engine, only, seconds, pairs: pairs(20), report }),
    macvlan: () => macvlan({ engine, seconds, pairs: pairs(20), report }),
    ipam: () => ipam({ many: many(20_000), report }),
    restart: () => restart({ starts, many: many(1000), publish: values.publish, report }),
  }
  const [name = ''] = positionals
  const bench = Object.entries(benches).find(([known]) => known === name)?.[1]
  if (!bench || values.help) {
    console.log(usage)
    return values.help ? 0 : 2
  }
  const [about, figures] = await bench()
  console.log(values.json ? asJson(about, figures) : asTable(about, figures))
  return 0
}

try {
  process.exit(await main())
} catch (cause) {
  console.error(`bench: ${cause instanceof Error ? cause.message : String(cause)}`)
  process.exit(2)
}
