import { type Logger, pino } from 'pino'

export type { Logger } from 'pino'

export interface LoggerOptions {
  readonly level: string
  /** Fields of every line, such as the worker's slot. */
  readonly bindings?: Readonly<Record<string, unknown>>
}

/** One JSON line per event on stderr; stdout is the access log's and the human's. */
export function createLogger(options: LoggerOptions): Logger {
  return pino(
    {
      level: options.level,
      base: { pid: process.pid, ...options.bindings },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // A secret that reaches a log line by accident stays out of it.
      redact: {
        paths: ['secret', 'token', 'authorization', '*.secret', '*.token', '*.authorization'],
        censor: '[removed]',
      },
    },
    // Synchronous: the last lines before a crash are the ones that matter, and this log is not per request.
    pino.destination({ fd: 2, sync: true }),
  )
}
