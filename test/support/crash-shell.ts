/** A shell that stays in a host: what is asked often costs no new one each time. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Host } from './lab.ts'

const mark = '===done==='

export class Shell implements Disposable {
  readonly #child: ChildProcessWithoutNullStreams
  #lines: string[] = []
  #waiting: { readonly resolve: (status: number) => void; readonly reject: (cause: Error) => void } | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(host: Host) {
    const [program = '', ...rest] = host.enterCommand.split(' ')
    const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' }
    this.#child = spawn(program, rest, { env })
    createInterface({ input: this.#child.stdout }).on('line', line => {
      if (line.startsWith(mark)) this.#waiting?.resolve(Number(line.slice(mark.length)))
      else this.#lines.push(line)
    })
    this.#child.on('exit', () => this.#waiting?.reject(new Error('the shell ended')))
  }

  /** One script after the other; what it printed. Rejects with that when it fails. */
  run(script: string): Promise<string> {
    const result = this.#last.then(() => this.#run(script))
    this.#last = result.catch(() => undefined)
    return result
  }

  async #run(script: string): Promise<string> {
    this.#lines = []
    const status = await new Promise<number>((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#child.stdin.write(`( set -e\n${script}\n) </dev/null 2>&1; echo "${mark}$?"\n`)
    })
    const text = this.#lines.join('\n')
    if (status !== 0) throw new Error(`exit ${status} of ${script}: ${text}`)
    return text
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL')
  }
}
