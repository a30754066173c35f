/** One host of the lab: run commands in it, start its engine and its weftd, and look at what is there. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { imageChanges } from '../../../scripts/image.ts'
import { eventually } from './eventually.ts'
import { accepting, type Answer, ask } from './socket.ts'
import type { Namespace } from './namespace.ts'
import { type Daemon, run, type RunOptions, startDaemon, words } from './process.ts'
import { takeSnapshot, type Snapshot } from './snapshot.ts'

/** A command line: a string is split at spaces, without quoting. */
export type Command = string | readonly string[]

export interface DaemonOptions {
  /** Further arguments. */
  readonly flags?: Command
  /** Added to the environment, e.g. `WEFT_CRASH_AT`. */
  readonly env?: Readonly<Record<string, string>>
  /** Until it must be ready. Default 30 s. */
  readonly timeoutMs?: number
}

export interface HostSetup {
  readonly name: string
  readonly ip4: string
  readonly ip6: string
  /** Where logs go. */
  readonly directory: string
  readonly checkout: string
  /** Path of the cgroup below which containers live, e.g. `/weft-lab-12-1-h1`. */
  readonly cgroup: string
  readonly imageTar: string
  readonly env: Readonly<Record<string, string>>
  /** Makes the namespaces, at first and after a reboot. */
  boot(): Promise<Namespace>
}

const pluginDirectory = '/run/docker/plugins'

export class Host {
  readonly name: string
  readonly ip4: string
  readonly ip6: string
  /** Undefined unless it runs. */
  engine: Daemon | undefined
  weftd: Daemon | undefined
  readonly #setup: HostSetup
  #namespace: Namespace

  private constructor(setup: HostSetup, namespace: Namespace) {
    this.name = setup.name
    this.ip4 = setup.ip4
    this.ip6 = setup.ip6
    this.#setup = setup
    this.#namespace = namespace
  }

  static async boot(setup: HostSetup): Promise<Host> {
    return new Host(setup, await setup.boot())
  }

  /** The host's first process, as the machine numbers it. */
  get pid(): number {
    return this.#namespace.pid
  }

  /** Path to the host's network namespace, for setns and nsenter. */
  get netns(): string {
    return `/proc/${this.pid}/ns/net`
  }

  /** For a person: a shell in the host. */
  get enterCommand(): string {
    return `${this.#enter().join(' ')} bash`
  }

  /** A path of the host as the machine (this process) reaches it: files and unix sockets alike. */
  path(inside: string): string {
    return `/proc/${this.pid}/root${inside}`
  }

  read(inside: string): string {
    return readFileSync(this.path(inside), 'utf8')
  }

  write(inside: string, text: string): void {
    writeFileSync(this.path(inside), text)
  }

  /** Runs a command in the host: stdout without the last newline; rejects with stderr, unless `fails`. */
  run(command: Command, options: RunOptions = {}): Promise<string> {
    return run([...this.#enter(), ...words(command)], { ...options, env: { ...this.#setup.env, ...options.env } })
  }

  /** Runs a piece of shell in the host. */
  sh(script: string, options: RunOptions = {}): Promise<string> {
    return this.run(['bash', '-euc', script], options)
  }

  docker(command: Command, options: RunOptions = {}): Promise<string> {
    return this.run(['docker', '-H', 'unix:///run/docker.sock', ...words(command)], options)
  }

  weft(command: Command, options: RunOptions = {}): Promise<string> {
    return this.run([join(this.#setup.checkout, 'bin/weft'), ...words(command)], options)
  }

  /** A request to the engine's API, without any process. */
  api(method: string, path: string, body?: unknown): Promise<Answer> {
    return ask(this.path('/run/docker.sock'), method, path, body)
  }

  /** A request to weftd's admin socket. */
  admin(path: string, method = 'GET', body?: unknown): Promise<Answer> {
    return ask(this.path('/run/weft/weft.sock'), method, path, body)
  }

  /** Starts any long-lived command in the host. */
  start(name: string, command: Command, env: Readonly<Record<string, string>> = {}): Promise<Daemon> {
    const logPath = join(this.#setup.directory, `${this.name}.${name}.log`)
    return startDaemon([...this.#enter(), ...words(command)], { logPath, env: { ...this.#setup.env, ...env } })
  }

  /** Starts the engine and waits until its API answers. The one before must have ended. */
  async startEngine({ flags = [], env = {}, timeoutMs = 30_000 }: DaemonOptions = {}): Promise<Daemon> {
    const command =
      'dockerd --data-root /var/lib/docker --exec-root /run/docker --pidfile /run/docker.pid ' +
      '-H unix:///run/docker.sock --storage-driver overlay2 --exec-opt native.cgroupdriver=cgroupfs ' +
      `--cgroup-parent ${this.#setup.cgroup}`
    const engine = await this.start('dockerd', [...words(command), ...words(flags)], env)
    this.engine = engine
    const answers = async (): Promise<boolean> => (await this.api('GET', '/_ping')).status === 200
    await this.#ready('the engine', engine, answers, timeoutMs)
    return engine
  }

  /** Starts weftd from the checkout and waits until its sockets accept. */
  async startWeft({ flags = [], env = {}, timeoutMs = 30_000 }: DaemonOptions = {}): Promise<Daemon> {
    const weftd = await this.start('weftd', [join(this.#setup.checkout, 'bin/weftd'), ...words(flags)], env)
    this.weftd = weftd
    const accepts = (): Promise<boolean> => accepting(this.path(`${pluginDirectory}/weft-ipam.sock`))
    await this.#ready('weftd', weftd, accepts, timeoutMs)
    return weftd
  }

  /** Imports the test image under the name `probe`: see scripts/image.ts for what it answers. */
  async image(): Promise<void> {
    const changes = imageChanges.flatMap(change => ['-c', change])
    await this.docker(['import', ...changes, '-', 'probe'], { stdin: this.#setup.imageTar })
  }

  /** The address that a container has in a network, as the engine tells. */
  addressOf(container: string, network: string, { family = 4 }: { readonly family?: 4 | 6 } = {}): Promise<string> {
    const field = family === 4 ? 'IPAddress' : 'GlobalIPv6Address'
    return this.docker(['inspect', '-f', `{{(index .NetworkSettings.Networks "${network}").${field}}}`, container])
  }

  /** Everything of the host that networking could leave behind, as text by section. */
  snapshot(): Promise<Snapshot> {
    return takeSnapshot(this)
  }

  /** Power cut and start: a new boot id, an empty /run, no links; /var/lib/docker and /var/lib/weft are kept. */
  async reboot(): Promise<void> {
    await this.end()
    this.#namespace = await this.#setup.boot()
  }

  /** Kills everything in the host. */
  async end(): Promise<void> {
    this.engine = undefined
    this.weftd = undefined
    await this.#namespace.end()
  }

  #enter(): readonly string[] {
    return ['nsenter', '-t', String(this.pid), '-m', '-n', '-u', '-i', '-p', '--']
  }

  async #ready(what: string, daemon: Daemon, probe: () => Promise<boolean>, timeoutMs: number): Promise<void> {
    let ended = false
    void daemon.exited.then(() => {
      ended = true
      if (this.engine === daemon) this.engine = undefined
      if (this.weftd === daemon) this.weftd = undefined
    })
    const outcome = await eventually(
      `${what} on ${this.name} is ready`,
      async () => (ended ? 'ended' : (await probe()) && 'ready'),
      { timeoutMs, pauseMs: 10 },
    ).catch((cause: unknown) => {
      throw new Error(`${what} on ${this.name} is not ready after ${timeoutMs} ms:\n${daemon.log()}`, { cause })
    })
    if (outcome === 'ended') throw new Error(`${what} on ${this.name} ended at once:\n${daemon.log().slice(-4000)}`)
  }
}
