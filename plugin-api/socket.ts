/** HTTP on a unix socket that appears whole, replaces a stale one, and goes without cutting answers off. */
import { once } from 'node:events'
import { chmod, lstat, mkdir, rename, rm, unlink } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { basename, dirname, join } from 'node:path'
import type { Duplex } from 'node:stream'
import { answerType, errorAnswer, UserError } from './answer.ts'

export interface HttpSocket extends AsyncDisposable {
  readonly path: string
  /** Takes the socket away, lets answers under way finish for `graceMs`, and ends every connection. */
  close(): Promise<void>
}

export interface HttpSocketOptions {
  readonly path: string
  readonly onRequest: (request: IncomingMessage, response: ServerResponse) => void
  /** What close waits for answers, in milliseconds. Default 1000. */
  readonly graceMs?: number
}

/**
 * Listens at `path` with mode 0600. Throws UserError SOCKET_PATH when something else than a socket stands there.
 * A live socket of another process is replaced as well: whoever calls has made sure that there is none.
 */
export async function openSocket({ path, onRequest, graceMs = 1000 }: HttpSocketOptions): Promise<HttpSocket> {
  const underWay = new Set<ServerResponse>()
  const server = createServer({
    // An idle connection is the engine's to close: had we closed it while a request was on its way, the engine would
    // repeat the call without its body.
    keepAliveTimeout: 0,
    headersTimeout: 0,
    requestTimeout: 0,
    // Engine 20.10 sends an empty Host.
    requireHostHeader: false,
  })
  server.on('request', (request, response) => {
    underWay.add(response)
    response.on('close', () => underWay.delete(response))
    onRequest(request, response)
  })
  server.on('clientError', refuse)
  const identity = await bind(server, path)

  let closing: Promise<void> | undefined
  const close = (): Promise<void> => (closing ??= closeServer(server, path, identity, underWay, graceMs))
  return { path, close, [Symbol.asyncDispose]: close }
}

/**
 * Bound inside a directory of its own, so that nobody sees the socket before it has its mode and its name: the engine
 * takes every socket of the plugin directory for a plugin, whatever its name, but not what lies in sub-directories.
 */
async function bind(server: Server, path: string): Promise<string> {
  const hidden = join(dirname(path), `.${basename(path, '.sock')}`)
  const there = await lstatOrNothing(path)
  if (there && !there.isSocket()) {
    throw new UserError('SOCKET_PATH', `${path} is not a socket`, { hint: 'remove it, or choose another directory' })
  }
  // The engine makes its plugin directory itself, but may start after us.
  await mkdir(dirname(path), { recursive: true, mode: 0o755 })
  await rm(hidden, { recursive: true, force: true })
  await mkdir(hidden, { mode: 0o700 })
  const temporary = join(hidden, 's')
  server.listen(temporary)
  await once(server, 'listening')
  await chmod(temporary, 0o600)
  const identity = await identityOf(temporary)
  await rename(temporary, path)
  await rm(hidden, { recursive: true })
  return identity ?? ''
}

async function closeServer(
  server: Server,
  path: string,
  identity: string,
  underWay: ReadonlySet<ServerResponse>,
  graceMs: number,
): Promise<void> {
  if ((await identityOf(path)) === identity) await unlink(path)
  const closed = new Promise(resolve => server.close(resolve))
  // Requests that have arrived but were not read yet are under way too.
  await new Promise(resolve => setImmediate(resolve))
  const deadline = Date.now() + graceMs
  for (const response of underWay) {
    await Promise.race([once(response, 'close'), pause(deadline - Date.now())])
  }
  server.closeAllConnections()
  await closed
}

/** Not HTTP: answered like everything else, then the connection ends. */
function refuse(cause: NodeJS.ErrnoException, connection: Duplex): void {
  if (cause.code === 'ECONNRESET' || !connection.writable) {
    connection.destroy()
    return
  }
  const body = JSON.stringify(errorAnswer(`not an HTTP request: ${cause.code ?? cause.message}`))
  connection.end(
    `HTTP/1.1 400 Bad Request\r\nContent-Type: ${answerType}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Connection: close\r\n\r\n${body}`,
  )
}

/** Device and inode: tells our socket from one that another process has put in its place. */
async function identityOf(path: string): Promise<string | undefined> {
  const there = await lstatOrNothing(path)
  return there && `${there.dev}:${there.ino}`
}

async function lstatOrNothing(path: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  try {
    return await lstat(path)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw cause
  }
}

async function pause(ms: number): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, Math.max(0, ms)).unref())
}
