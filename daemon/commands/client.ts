/** Asks the running daemon, over its admin socket. */
import { request } from 'node:http'
import { UserError } from '../../plugin-api/answer.ts'
import type { Settled } from '../view.ts'
import type { AddressReport, ReleaseReport } from '../view-ipam.ts'
import type { Admin, Answers } from './command.ts'

/** A daemon answers from memory; one that needs longer hangs. Settling waits for the kernel. In milliseconds. */
const patienceMs = { GET: 10_000, POST: 120_000 } as const

/**
 * `socketPath` is read when a command first asks, so that commands without need of the daemon also run where its
 * settings are broken. Rejects with UserError `NOT_RUNNING`, `NOT_PERMITTED`, `NO_ANSWER`, the
 * code of a refusal, or `REFUSED`.
 */
export function adminClient(socketPath: () => string): Admin {
  return {
    get: async path => (await ask(socketPath(), 'GET', path)) as Answers[typeof path],
    settle: async options => (await ask(socketPath(), 'POST', '/v1/settle', options)) as Settled,
    reserve: async wish => (await ask(socketPath(), 'POST', '/v1/ipam/reserve', wish)) as AddressReport,
    release: async wish => (await ask(socketPath(), 'POST', '/v1/ipam/release', wish)) as ReleaseReport,
  }
}

function ask(socketPath: string, method: 'GET' | 'POST', path: string, body?: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const timeout = patienceMs[method]
    const call = request({ socketPath, method, path, timeout, agent: false }, answer => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (chunk: string) => (text += chunk))
      answer.on('error', cause => {
        reject(explain(cause, socketPath))
      })
      answer.on('end', () => {
        try {
          resolve(valueOf(answer.statusCode ?? 0, text))
        } catch (cause) {
          reject(cause instanceof Error ? cause : new Error(String(cause)))
        }
      })
    })
    call.on('timeout', () => {
      call.destroy(new UserError('NO_ANSWER', `weftd runs, but gave no answer within ${timeout / 1000} s: see its log`))
    })
    call.on('error', cause => {
      reject(explain(cause, socketPath))
    })
    call.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

function valueOf(status: number, text: string): unknown {
  const value: unknown = JSON.parse(text)
  if (status < 400) return value
  const { error = text, code } = (typeof value === 'object' && value !== null ? value : {}) as Refusal
  const told = `weftd refused: ${error}`
  throw code === undefined ? new UserError('REFUSED', told) : new UserError(code, told)
}

/** How the daemon answers what it does not do. */
interface Refusal {
  readonly error?: string
  readonly code?: string
}

function explain(cause: Error, socketPath: string): Error {
  if (cause instanceof UserError || !('code' in cause)) return cause
  switch (cause.code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
    case 'ECONNRESET':
    case 'EPIPE':
      return new UserError('NOT_RUNNING', `weftd is not running: no answer on ${socketPath}`, {
        hint: "start it with 'systemctl start weft' or bin/weftd",
        cause,
      })
    case 'EACCES':
    case 'EPERM':
      return new UserError('NOT_PERMITTED', `no permission to open ${socketPath}: only root may`, { cause })
    default:
      return cause
  }
}
