/**
 * The log: one JSON object a line on stdout, where systemd and people expect it. Written at once, so that the last words
 * of a crash are kept, and in this thread: worker threads would be left behind by a change of namespace.
 */
import { createRequire } from 'node:module'
import type * as PinoPretty from 'pino-pretty'
import pino, { type DestinationStream, type Logger } from 'pino'

export type Log = Logger

export interface LogSettings {
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'
  readonly logFormat: 'json' | 'pretty'
}

const secretName = /secret|token|passw|passphrase|private_?key|preshared|psk|authorization|cookie|credential/i
/** Deeper values are not looked into, and therefore not shown. */
const deepest = 6

/** `destination` is where lines go; stdout when left out. */
export function createLog(
  settings: LogSettings,
  destination: DestinationStream = pino.destination({ fd: 1, sync: true }),
): Log {
  return pino(
    {
      level: settings.logLevel,
      // The journal knows the host and the process.
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: label => ({ level: label }),
        log: fields => hideSecrets(fields, 0) as Record<string, unknown>,
      },
      serializers: { err: (error: Error) => hideSecrets(pino.stdSerializers.err(error), 0) },
    },
    settings.logFormat === 'json' ? destination : prettied(destination),
  )
}

function prettied(destination: DestinationStream): DestinationStream {
  // Loaded by those who want it only: it costs 15 ms and 8 MB.
  const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as typeof PinoPretty
  const format = prettyFactory({ colorize: process.stdout.isTTY })
  return {
    write: line => {
      destination.write(format(line))
    },
  }
}

/** A copy in which the values of fields with telling names are replaced. Errors are left to the serializer. */
function hideSecrets(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Error) return value
  if (depth === deepest) return '[deep]'
  if (Array.isArray(value)) return value.map(item => hideSecrets(item, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name,
      secretName.test(name) ? '[hidden]' : hideSecrets(field, depth + 1),
    ]),
  )
}
