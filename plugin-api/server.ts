/** The engine's calls: one fastify instance, and a unix socket for each driver name. Body in, one JSON object out. */
import Fastify from 'fastify'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { IncomingMessage } from 'node:http'
import { performance } from 'node:perf_hooks'
import { answerType, badRequest, errorAnswer, failureOf, UserError } from './answer.ts'
import { readBody } from './body.ts'
import { methods } from './methods.ts'
import type { Handlers, Method } from './methods.ts'
import { openSocket } from './socket.ts'
import type { HttpSocket } from './socket.ts'
import { inTime } from './watchdog.ts'

/** The part of pino's logger that is used here. */
export interface Log {
  error(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** One answered call. */
export interface Fact {
  /** Driver name of the socket that was asked. */
  readonly driver: string
  /** `NetworkDriver.Join`, or `unknown`: a caller's text never becomes the label of a metric. */
  readonly method: string
  readonly ms: number
  readonly ok: boolean
  /** Code of the refusal; `INTERNAL` for a bug. */
  readonly code?: string
}

export interface PluginServerOptions {
  readonly log: Log
  readonly observe?: (fact: Fact) => void
  /** Larger bodies are refused with status 400. Default 16 MiB: 10,000 published ports are 1.1 MB. */
  readonly bodyLimitBytes?: number
  /** What close waits for answers under way, in milliseconds. Default 1000. */
  readonly graceMs?: number
  /** What is not done by then is answered with an error. Default 4900: no answer takes more than 5 s. */
  readonly timeoutMs?: number
}

export interface Served {
  /** As the engine knows it: the base name of the socket. */
  readonly driver: string
  readonly handlers: Handlers
}

export interface PluginServer extends AsyncDisposable {
  /** Serves `driver` at `path`, mode 0600; a stale socket is replaced. Dispose of it, or of the server, to end that. */
  listen(path: string, served: Served): Promise<HttpSocket>
  /** Closes all sockets. */
  close(): Promise<void>
}

export function createPluginServer(options: PluginServerOptions): PluginServer {
  const { log, observe, bodyLimitBytes = 16 * 1024 * 1024, timeoutMs = 4900 } = options
  const asked = new WeakMap<IncomingMessage, Served>()
  const sockets = new Set<HttpSocket>()
  const app = fastify(answered)
  for (const [name, method] of Object.entries(methods)) {
    app.post(`/${name}`, async (request, reply) =>
      answered(request, reply, name, (served, signal) => call(method, name, served, request.raw, signal)),
    )
  }

  async function call(
    method: Method,
    name: string,
    served: Served,
    raw: IncomingMessage,
    signal: AbortSignal,
  ): Promise<unknown> {
    if (method.half === 'network' && !served.handlers.network) throw noSuchMethod(served, name)
    if (method.body === 'ignored') return method.answer(served.handlers, undefined, signal)
    const json = await readBody(raw, name.slice(name.indexOf('.') + 1), bodyLimitBytes)
    return method.answer(served.handlers, json, signal)
  }

  /** Never throws: whatever happens becomes an answer. */
  async function answered(
    request: FastifyRequest,
    reply: FastifyReply,
    name: string | undefined,
    run: Run,
  ): Promise<FastifyReply> {
    const started = performance.now()
    const served = asked.get(request.raw)
    const fact = { driver: served?.driver ?? 'none', method: name ?? 'unknown' }
    let [status, json, code]: [number, string, string | undefined] = [200, '{}', undefined]
    try {
      if (!served) throw new TypeError('a request that came by no socket of ours')
      const onLate = (failure: unknown): void => {
        toldLate(log, { ...fact, ms: performance.now() - started }, failure)
      }
      const watch = { call: fact.method, timeoutMs, onLate }
      json = JSON.stringify((await inTime(watch, signal => run(served, signal))) ?? {})
    } catch (cause) {
      const failure = failureOf(cause, fact.method)
      if (failure.bug) log.error({ ...fact, err: cause }, 'a call failed in a way that was not foreseen')
      status = failure.status
      code = failure.code
      json = JSON.stringify(errorAnswer(failure.text))
    }
    const ms = performance.now() - started
    observe?.({ ...fact, ms, ok: code === undefined, ...(code !== undefined && { code }) })
    // As bytes: to a string fastify would add a charset.
    return reply.code(status).type(answerType).send(Buffer.from(json))
  }

  const close = async (): Promise<void> => {
    await Promise.all([...sockets].map(socket => socket.close()))
    await app.close()
  }
  return {
    async listen(path, served) {
      await app.ready()
      const socket = await openSocket({
        path,
        graceMs: options.graceMs ?? 1000,
        onRequest(request, response) {
          // Bodies are read as JSON whatever they claim to be; the engine claims nothing.
          delete request.headers['content-type']
          asked.set(request, served)
          app.routing(request, response)
        },
      })
      sockets.add(socket)
      return socket
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

type Fields = Pick<Fact, 'driver' | 'method' | 'ms'>
type Run = (served: Served, signal: AbortSignal) => Promise<unknown>
type Answered = (
  request: FastifyRequest,
  reply: FastifyReply,
  name: string | undefined,
  run: Run,
) => Promise<FastifyReply>

/** Fastify with everything of its own taken out that would answer in another form. */
function fastify(answered: Answered): FastifyInstance {
  const app = Fastify({
    logger: false,
    exposeHeadRoutes: false,
    frameworkErrors: (error, request, reply) => {
      void answered(request, reply, undefined, async () => {
        throw badRequest(error.message)
      })
    },
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => {
    done(null)
  })
  app.setNotFoundHandler((request, reply) =>
    answered(request, reply, undefined, async served => {
      throw noSuchMethod(served, `${request.method} ${request.url.slice(0, 128)}`)
    }),
  )
  app.setErrorHandler((error, request, reply) =>
    answered(request, reply, undefined, async () => {
      throw error
    }),
  )
  return app
}

/** The engine has been told that the call failed; this is how it ended. */
function toldLate(log: Log, fields: Fields, failure: unknown): void {
  if (failure === undefined) {
    log.warn(fields, 'a call was done after it had timed out')
    return
  }
  const { bug, code } = failureOf(failure, fields.method)
  if (bug)
    log.error({ ...fields, err: failure }, 'a call failed in a way that was not foreseen, after it had timed out')
  else log.warn({ ...fields, code }, 'a call that had timed out was given up')
}

function noSuchMethod(served: Served, name: string): UserError {
  return new UserError('NO_SUCH_METHOD', `${served.driver} does not serve ${name}`)
}
