/** Very many calls of one method, with so little work on this side that the other one is measured. */
import { connect } from 'node:net'

export interface RawCalls {
  readonly socketPath: string
  /** `IpamDriver.RequestAddress` */
  readonly method: string
  readonly bodies: readonly object[]
  /** Connections, each with one call under way. */
  readonly atOnce: number
}

/** The answers' bodies, in the order in which they come. Rejects at the first that is no answer with status 200. */
export async function rawCalls({ socketPath, method, bodies, atOnce }: RawCalls): Promise<readonly string[]> {
  const requests = bodies.map(body => requestOf(method, body)).values()
  const answers: string[] = []
  const connection = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = connect(socketPath)
      let text = ''
      const next = (): void => {
        const { value } = requests.next()
        if (value !== undefined) socket.write(value)
        else socket.end(resolve)
      }
      socket.on('connect', next)
      socket.on('error', reject)
      socket.on('data', bytes => {
        text += bytes.toString('latin1')
        const [, status, length] = /^HTTP\/1\.1 (\d+)[^]*?\r\ncontent-length: (\d+)\r\n/i.exec(text) ?? []
        const end = text.indexOf('\r\n\r\n') + 4
        if (end < 4 || text.length < end + Number(length)) return
        if (status !== '200') reject(new Error(`${method}: ${text}`))
        answers.push(text.slice(end))
        text = ''
        next()
      })
    })
  await Promise.all(Array.from({ length: atOnce }, connection))
  return answers
}

function requestOf(method: string, body: object): string {
  const json = `${JSON.stringify(body)}\n`
  return `POST /${method} HTTP/1.1\r\nHost: \r\nContent-Length: ${json.length}\r\n\r\n${json}`
}
