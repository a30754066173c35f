/** Recorded traffic between engines and a plugin: test/golden/transcripts, see its README. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** One call and its answer. `request` is null when the body was empty; `status` 0: the connection was closed instead. */
export interface Step {
  readonly n: number
  /** Name of the recording plugin that was asked. */
  readonly socket: string
  readonly method: string
  readonly request: Readonly<Record<string, unknown>> | null
  readonly status: number
  readonly response: unknown
}

export interface Transcript {
  /** `20.10` or `26.1`. */
  readonly engine: string
  readonly scenario: string
  readonly steps: readonly Step[]
}

const folder = join(import.meta.dirname, '../golden/transcripts')

/** All transcripts, in the order of their names. */
export function transcripts(): readonly Transcript[] {
  return readdirSync(folder)
    .filter(name => name.endsWith('.jsonl'))
    .sort()
    .map(readTranscript)
}

/** `name` is a file of the folder: `26.1-run-stop-rm.jsonl`. */
export function readTranscript(name: string): Transcript {
  const parts = /^([\d.]+)-(.+)\.jsonl$/.exec(name)
  if (!parts) throw new Error(`${name}: not a transcript's name`)
  const steps = readTranscriptLines(name).map((line, index) => toStep(JSON.parse(line), `${name}:${index + 1}`))
  return { engine: parts[1] ?? '', scenario: parts[2] ?? '', steps }
}

/** The lines as they were written, with the headers and observations that a Step leaves out. */
export function readTranscriptLines(name: string): readonly string[] {
  return readFileSync(join(folder, name), 'utf8').trimEnd().split('\n')
}

/** The calls of all recordings in one list: seeds for mutants. */
export function recordedCalls(): readonly Step[] {
  return transcripts().flatMap(({ steps }) => steps)
}

function toStep(line: unknown, where: string): Step {
  const { n, socket, method, request, status, response } = line as Step
  if (typeof n !== 'number' || typeof socket !== 'string' || typeof method !== 'string' || typeof status !== 'number') {
    throw new Error(`${where}: not a recorded call`)
  }
  if (typeof request !== 'object') throw new Error(`${where}: the request is neither an object nor null`)
  return { n, socket, method, request, status, response }
}
