/** There is one weftd: a second one would make of the kernel what its own records say. */
import { connect } from 'node:net'
import { join } from 'node:path'
import { UserError } from '../plugin-api/answer.ts'
import { socketName } from './admin.ts'
import type { Config } from './config.ts'

/** Throws UserError. The state directory has a lock of its own; two daemons with different ones would still fight over the sockets. */
export async function refuseSecond({ runDir, pluginDir, drivers: names }: Config): Promise<void> {
  const sockets = [join(runDir, socketName), ...[...names, 'ipam'].map(name => join(pluginDir, `weft-${name}.sock`))]
  for (const path of sockets) {
    if (!(await answers(path))) continue
    throw new UserError('ALREADY_RUNNING', `another weftd serves ${path}`, {
      hint: 'stop it first, or use other directories and another network namespace',
    })
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => {
      resolve(false)
    })
  })
}
