import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { Logger } from '../observability/logger.ts'
import { renderPrometheus } from '../observability/prometheus.ts'
import type { Supervisor } from '../supervisor/supervisor.ts'
import { registerAcmeRoutes } from './acme-routes.ts'
import { registerCertificateRoutes } from './certificate-routes.ts'
import { registerHotRoutes } from './hot-routes.ts'
import { sendProblem } from './problem-details.ts'
import { registerPurgeRoutes } from './purge-routes.ts'
import { stats, workerStats } from './stats.ts'
import { visibleConfig } from './visible-config.ts'

export function registerRoutes(app: FastifyInstance, supervisor: Supervisor, logger: Logger): void {
  registerCertificateRoutes(app, supervisor, logger)
  registerPurgeRoutes(app, supervisor)
  registerHotRoutes(app, supervisor)
  registerAcmeRoutes(app, supervisor)
  app.get(
    '/healthz',
    { config: { access: 'anyone' }, schema: { summary: 'The primary is alive.', security: [] } },
    async () => ({ status: 'alive' }),
  )
  app.get(
    '/readyz',
    {
      config: { access: 'anyone' },
      schema: {
        summary:
          '200 when every worker serves and what `warm` names is fetched, 503 with the reasons otherwise.',
        security: [],
      },
    },
    async (request, reply) => {
      const { ready, isWarming, reasons } = supervisor.readiness()
      // A lost bus must not become a lost site: the state of purges is told, and is no reason.
      if (ready) return { status: 'ready', purges: supervisor.purges.status()?.state.kind }
      // Reasons may quote paths and addresses of this machine.
      const more = request.caller === undefined ? {} : { reasons }
      const isOnlyWarming = isWarming && reasons.length === 1
      const detail = isOnlyWarming ? 'The proxy is warming.' : 'Not every worker serves.'
      return sendProblem(reply, 503, detail, {
        ...more,
        ...(isWarming ? { state: 'warming' } : {}),
      })
    },
  )
  app.get(
    '/metrics',
    { config: { access: 'read' }, schema: { summary: 'Metrics for Prometheus.' } },
    async (_request, reply) =>
      reply
        .header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
        .send(renderPrometheus(supervisor.metrics())),
  )
  app.get(
    '/api/v1/stats',
    {
      config: { access: 'read', tenantMayUse: true },
      schema: { summary: 'Requests, hits, latencies; of one tenant for a token of one tenant.' },
    },
    async (request) => stats(supervisor, request.caller?.tenant),
  )
  app.get(
    '/api/v1/workers',
    { config: { access: 'read' }, schema: { summary: 'State of every worker slot.' } },
    async () => ({ workers: workerStats(supervisor) }),
  )
  app.get(
    '/api/v1/config',
    {
      config: { access: 'read' },
      schema: { summary: 'The configuration in force, without secrets.' },
    },
    async () => visibleConfig(supervisor.config),
  )
  app.post(
    '/api/v1/reload',
    {
      config: { access: 'admin' },
      schema: {
        summary: 'Reads the configuration file again and applies it everywhere or nowhere.',
        // Without members now; unknown ones are refused so that they can get a meaning later.
        body: Type.Union([Type.Null(), Type.Object({}, { additionalProperties: false })]),
      },
    },
    async (_request, reply) => {
      const result = await supervisor.reload()
      if (result.ok) return { applied: true, messages: result.messages }
      return sendProblem(reply, 422, 'The configuration is refused; the one before stays.', {
        problems: result.messages,
      })
    },
  )
  app.get(
    '/api/v1/openapi.json',
    { config: { access: 'read' }, schema: { hide: true } },
    async () => app.swagger(),
  )
}
