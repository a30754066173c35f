/** Asks a plugin's socket as an engine does: POST, no Content-Type, connections kept. */
import { Agent, request } from 'node:http'

export interface Answer {
  readonly status: number
  readonly type: string | undefined
  readonly text: string
  /** The text as JSON; undefined when it is none. */
  readonly json: unknown
}

export interface Client extends Disposable {
  /** An object is sent as JSON, a text or bytes as they are, nothing as an empty body. */
  post(method: string, body?: object | string | Buffer): Promise<Answer>
  send(verb: string, path: string, body: Buffer, headers: Readonly<Record<string, string>>): Promise<Answer>
}

export function client(socketPath: string): Client {
  const agent = new Agent({ keepAlive: true })
  const send: Client['send'] = (verb, path, body, headers) =>
    new Promise((resolve, reject) => {
      const options = { socketPath, agent, method: verb, path, headers: { Host: '', ...headers } }
      const outgoing = request(options, incoming => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          const type = incoming.headers['content-type']
          resolve({ status: incoming.statusCode ?? 0, type, text, json: jsonOrNothing(text) })
        })
      })
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  return {
    send,
    post(method, body = '') {
      const bytes = typeof body === 'string' || Buffer.isBuffer(body) ? Buffer.from(body) : bytesOf(body)
      return send('POST', `/${method}`, bytes, {
        Accept: 'application/vnd.docker.plugins.v1.2+json',
        'Content-Length': String(bytes.length),
      })
    },
    [Symbol.dispose]() {
      agent.destroy()
    },
  }
}

/** Go's encoder ends with a newline. */
function bytesOf(body: object): Buffer {
  return Buffer.from(`${JSON.stringify(body)}\n`)
}

function jsonOrNothing(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    if (cause instanceof SyntaxError) return undefined
    throw cause
  }
}
