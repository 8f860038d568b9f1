import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Supervisor } from '../supervisor/supervisor.ts'

type HotKey = Awaited<ReturnType<Supervisor['census']>>['hottest'][number]

const DEFAULT_LIMIT = 100
const MAX_LIMIT = 10_000

/** What is used most: for operators, and for a sibling that warms itself (`larder warm --hot-of`). */
export function registerHotRoutes(app: FastifyInstance, supervisor: Supervisor): void {
  app.get(
    '/api/v1/hot',
    {
      config: { access: 'read', tenantMayUse: true },
      schema: {
        summary: 'URLs that the memory tiers hold, the most used first.',
        querystring: Type.Object(
          {
            limit: Type.Optional(
              Type.String({
                pattern: '^[1-9][0-9]{0,4}$',
                description: `How many at most: ${DEFAULT_LIMIT} without it, up to ${MAX_LIMIT}.`,
              }),
            ),
          },
          { additionalProperties: false },
        ),
      },
    },
    async (request: FastifyRequest<{ Querystring: { limit?: string } }>) => {
      const limit = Math.min(MAX_LIMIT, Number(request.query.limit ?? DEFAULT_LIMIT))
      const tenant = request.caller?.tenant
      const { hottest, complete } = await supervisor.census({ top: limit, tenant })
      return { urls: hottest.map(asShown), complete }
    },
  )
}

/** The key without its tenant is the URL (`pipeline/cache-key.ts`). */
function asShown({ key, uses, bytes }: HotKey) {
  const [tenant, url] = key.split('\n')
  return { url, tenant, uses, bytes }
}
