/** What a running weftd is seen to use, from outside. */
import { readdirSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import type { Host } from '../../test/support/lab.ts'

const clockTicksPerSecond = 100

/** Resident memory in MB (10^6 bytes). */
export function residentMegabytes(pid: number): number {
  const [, kilobytes = '0'] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return (Number(kilobytes) * 1024) / 1e6
}

/** Processor time used so far by all threads, in milliseconds. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / clockTicksPerSecond
}

/** Host ends of endpoints in the kernel. */
export function endpointLinks(host: Host): number {
  return readdirSync(host.path('/sys/class/net')).filter(name => name.startsWith('wv')).length
}

export interface Pulse {
  /** Ends it; answers how long each answer took, in milliseconds. */
  stop(): Promise<readonly number[]>
}

/**
 * Asks the admin socket for /healthz again and again: an answer needs one turn of the daemon's loop, so the longest one
 * is the longest time for which the loop was held up (or this process, which does little meanwhile).
 */
export function takePulse(host: Host): Pulse {
  const socketPath = host.path('/run/weft/weft.sock')
  const agent = new Agent({ keepAlive: true })
  const times: number[] = []
  const state = { stopped: false }
  const ask = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const outgoing = request({ socketPath, agent, path: '/healthz' }, answer => {
        answer.resume()
        answer.on('end', resolve)
        answer.on('error', reject)
      })
      outgoing.on('error', reject)
      outgoing.end()
    })
  const beating = (async (): Promise<void> => {
    while (!state.stopped) {
      const started = performance.now()
      await ask()
      times.push(performance.now() - started)
      await new Promise(resolve => setTimeout(resolve, 1))
    }
  })()
  return {
    async stop() {
      state.stopped = true
      await beating
      agent.destroy()
      return times
    },
  }
}
