import type { FastifyInstance } from 'fastify'
import type { Supervisor } from '../supervisor/supervisor.ts'

/** What ACME is about to do, and what it could not do. */
export function registerAcmeRoutes(app: FastifyInstance, { acme }: Supervisor): void {
  app.get(
    '/api/v1/acme',
    {
      config: { access: 'read', tenantMayUse: true },
      schema: { summary: 'Certificates by ACME: expiry, next attempt, and what went wrong last.' },
    },
    async (request) => {
      const only = request.caller?.tenant
      const all = acme.status().filter(({ tenant }) => only === undefined || tenant === only)
      return {
        certificates: all.map(({ tenant, names, notAfterAt, nextAt, failures, lastError }) => ({
          tenant,
          names,
          expires: notAfterAt === undefined ? null : new Date(notAfterAt).toISOString(),
          nextAttempt: new Date(nextAt).toISOString(),
          failures,
          lastError: lastError ?? null,
        })),
      }
    },
  )
}
