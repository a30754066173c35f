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
