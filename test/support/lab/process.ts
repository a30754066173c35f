/** Processes of the lab: short ones whose output is wanted, and daemons that are signalled and whose log is read. */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { eventually } from './eventually.ts'

export interface RunOptions {
  /** The command must fail; its complaint (stderr, else stdout) is the answer. */
  readonly fails?: boolean
  /** Killed, and rejected, after this time. Default 60 s. */
  readonly timeoutMs?: number
  /** Path of a file that becomes the standard input. */
  readonly stdin?: string
  /** The whole environment. */
  readonly env?: Readonly<Record<string, string>>
}

/** How a process ended: one of both is set. */
export interface Exit {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
}

/** A long-lived process. `pid` is the machine's number for it, not the one inside the host. */
export interface Daemon {
  readonly pid: number
  readonly exited: Promise<Exit>
  kill(signal?: NodeJS.Signals): void
  /** TERM, then waits for the end. Errors: when it has not ended after `timeoutMs` (20 s). */
  stop(timeoutMs?: number): Promise<Exit>
  /** What it wrote so far to stdout and stderr. */
  log(): string
  /** This process does not wait for its end any more. */
  unref(): void
}

/** Splits a command line at spaces, no quoting: for an argument with a space pass an array. */
export function words(command: string | readonly string[]): readonly string[] {
  return typeof command === 'string' ? command.split(' ').filter(word => word !== '') : command
}

/** Runs a command to its end. Answers its stdout without the last newline. Errors: command, exit status and stderr. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const { fails = false, timeoutMs = 60_000 } = options
  const [program = '', ...rest] = argv
  const stdin = options.stdin === undefined ? undefined : openSync(options.stdin, 'r')
  const child = spawn(program, rest, {
    stdio: [stdin ?? 'ignore', 'pipe', 'pipe'],
    ...(options.env && { env: { ...options.env } }),
  })
  if (stdin !== undefined) closeSync(stdin)
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk))
  const late = { yes: false }
  const timer = setTimeout(() => {
    late.yes = true
    for (const pid of [...childrenOf(child.pid), child.pid]) signalTo(pid, 'SIGKILL')
  }, timeoutMs)
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  clearTimeout(timer)
  const answer = Buffer.concat(stdout).toString().trimEnd()
  const complaint = Buffer.concat(stderr).toString().trimEnd()
  if (late.yes) throw new Error(`${argv.join(' ')}: killed after ${timeoutMs} ms: ${complaint}`)
  if (fails && status === 0) throw new Error(`${argv.join(' ')}: was to fail, but answered: ${answer}`)
  if (!fails && status !== 0)
    throw new Error(`${argv.join(' ')}: exit ${status ?? 'by signal'}: ${complaint || answer}`)
  return fails ? complaint || answer : answer
}

/**
 * Starts a daemon through `enter`, a command (nsenter) that forks it into its namespaces. Both streams go to `logPath`.
 * It leaves our process group, so that an interrupt at the terminal is ours to handle.
 */
export async function startDaemon(
  enter: readonly string[],
  { logPath, env }: { logPath: string; env: Readonly<Record<string, string>> },
): Promise<Daemon> {
  const [program = '', ...rest] = enter
  const log = openSync(logPath, 'a')
  const wrapper = spawn(program, rest, { detached: true, env: { ...env }, stdio: ['ignore', log, log] })
  closeSync(log)
  const exited = new Promise<Exit>((resolve, reject) => {
    wrapper.on('error', reject)
    wrapper.on('exit', (status, signal) => {
      resolve({ status, signal })
    })
  })
  let ended = false
  const pid = await Promise.race([
    eventually(`${enter.join(' ')}: starts`, () => childrenOf(wrapper.pid)[0], { pauseMs: 2 }),
    exited.then(({ status }) => {
      throw new Error(`${enter.join(' ')}: exit ${String(status)}: ${readFileSync(logPath, 'utf8')}`)
    }),
  ])
  void exited.then(() => (ended = true))
  const kill = (signal: NodeJS.Signals = 'SIGKILL'): void => {
    if (!ended) signalTo(pid, signal)
  }
  return {
    pid,
    exited,
    kill,
    log: () => readFileSync(logPath, 'utf8'),
    unref() {
      wrapper.unref()
    },
    async stop(timeoutMs = 20_000) {
      kill('SIGTERM')
      await eventually(`process ${pid} ends on TERM`, () => ended, { timeoutMs })
      return exited
    },
  }
}

/** Sends a signal; a process that is gone already is fine. */
export function signalTo(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(pid, signal)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ESRCH') throw cause
  }
}

/** Pids of a process's children; none when it is gone. */
export function childrenOf(pid: number | undefined): readonly number[] {
  if (pid === undefined) return []
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
  } catch (cause) {
    if (['ENOENT', 'ESRCH'].includes((cause as NodeJS.ErrnoException).code ?? '')) return []
    throw cause
  }
}
