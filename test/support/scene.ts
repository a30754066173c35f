/**
 * What most lab tests of the bridge driver begin and end with: hosts with engine, weftd and the test image; and in the
 * end the proof that nothing of it is left and that `weft diff` agrees.
 *
 *   await using scene = await open({ engine })
 *   const { server, client } = scene
 *   ...
 *   await scene.asBefore()
 */
import type { Engine } from '../../scripts/engines.ts'
import { engineNamed } from '../../scripts/engines.ts'
import { difference, eventually, lab, type Host, type Lab, type Snapshot } from './lab.ts'

/**
 * Run in a test file: `$WEFT_LAB_ENGINE` alone; with `scripts/test --full` all of them; otherwise `usual`, by default the
 * oldest and the newest.
 */
export function engines(...usual: readonly Engine[]): readonly Engine[] {
  const one = process.env['WEFT_LAB_ENGINE']
  if (one) return [engineNamed(one)]
  if (process.env['WEFT_TEST_FULL']) return ['20.10', '26.1', '28.5']
  return usual.length > 0 ? usual : ['20.10', '28.5']
}

/** Does it have what came with engine 28: --ipv4=false, --ipv6 without a subnet? */
export function isNew(engine: Engine): boolean {
  return Number(engine.split('.')[0]) >= 28
}

export interface Comparison {
  /** The engine is restarted, and writes its rules in another order then. */
  readonly anyOrder?: boolean
  /** Lines that may come and go. */
  readonly except?: RegExp
}

export interface SceneOptions extends Comparison {
  readonly engine: Engine
  /** Only the first has engine and weftd. Default 2. */
  readonly hosts?: 1 | 2
  readonly engineFlags?: string
  readonly weftFlags?: string
  /** net.ipv4.ip_forward before anything starts. */
  readonly forward?: 0 | 1
  /** In the server, before engine and weftd start. */
  readonly prepare?: string
  /** In the server, before the first snapshot: what leaves traces for ever when it is done the first time. */
  readonly warm?: string
}

export interface Scene extends AsyncDisposable {
  readonly net: Lab<1 | 2>
  readonly server: Host
  /** The second host; without one, the place outside (192.0.2.1). */
  readonly client: Host
  readonly before: Snapshot
  /** Removes all containers and networks, and compares with the beginning. */
  readonly asBefore: () => Promise<void>
  /** Ends the engine and starts it again as it was. Default: TERM. */
  readonly restartEngine: (signal?: NodeJS.Signals) => Promise<void>
  readonly restartWeft: (signal?: NodeJS.Signals) => Promise<void>
}

/** IPv6 forwarding and what comes with it stay on when bridges of others have IPv6 addresses: README says so. */
export const forwarding6 = /ipv6\.conf\.\S+\.forwarding = |^anycast fd00:/

/** The engine puts its jump to DOCKER-USER in anew with each network, and twice when two are made at once. */
export const engineJumps = /(jump|-j) DOCKER-USER$/

export async function open(options: SceneOptions): Promise<Scene> {
  const { engine, hosts = 2, engineFlags = '', weftFlags = '', forward = 0, prepare, warm = '' } = options
  const net: Lab<1 | 2> = await lab({ hosts, engine, forward })
  try {
    const server = net.hosts[0]
    const client = net.hosts[1] ?? net.underlay.outside
    if (prepare !== undefined) await server.sh(prepare)
    await Promise.all([server.startWeft({ flags: weftFlags }), server.startEngine({ flags: engineFlags })])
    await server.image()
    // The first published port of engine 28 makes a raw table that stays, empty.
    await server.docker('run --rm -p 65000:80 probe true')
    await server.sh(warm, { env: { DOCKER_HOST: 'unix:///run/docker.sock' } })
    const before = await server.snapshot()
    return {
      net,
      server,
      client,
      before,
      async restartEngine(signal = 'SIGTERM') {
        server.engine?.kill(signal)
        await server.engine?.exited
        await server.startEngine({ flags: engineFlags })
      },
      async restartWeft(signal = 'SIGTERM') {
        server.weftd?.kill(signal)
        await server.weftd?.exited
        await server.startWeft({ flags: weftFlags })
      },
      asBefore: () => asBefore(server, before, options),
      [Symbol.asyncDispose]: () => net[Symbol.asyncDispose](),
    }
  } catch (cause) {
    await net[Symbol.asyncDispose]()
    throw cause
  }
}

export interface SharedScene {
  /** Opens the scene if there is none, does the work in it, and compares in the end. A failure ends the scene. */
  play(work: (scene: Scene) => Promise<void>): Promise<void>
  end(): Promise<void>
}

/**
 * One scene for several tests, one after the other: it costs more than most of them. The last test of a group ends it.
 *
 *   const scene = shared({ engine })
 *   test('...', () => scene.play(async ({ server }) => { ... }))
 *   test('...: the lab ends', () => scene.end())
 */
export function shared(options: SceneOptions): SharedScene {
  let scene: Scene | undefined
  const end = async (): Promise<void> => {
    const ending = scene
    scene = undefined
    await ending?.[Symbol.asyncDispose]()
  }
  return {
    end,
    async play(work) {
      scene ??= await open(options)
      try {
        await work(scene)
        await scene.asBefore()
      } catch (cause) {
        await end()
        throw cause
      }
    },
  }
}

/** Removes all containers and networks; the addresses are free, and the kernel is as it was. */
export async function asBefore(host: Host, before: Snapshot, comparison: Comparison = {}): Promise<void> {
  await removeAll(host)
  await unchanged(host, before, comparison)
}

export async function removeAll(host: Host): Promise<void> {
  const containers = await host.docker('ps -aq')
  if (containers !== '') await host.docker(['rm', '-f', ...containers.split('\n')])
  const networks = await host.docker('network ls -q --filter type=custom')
  if (networks !== '') await host.docker(['network', 'rm', ...networks.split('\n')])
}

/** Links are removed after the answer, so it may take a moment. */
export async function unchanged(host: Host, before: Snapshot, comparison: Comparison = {}): Promise<void> {
  const wished = without(before, comparison)
  await eventually(
    `${host.name} is as before`,
    async () => {
      const left = difference(wished, without(await host.snapshot(), comparison))
      if (left !== '') throw new Error(left)
      return true
    },
    { timeoutMs: 20_000, pauseMs: 200 },
  )
  await agrees(host)
}

/** What `weft diff` asks for. */
export async function agrees(host: Host): Promise<void> {
  const check = async (): Promise<boolean> => {
    const { status, body } = await host.admin('/v1/diff')
    if (status !== 200 || body !== '[]') throw new Error(`${status} ${body}`)
    return true
  }
  await eventually('kernel and records agree', check, { timeoutMs: 20_000, pauseMs: 250 })
}

function without(snapshot: Snapshot, { anyOrder, except }: Comparison): Snapshot {
  const kept = Object.entries(snapshot).map(([section, lines]) => {
    const those = lines.filter(line => !(except?.test(line) ?? false))
    return [section, anyOrder ? those.toSorted() : those]
  })
  return Object.fromEntries(kept) as Snapshot
}

export type Rows = Readonly<Record<string, () => unknown>>

/** Runs every row, and fails in the end with all that failed: one broken row does not hide the others. */
export async function rows(table: Rows, circumstances = ''): Promise<void> {
  const failed: string[] = []
  for (const [name, row] of Object.entries(table)) {
    const complaint = await complaintOf(row)
    if (complaint !== undefined) failed.push(`${name}: ${complaint}`)
  }
  refuse(failed, circumstances)
}

/** The same, all rows at once: for what takes its time because it is to fail. */
export async function together(circumstances: string, table: Rows): Promise<void> {
  const complaints = await Promise.all(
    Object.entries(table).map(async ([name, row]) => ({ name, complaint: await complaintOf(row) })),
  )
  refuse(
    complaints.flatMap(({ name, complaint }) => (complaint === undefined ? [] : [`${name}: ${complaint}`])),
    circumstances,
  )
}

async function complaintOf(row: () => unknown): Promise<string | undefined> {
  try {
    await row()
    return undefined
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause)
  }
}

function refuse(failed: readonly string[], circumstances: string): void {
  if (failed.length > 0) throw new Error(`${failed.length} rows failed: ${circumstances}\n${failed.join('\n')}`)
}
