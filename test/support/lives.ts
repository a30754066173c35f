/** Lives of containers as users lead them, several at once, while weftd and the engine are killed at random times. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, type Host } from './lab.ts'
import { pick, random, type Random } from './random.ts'
import { removeAll, type Scene } from './scene.ts'

export interface LivesOptions {
  readonly seed: number
  readonly lives: number
  /** Lives that are led at the same time. */
  readonly beside: number
}

/** A call that takes longer is blocked: the engine gives a plugin up after 15 s, and asks it several times in a call. */
const blockedMs = 90_000
const killed = ['weftd', 'weftd', 'engine', 'both'] as const

/** Networks that stand all the time. */
const standing: Readonly<Record<string, string>> = {
  one: '--ipam-driver weft-ipam --subnet 10.41.0.0/16 --ip-range 10.41.0.0/17 --ipv6 --subnet fd00:41::/64',
  two: '--ipam-driver weft-ipam --subnet 10.42.0.0/16',
  plain: '--subnet 10.43.0.0/16',
  hidden: '--internal --subnet 10.44.0.0/24',
}

export class Lives {
  readonly #scene: Scene
  readonly #server: Host
  readonly #options: LivesOptions
  readonly #kills: Record<(typeof killed)[number], number> = { weftd: 0, engine: 0, both: 0 }
  #over = false
  /** The engine answers. */
  #engine: Promise<void> = Promise.resolve()
  #done = 0
  #refused = 0
  #repairs = 0
  #longest = { ms: 0, words: '' }

  constructor(scene: Scene, options: LivesOptions) {
    this.#scene = scene
    this.#server = scene.server
    this.#options = options
  }

  /** Leads all lives to their ends, and removes what is left as a user would: by docker alone. */
  async run(): Promise<void> {
    const { seed, lives, beside } = this.#options
    for (const [name, flags] of Object.entries(standing)) {
      await this.#server.docker(`network create -d weft-bridge ${flags} ${name}`)
    }
    const numbers = Array.from({ length: lives }, (_, number) => number + 1)
    const worker = async (): Promise<void> => {
      for (let number = numbers.shift(); number !== undefined; number = numbers.shift()) {
        await this.#live(number, random(seed * 10_007 + number))
      }
    }
    const killing = this.#kill(random(seed))
    // Heard below.
    killing.catch(() => undefined)
    try {
      await Promise.all(Array.from({ length: beside }, worker))
    } finally {
      this.#over = true
      await killing
    }
    await this.#removeAll()
  }

  figures(): string {
    const { weftd, engine, both } = this.#kills
    return (
      `${this.#options.lives} lives; killed: weftd ${weftd}, engine ${engine}, both ${both} times; ` +
      `${this.#done} commands done, ${this.#refused} refused; ` +
      (this.#repairs > 0 ? `the engine's record repaired ${this.#repairs} times; ` : '') +
      `the longest took ${(this.#longest.ms / 1000).toFixed(1)} s: ${this.#longest.words}`
    )
  }

  async #live(number: number, chance: Random): Promise<void> {
    const name = `c${number}`
    const own = chance() < 0.25 ? `n${number}` : undefined
    if (own !== undefined) await this.#command(`network create -d weft-bridge ${pick(chance, ownNetworks)} ${own}`)
    const network = own ?? pick(chance, Object.keys(standing))
    const ports = publishing(number)
    const address = network === 'one' && chance() < 0.4 ? `--ip 10.41.${200 + (number >> 8)}.${number & 255}` : ''
    await this.#command(`run -d --name ${name} --network ${network} ${address} ${pick(chance, ports)} probe`)
    const other = network === 'two' ? 'plain' : 'two'
    const changes = [`network connect ${other} ${name}`, `network disconnect ${other} ${name}`]
    const ends = [`stop -t 0 ${name}`, `kill ${name}`, `restart -t 0 ${name}`]
    if (chance() < 0.5) await this.#command(changes[0] ?? '')
    if (chance() < 0.5) for (const words of [pick(chance, ends), `start ${name}`]) await this.#command(words)
    if (chance() < 0.5) await this.#command(changes[1] ?? '')
    await eventually(`container ${name} is removed`, () => this.#isGone('rm -f', name, `ps -aq -f name=^${name}$`), {
      timeoutMs: 240_000,
      pauseMs: 100,
    })
    // One that the engine cannot remove now it can after its next start.
    if (own !== undefined) await this.#isGone('network rm', own, `network ls -q -f name=^${own}$`)
  }

  async #isGone(remove: string, name: string, list: string): Promise<boolean> {
    await this.#command(`${remove} ${name}`)
    await this.#engine
    const left = await this.#server.docker(list).catch(() => 'nobody answers')
    return left === ''
  }

  /** Refused while something is down, as users know it; but never blocked. */
  async #command(words: string): Promise<void> {
    await this.#engine
    const started = performance.now()
    try {
      await this.#server.docker(words, { timeoutMs: blockedMs })
      this.#done += 1
    } catch (cause) {
      if (performance.now() - started > blockedMs) throw cause
      this.#refused += 1
    }
    const ms = performance.now() - started
    if (ms > this.#longest.ms) this.#longest = { ms, words }
  }

  async #kill(chance: Random): Promise<void> {
    for (;;) {
      await sleep(100 + chance() * 1500)
      if (this.#over) return
      const what = pick(chance, killed)
      this.#kills[what] += 1
      const engine = what === 'weftd' ? Promise.resolve() : this.#restartEngine()
      this.#engine = engine.catch(() => undefined)
      await Promise.all([engine, what === 'engine' ? undefined : this.#scene.restartWeft('SIGKILL')])
      await this.#assertNoAddressTwice()
    }
  }

  /**
   * As systemd would: again after 2 s, when what was left of the one before was in its way. And as README tells for 20.10
   * when it panics about its own half-written record.
   */
  async #restartEngine(): Promise<void> {
    for (let start = 1; ; start += 1) {
      try {
        await this.#scene.restartEngine('SIGKILL')
        return
      } catch (cause) {
        const why = String(cause)
        if (start === 3) throw cause
        console.log(`the engine is started once more: ${why.slice(-600)}`)
        if (why.includes('reservePools')) await this.#repairEngine()
        else await sleep(2000)
      }
    }
  }

  async #repairEngine(): Promise<void> {
    const [command] =
      /perl -0777[^`]*local-kv\.db/.exec(readFileSync(new URL('../../README.md', import.meta.url), 'utf8')) ?? []
    if (command === undefined) throw new Error('README tells no repair of an engine that panics in reservePools')
    await this.#server.sh(command)
    this.#repairs += 1
  }

  async #assertNoAddressTwice(): Promise<void> {
    const format = '{{range .Containers}}{{.IPv4Address}} {{.IPv6Address}} {{end}}'
    for (const network of Object.keys(standing)) {
      const text = await this.#server.docker(['network', 'inspect', '-f', format, network])
      const addresses = text.split(/\s+/).filter(Boolean)
      const twice = addresses.filter((address, at) => addresses.indexOf(address) !== at)
      if (twice.length > 0) throw new Error(`network ${network} has given twice: ${twice.join(' ')}`)
    }
  }

  /** An engine that was killed may keep an endpoint in its own records, which it finds at its next start. */
  async #removeAll(): Promise<void> {
    try {
      await eventually('all is removed', () => removed(this.#server), { timeoutMs: 20_000, pauseMs: 500 })
    } catch (cause) {
      console.log(`after another start of the engine: ${String(cause).slice(0, 300)}`)
      await this.#scene.restartEngine()
      await eventually('all is removed', () => removed(this.#server), { timeoutMs: 60_000, pauseMs: 500 })
    }
  }
}

async function removed(server: Host): Promise<boolean> {
  await removeAll(server)
  return true
}

const ownNetworks = ['', '--internal', '--ipam-driver weft-ipam', '--ipam-driver weft-bridge', '-o icc=false'].map(
  flags => flags.replace('icc=', 'com.docker.network.bridge.enable_icc='),
)

function publishing(number: number): readonly string[] {
  const port = 20_000 + number
  return [
    ...['', '-P', '-p 80', '-p 80 -p 80/udp', `-p ${port}:80`, `-p ${port}:80 -p ${port}:80/udp`],
    ...[`-p 127.0.0.1:${port}:80`, `-p ${port}:80/udp`],
  ]
}
