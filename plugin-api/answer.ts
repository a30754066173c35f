/** An error that a person can act on: what went wrong, where, and what to do. Codes are listed in docs/errors.md. */
export class UserError extends Error {
  readonly code: string
  readonly hint: string | undefined

  constructor(code: string, what: string, more: { readonly hint?: string; readonly cause?: unknown } = {}) {
    super(what, more.cause === undefined ? undefined : { cause: more.cause })
    this.name = 'UserError'
    this.code = code
    this.hint = more.hint
  }

  /** What the engine's user reads after "remote: ". */
  get text(): string {
    return this.hint === undefined ? this.message : `${this.message}: ${this.hint}`
  }
}

/** Engine 20.10 to 29 accept any type; this is the one they ask for. */
export const answerType = 'application/vnd.docker.plugins.v1.2+json'

/** The request itself is wrong, and nothing was done. Answered with status 400. */
export function badRequest(what: string, more: { readonly hint?: string; readonly cause?: unknown } = {}): UserError {
  return new UserError('BAD_REQUEST', what, more)
}

/** The network half of the engine reads `Err`, the IPAM half `Error`, each only its own. */
export function errorAnswer(text: string): { readonly Err: string; readonly Error: string } {
  return { Err: text, Error: text }
}

export interface Failure {
  readonly status: 200 | 400 | 404
  readonly code: string
  readonly text: string
  /** Not an error that a person can act on: to be logged with its stack. */
  readonly bug: boolean
}

/** How a thrown value is answered. Status 200 is the engine's usual form of a refusal; no answer is ever 5xx. */
export function failureOf(cause: unknown, method: string): Failure {
  if (cause instanceof UserError) {
    return { status: statusOf[cause.code] ?? 200, code: cause.code, text: cause.text, bug: false }
  }
  const text = `internal error in weft: ${method} failed in a way that was not foreseen: see the log of weftd`
  return { status: 200, code: 'INTERNAL', text, bug: true }
}

const statusOf: Readonly<Record<string, 400 | 404>> = { BAD_REQUEST: 400, NO_SUCH_METHOD: 404 }
