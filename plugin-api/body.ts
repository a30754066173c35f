/** The body of a request, as JSON. */
import type { IncomingMessage } from 'node:http'
import { badRequest } from './answer.ts'

/** Beyond the limit so much more is read and thrown away, so that the caller comes to read the refusal. */
const drainFactor = 16

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Throws UserError BAD_REQUEST, beginning with `subject`, for everything that is not one whole JSON value. */
export async function readBody(request: IncomingMessage, subject: string, limitBytes: number): Promise<unknown> {
  const bytes = await collect(request, subject, limitBytes)
  if (bytes.length === 0) {
    throw badRequest(`${subject}: empty body: the engine repeats a broken call without it; nothing was done`)
  }
  try {
    return JSON.parse(utf8.decode(bytes)) as unknown
  } catch (cause) {
    // The parser quotes the text it stumbled over, and that may be an option value.
    throw badRequest(`${subject}: the body is not JSON in UTF-8`, { cause })
  }
}

async function collect(request: IncomingMessage, subject: string, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    // Left whole when we stop early: the answer goes by the same connection.
    const stream = request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>
    for await (const chunk of stream) {
      size += chunk.length
      if (size <= limitBytes) chunks.push(chunk)
      else if (size > limitBytes * drainFactor) break
    }
  } catch (cause) {
    throw badRequest(`${subject}: the connection broke before the body was complete; nothing was done`, { cause })
  }
  if (size > limitBytes) {
    throw badRequest(`${subject}: the body is larger than ${limitBytes} bytes`)
  }
  return Buffer.concat(chunks)
}
