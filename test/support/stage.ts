/** A plugin server on a socket in a folder of its own, with recorded calls, and a client. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPluginServer } from '../../plugin-api/server.ts'
import type { Fact, PluginServer, PluginServerOptions } from '../../plugin-api/server.ts'
import { client } from './client.ts'
import type { Client } from './client.ts'
import { recorder } from './handlers.ts'
import type { Recorder } from './handlers.ts'

export interface Stage extends AsyncDisposable {
  readonly server: PluginServer
  readonly folder: string
  /** Socket of `weft-bridge`. */
  readonly path: string
  readonly ask: Client
  readonly handlers: Recorder
  readonly facts: Fact[]
  /** Bugs. */
  readonly logged: Line[]
  readonly warned: Line[]
}

interface Line {
  readonly fields: object
  readonly message: string
}

export async function stage(options: Omit<PluginServerOptions, 'log' | 'observe'> = {}): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'weft-test-'))
  const path = join(folder, 'weft-bridge.sock')
  const facts: Fact[] = []
  const [logged, warned]: [Line[], Line[]] = [[], []]
  const server = createPluginServer({
    ...options,
    log: {
      error: (fields, message) => logged.push({ fields, message }),
      warn: (fields, message) => warned.push({ fields, message }),
    },
    observe: fact => facts.push(fact),
  })
  const handlers = recorder()
  await server.listen(path, { driver: 'weft-bridge', handlers })
  const ask = client(path)
  const end = async (): Promise<void> => {
    ask[Symbol.dispose]()
    await server.close()
    await rm(folder, { recursive: true })
  }
  return { server, folder, path, ask, handlers, facts, logged, warned, [Symbol.asyncDispose]: end }
}

/** The two ids of an endpoint's call, and a call that takes nothing else. */
export const ids = { NetworkID: 'n', EndpointID: 'e' }
export const leave = 'NetworkDriver.Leave'

/** A connection that has said nothing yet. */
export async function opened(path: string): Promise<Socket> {
  const connection = connect(path)
  await once(connection, 'connect')
  return connection
}
