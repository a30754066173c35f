/**
 * Keeps weftd running as systemd would, and arms it to die: each daemon is told at which point after its arming. The
 * next one stands by already, so that a restart takes a fraction of a second.
 */
import { join } from 'node:path'
import { eventually, type Daemon, type Host } from './lab.ts'
import { accepting } from './lab/socket.ts'

export interface Crash {
  /** From the daemon's death until its successor served its sockets. */
  readonly downMs: number
}

export class Supervisor {
  readonly crashes: Crash[] = []
  readonly #host: Host
  readonly #settings: Readonly<Record<string, string>>
  #at: number
  readonly #step: number
  #number = 0
  #standby: Promise<Daemon>
  #current: Daemon | undefined
  #up: Promise<void> = Promise.resolve()
  #armed = false
  #over = false
  #failure: Error | undefined

  /** The first daemon dies at the first-th point after its arming, the next one `step` points later, and so on. */
  constructor(host: Host, first: number, step: number, settings: Readonly<Record<string, string>> = {}) {
    this.#host = host
    this.#settings = settings
    this.#at = first
    this.#step = step
    this.#standby = this.#standBy(first)
  }

  async start(): Promise<void> {
    this.#up = this.#replace()
    await this.ready()
  }

  /** The point at which the running daemon dies. */
  get at(): number {
    return this.#at
  }

  /** Counting begins. */
  arm(): void {
    this.#armed = true
    this.#current?.kill('SIGUSR2')
  }

  /** Resolves when a daemon serves. Rejects when one ended otherwise than by its own hand. */
  async ready(): Promise<void> {
    let up: Promise<void>
    do {
      up = this.#up
      await up
    } while (up !== this.#up)
    if (this.#failure) throw this.#failure
  }

  /** Ends both daemons; no harm when their host is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true
    const [standby] = await Promise.allSettled([this.#standby, this.#up])
    if (standby.status === 'fulfilled') standby.value.kill()
    await this.#current?.stop()
  }

  async #replace(): Promise<void> {
    const daemon = await this.#standby
    this.#current = daemon
    this.#host.weftd = daemon
    daemon.kill('SIGHUP')
    const ended = { yes: false }
    void daemon.exited.then(({ signal, status }) => {
      ended.yes = true
      if (this.#over) return
      const killed = this.#armed && (signal === 'SIGKILL' || status === 137)
      if (!killed) {
        this.#failure = new Error(`weftd ended: ${String(signal ?? status)}:\n${daemon.log()}`)
        return
      }
      const diedAt = performance.now()
      this.#armed = false
      this.#at += this.#step
      this.#up = this.#replace().then(() => {
        this.crashes.push({ downMs: performance.now() - diedAt })
      })
    })
    const socket = this.#host.path('/run/docker/plugins/weft-ipam.sock')
    await eventually('weftd serves', async () => ended.yes || (await accepting(socket)), {
      timeoutMs: 60_000,
      pauseMs: 5,
    }).catch((cause: unknown) => {
      throw new Error(`weftd is not ready:\n${daemon.log()}`, { cause })
    })
    if (ended.yes) return
    this.#standby = this.#standBy(this.#at + this.#step)
    // Who awaits it hears of it.
    this.#standby.catch(() => undefined)
  }

  async #standBy(at: number): Promise<Daemon> {
    this.#number += 1
    const script = join(import.meta.dirname, 'crash-weftd.ts')
    const env = {
      UV_THREADPOOL_SIZE: '16',
      WEFT_CRASH_AT: `${at},SIGUSR2`,
      NODE_COMPILE_CACHE: '/tmp/compiled',
      ...this.#settings,
    }
    const daemon = await this.#host.start(`weftd-${this.#number}`, [process.execPath, script], env)
    await eventually('weftd stands by', () => daemon.log().includes('standing by'), { timeoutMs: 60_000, pauseMs: 5 })
    return daemon
  }
}
