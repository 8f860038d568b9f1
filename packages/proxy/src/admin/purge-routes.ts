import { type DeadLetter, type PurgeMessage, parsePurge } from '@larder/purge-bus'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { parseDurationMs } from '../config/units.ts'
import { DEFAULT_WAIT_MS } from '../supervisor/purge-service.ts'
import type { Supervisor } from '../supervisor/supervisor.ts'
import { sendProblem } from './problem-details.ts'

const MAX_WAIT_MS = 60_000

/** Purges by HTTP; the message is the same as through every other door. */
export function registerPurgeRoutes(app: FastifyInstance, supervisor: Supervisor): void {
  const { purges } = supervisor
  app.post(
    '/api/v1/purge',
    {
      config: { access: 'purge', tenantMayUse: true },
      schema: {
        summary:
          'Purges; answers with the receipt when every worker has applied it (200) or the time is over (202). With "dryRun": true it says what it would cover on this machine, and changes nothing.',
        // What it may hold beside this, and how it fits together, `parsePurge` says with a cure.
        body: Type.Object({
          type: Type.String({ description: 'url, prefix, tag, tenant or all' }),
        }),
        querystring: Type.Object(
          {
            wait: Type.Optional(
              Type.String({
                description: 'How long to wait for the workers, like 5s (the default); or false.',
              }),
            ),
          },
          { additionalProperties: false },
        ),
      },
    },
    async (
      request: FastifyRequest<{ Body: Record<string, unknown>; Querystring: { wait?: string } }>,
      reply,
    ) => {
      const { wait = request.query.wait, dryRun = false, ...members } = request.body
      const waitMs = waitMsOf(wait)
      if (waitMs === undefined) {
        return sendProblem(reply, 400, `'wait' is a time like 5s, at most 60s, or false.`)
      }
      if (typeof dryRun !== 'boolean') {
        return sendProblem(reply, 400, `'dryRun' is true or false.`)
      }
      const parsed = parsePurge(withDefaults(members, request))
      if (!parsed.ok) return sendProblem(reply, 400, `The purge is refused: ${parsed.reason}.`)
      const message = allowed(parsed.message, request, supervisor)
      if (typeof message === 'string') return sendProblem(reply, 403, message)
      if (dryRun === true) return supervisor.dryRun(message)
      const answer = await purges.publish(message, waitMs)
      return send(reply, answer.status, answer.body)
    },
  )
  app.get(
    '/api/v1/purge/dead-letters',
    {
      config: { access: 'admin' },
      schema: { summary: 'Purges that could not be handed on to the other machines.' },
    },
    async () => ({ deadLetters: purges.deadLetters().map(asShown) }),
  )
  app.post(
    '/api/v1/purge/dead-letters/replay',
    {
      config: { access: 'admin' },
      schema: {
        summary: 'Publishes dead letters again: all of them, or those named.',
        body: Type.Union([
          Type.Null(),
          Type.Object(
            { ids: Type.Optional(Type.Array(Type.String(), { maxItems: 10_000 })) },
            { additionalProperties: false },
          ),
        ]),
      },
    },
    async (request: FastifyRequest<{ Body: { ids?: string[] } | null }>) => ({
      replayed: await purges.replayDeadLetters(request.body?.ids),
    }),
  )
  app.get(
    '/api/v1/purge/:id',
    {
      config: { access: 'read', tenantMayUse: true },
      schema: { summary: 'The receipt of a purge: who has applied it, who is missing.' },
    },
    async (request: FastifyRequest<{ Params: { id: string } }>, reply) => {
      const receipt = await purges.receipt(request.params.id)
      if (receipt !== null) return receipt
      return sendProblem(reply, 404, 'Nothing is known of this purge (any more).')
    },
  )
}

/** Undefined when it is neither a time nor a truth. */
function waitMsOf(wait: unknown): number | undefined {
  if (wait === undefined || wait === true || wait === 'true') return DEFAULT_WAIT_MS
  if (wait === false || wait === 'false') return 0
  const ms = typeof wait === 'string' ? parseDurationMs(wait) : undefined
  return ms === undefined || ms > MAX_WAIT_MS ? undefined : ms
}

/** What the request says beside its body: a reference by its usual header, a tenant by its token. */
function withDefaults(
  members: Record<string, unknown>,
  { headers, caller }: FastifyRequest,
): Record<string, unknown> {
  const reference = headers['idempotency-key']
  const isOfTenant = members.type === 'tag' || members.type === 'tenant'
  return {
    ...(reference === undefined ? {} : { reference }),
    ...(isOfTenant && caller?.tenant !== undefined ? { tenant: caller.tenant } : {}),
    ...members,
  }
}

/** The purge as this caller may have it, or why it may not. */
function allowed(
  message: PurgeMessage,
  { caller }: FastifyRequest,
  supervisor: Supervisor,
): PurgeMessage | string {
  const tenant = caller?.tenant
  if (message.type === 'all') {
    // Without tokens only loopback is let in, as an admin.
    return caller?.role === 'admin' ? message : 'A purge of everything needs the role admin.'
  }
  if (tenant === undefined) return message
  const own = { ...message, reference: scoped(tenant, message.reference) }
  if (own.type === 'url' || own.type === 'prefix') {
    const urls = own.type === 'url' ? own.urls : own.prefixes
    const { resolve } = supervisor.purges
    const type = own.type
    const foreign = urls.find((url) => !resolve(url, type).some((key) => key.tenant === tenant))
    if (foreign !== undefined) return `'${foreign.slice(0, 200)}' is not of the tenant ${tenant}.`
    return { ...own, tenant }
  }
  return own.tenant === tenant ? own : `The token is for the tenant ${tenant}.`
}

/** Tenants cannot meet in their references. */
function scoped(tenant: string, reference: string | undefined): string | undefined {
  return reference === undefined ? undefined : `${tenant}/${reference}`
}

function asShown({ id, message, publishedAt }: DeadLetter) {
  return { id, message, publishedAt: new Date(publishedAt).toISOString() }
}

function send(reply: FastifyReply, status: number, body: Readonly<Record<string, unknown>>) {
  if (status >= 400) return sendProblem(reply, status, String(body.detail ?? body.title))
  return reply.status(status).send(body)
}
