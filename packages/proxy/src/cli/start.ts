import { readFileSync, watch } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { type AdminServer, startAdminServer } from '../admin/admin-server.ts'
import {
  type LoadOptions,
  type LoadResult,
  loadConfigFile,
  loadConfigText,
} from '../config/load.ts'
import { formatProblem } from '../config/problems.ts'
import { createLogger, type Logger } from '../observability/logger.ts'
import { Supervisor } from '../supervisor/supervisor.ts'
import { type Command, parseOptions, UsageError } from './command.ts'
import { startSampleOrigin } from './sample-origin.ts'
import { banner } from './start-banner.ts'

const STATE_FOLDER = '.larder'
/** Editors write a file in several steps; the last one counts. */
const WATCH_SETTLE_MS = 200

export const startCommand: Command = {
  name: 'start',
  summary: 'Run the proxy',
  help: `Usage: larder start [options]

Without options: in front of a small sample origin, on localhost:8080 (HTTP),
localhost:8443 (HTTPS, self-signed) and localhost:9090 (admin API).

  --origin URL      in front of this origin, for every host name
  --config FILE     with this configuration (YAML or JSON)
  --http ADDRESS    listen here for HTTP instead; may be given several times
  --https ADDRESS   the same for HTTPS
  --admin ADDRESS   the same for the admin API
  --workers N       worker processes instead of one per core

SIGTERM stops after finishing what is under way, SIGHUP reads the configuration
again, SIGUSR2 replaces the workers one by one.

Examples: larder start --origin http://127.0.0.1:3000
          larder start --config /etc/larder/larder.yaml
`,
  async run(words) {
    const { values } = parseOptions(words, {
      origin: { type: 'string' },
      config: { type: 'string' },
      http: { type: 'string', multiple: true },
      https: { type: 'string', multiple: true },
      admin: { type: 'string', multiple: true },
      workers: { type: 'string' },
    })
    if (values.origin !== undefined && values.config !== undefined) {
      throw new UsageError(
        'Give --origin or --config, not both: a configuration names its origins.',
      )
    }
    const { http, https, admin } = values
    const overrides = { http, https, admin, workers: workerCount(values.workers) }
    return run(values.config, values.origin, { overrides })
  },
}

async function run(
  file: string | undefined,
  origin: string | undefined,
  options: LoadOptions,
): Promise<number> {
  const read = file === undefined ? undefined : () => loadConfigFile(file, options)
  // Read before it is loaded: what changes from here on has to be seen, however long the start takes.
  const text = file === undefined ? undefined : textOf(file)
  const loaded = read?.() ?? (await loadWithoutFile(origin, options))
  for (const warning of loaded.warnings)
    process.stderr.write(`warning: ${formatProblem(warning)}\n`)
  if (!loaded.ok) {
    for (const problem of loaded.problems) process.stderr.write(`${formatProblem(problem)}\n`)
    return 1
  }
  const { config } = loaded
  const logger = createLogger({ level: config.logging.level })
  let supervisor: Supervisor
  let adminServer: AdminServer
  try {
    const stateFolder = resolve(file === undefined ? '.' : dirname(file), STATE_FOLDER)
    supervisor = new Supervisor({ config, logger, reread: read, stateFolder })
    await supervisor.start()
  } catch (error) {
    process.stderr.write(`Larder cannot start: ${messageOf(error)}\n`)
    return 1
  }
  try {
    adminServer = await startAdminServer(supervisor, config.listen.admin, logger)
  } catch (error) {
    process.stderr.write(`Larder cannot start: ${messageOf(error)}\n`)
    supervisor.kill()
    return 1
  }
  process.stdout.write(
    banner({
      listeners: supervisor.listeners,
      admin: adminServer.addresses,
      workers: supervisor.slots.length,
      hasSampleOrigin: file === undefined && origin === undefined,
      origin,
    }),
  )
  logger.info({ listeners: supervisor.listeners.map((each) => each.address) }, 'serving')
  void supervisor.warming?.run(supervisor.listeners)
  if (file !== undefined && config.watch) watchFile(file, text, supervisor, logger)
  return untilStopped(supervisor, adminServer, logger)
}

async function loadWithoutFile(
  origin: string | undefined,
  options: LoadOptions,
): Promise<LoadResult> {
  const url = origin ?? (await startSampleOrigin())
  const written = {
    listen: { http: ['localhost:8080'], https: ['localhost:8443'], admin: ['localhost:9090'] },
    tenants: [{ id: 'default', hosts: ['*'], origins: [{ url }], certificate: 'self-signed' }],
  }
  return loadConfigText(JSON.stringify(written), '--origin', options)
}

/** The exit status, when everything has ended. */
function untilStopped(supervisor: Supervisor, admin: AdminServer, logger: Logger): Promise<number> {
  return new Promise((resolveStatus) => {
    const fail = (error: unknown, what: string) => {
      logger.fatal({ err: error }, what)
      supervisor.kill()
      resolveStatus(1)
      process.exit(1)
    }
    process.on('uncaughtException', (error) => fail(error, 'uncaught exception'))
    process.on('unhandledRejection', (reason) => fail(reason, 'unhandled rejection'))
    const stop = (signal: string) => {
      if (supervisor.isStopping) {
        logger.warn({ signal }, 'second signal: stopping at once')
        supervisor.kill()
        process.exit(1)
      }
      logger.info({ signal }, 'stopping')
      supervisor
        .stop()
        .then(() => admin.close())
        .then(
          () => {
            logger.info('stopped')
            resolveStatus(0)
            process.exit(0)
          },
          (error: unknown) => fail(error, 'stopping failed'),
        )
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
    process.on('SIGHUP', () => void supervisor.reload())
    process.on('SIGUSR2', () => void supervisor.replaceWorkers())
  })
}

/** Watches the folder: editors and configuration tools put a new file in the place of the old one. */
function watchFile(
  file: string,
  loadedText: string | undefined,
  supervisor: Supervisor,
  logger: Logger,
): void {
  const path = resolve(file)
  let text = loadedText
  let timer: NodeJS.Timeout | undefined
  const reloadIfChanged = () => {
    const next = textOf(path)
    // Unreadable between the removal of the old file and the coming of the new one.
    if (next === undefined || next === text) return
    text = next
    void supervisor.reload()
  }
  const watcher = watch(dirname(path), (_event, name) => {
    if (name !== null && name !== basename(path)) return
    clearTimeout(timer)
    timer = setTimeout(reloadIfChanged, WATCH_SETTLE_MS)
  })
  reloadIfChanged()
  watcher.on('error', (error) =>
    logger.error({ err: error }, 'the configuration is no longer watched'),
  )
}

function workerCount(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,4}$/.test(text) || Number(text) < 1 || Number(text) > 1024) {
    throw new UsageError(`--workers takes a number from 1 to 1024, got '${text}'.`)
  }
  return Number(text)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** undefined when the file cannot be read; loading it says why. */
function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
