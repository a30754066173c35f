/** The operator's door: HTTP on a unix socket that only root may open. What it tells is `View`, as JSON. */
import { chmod, lstat, mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { UserError } from '../plugin-api/answer.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import { releaseWish, reserveWish, wantsForce } from './orders.ts'
import type { View } from './view.ts'

export const socketName = 'weft.sock'
/** How long stopping waits for answers that are being made, in milliseconds. */
const patienceMs = 500

export interface AdminSettings {
  readonly view: View
  readonly metrics: Metrics
  readonly runDir: string
  readonly log: Log
}

/**
 * Serves `<runDir>/weft.sock` until disposed. Bound under another name first, so that it appears with its mode and
 * replaces a stale one in one step: whoever calls has made sure that no other daemon uses the directory.
 */
export async function createAdminServer(settings: AdminSettings): Promise<AsyncDisposable> {
  const app = fastify({ forceCloseConnections: 'idle' })
  addRoutes(app, settings)
  const path = join(settings.runDir, socketName)
  const unfinished = `${path}.${process.pid}`
  await mkdir(settings.runDir, { recursive: true })
  await rm(unfinished, { force: true })
  await app.listen({ path: unfinished })
  await chmod(unfinished, 0o600)
  const { ino } = await lstat(unfinished)
  await rename(unfinished, path)

  return {
    async [Symbol.asyncDispose]() {
      if ((await inodeOf(path)) === ino) await rm(path, { force: true })
      const timer = setTimeout(() => {
        app.server.closeAllConnections()
      }, patienceMs)
      await app.close()
      clearTimeout(timer)
    },
  }
}

function addRoutes(app: FastifyInstance, { view, metrics, log }: AdminSettings): void {
  // Any client, also one without a content type; an empty body is no body.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, body === '' ? undefined : JSON.parse(String(body)))
    } catch (cause) {
      done(new UserError('BAD_REQUEST', 'the body is not JSON', { cause }))
    }
  })

  app.get('/v1/status', () => view.status())
  app.get('/v1/networks', () => view.networks())
  app.get('/v1/endpoints', () => view.endpoints())
  app.get('/v1/ports', () => view.ports())
  app.get('/v1/diff', () => view.diff())
  app.post('/v1/settle', request => view.settle({ force: wantsForce(request.body) }))
  app.get('/v1/ipam/pools', () => view.ipam.pools())
  app.get('/v1/ipam/suspects', () => view.ipam.suspects())
  app.get<{ Params: { address: string } }>('/v1/ipam/addresses/:address', ({ params }) =>
    view.ipam.address(params.address),
  )
  app.post('/v1/ipam/reserve', request => view.ipam.reserve(reserveWish(request.body)))
  app.post('/v1/ipam/release', request => view.ipam.release(releaseWish(request.body)))
  app.get('/healthz', async () => ({ alive: true }))
  app.get('/readyz', async (_request, reply) => {
    const ready = view.ready()
    return reply.code(ready ? 200 : 503).send({ ready })
  })
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text(await view.status())),
  )

  app.setNotFoundHandler((request, reply) => refuse(reply, 404, `${request.method} ${request.url}: not served here`))
  app.setErrorHandler((error, request, reply) => {
    if (error instanceof UserError) return refuse(reply, 400, error.text, error.code)
    const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
    if (error instanceof Error && status < 500) return refuse(reply, status, error.message)
    log.error({ err: error, method: request.method, url: request.url }, 'admin request failed')
    return refuse(reply, 500, 'internal error in weft: its log has the details')
  })
}

/** `code`: of an error that a person can act on, see docs/errors.md. */
function refuse(reply: FastifyReply, status: number, error: string, code?: string): FastifyReply {
  return reply.code(status).send({ error, ...(code === undefined ? {} : { code }) })
}

async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).ino
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw cause
  }
}
